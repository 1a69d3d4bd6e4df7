import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange } from "../src/domain/arrange.ts";
import type { Row } from "../src/domain/arrange.ts";
import type { Entry, Theirs } from "../src/domain/records.ts";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

let events = 0;

async function hears(tab: Tab, body = "hello"): Promise<void> {
  events += 1;
  tab.browser.bridge.put(tab.browser.bridge.event(`$heard${events}`, `k1:${body}`));
  await settle();
}

async function chatting(): Promise<Tab> {
  const tab = await new Browser().chatting();
  tab.browser.bridge.put(tab.browser.bridge.key("k1"));
  await settle();
  return tab;
}

test("what comes while the guest looks away is counted, from a line on", async () => {
  const tab = await chatting();
  const unread = (): unknown => tab.chat.unread.get();
  tab.chat.looking(true);
  await hears(tab);
  assert.deepEqual(unread(), { count: 0, line: null });
  tab.chat.looking(false);
  await hears(tab);
  await hears(tab);
  const line = tab.history().at(-2)?.pos;
  assert.deepEqual(unread(), { count: 2, line });
  tab.chat.looking(true);
  assert.deepEqual(unread(), { count: 0, line }, "the line stays for whoever comes back");
  await tab.say("I am back");
  assert.deepEqual(unread(), { count: 0, line: null });
});

test("what was not seen is still unread after a reload, and what was seen is not", async () => {
  const tab = await chatting();
  tab.chat.looking(true);
  await hears(tab);
  await tab.browser.clock.advance(1_000);
  tab.chat.looking(false);
  await hears(tab);
  await tab.reload();
  assert.equal(tab.chat.unread.get().count, 1);
  tab.chat.looking(true);
  // The page goes before the mark is written by itself.
  tab.tell("hidden");
  await settle();
  await tab.reload();
  assert.equal(tab.chat.unread.get().count, 0);
});

test("a draft is stored a moment later, or at once when the page may go", async () => {
  const tab = await chatting();
  const stored = (): unknown => {
    const { chat } = tab.browser.shelf.only();
    return chat.stage === "joined" ? chat.draft : null;
  };
  tab.chat.keepDraft("h");
  tab.chat.keepDraft("he");
  assert.equal(stored(), undefined);
  await tab.browser.clock.advance(700);
  assert.equal(stored(), "he");
  tab.chat.keepDraft("hello");
  tab.tell("away");
  await settle();
  assert.equal(stored(), "hello");
  await tab.reload();
  assert.equal(tab.chat.view.get().chat.draft, "hello");
});

test("a draft goes with the message that it became, in one write", async () => {
  const tab = await chatting();
  tab.chat.keepDraft("hello");
  await tab.browser.clock.advance(700);
  const { commits } = tab.browser.shelf;
  const before = commits.length;
  tab.chat.keepDraft("hello you");
  await tab.say("hello you");
  const batch = commits.slice(before).find(({ entries }) => entries !== undefined);
  assert.equal(batch?.chat?.stage === "joined" && batch.chat.draft, "");
  await tab.browser.clock.advance(2_000);
  await tab.reload();
  assert.equal(tab.chat.view.get().chat.draft, "");
});

test("a draft is erased with the chat, and a hopelessly long one is kept in part", async () => {
  const tab = await chatting();
  tab.chat.keepDraft("x".repeat(1_000_000));
  await tab.browser.clock.advance(700);
  const { chat } = tab.browser.shelf.only();
  assert.equal(chat.stage === "joined" && chat.draft?.length, 16_000);
  tab.browser.bridge.deaf = () => true;
  tab.chat.keepDraft("secret");
  await tab.chat.leave();
  await tab.browser.clock.advance(5_000);
  assert.doesNotMatch(JSON.stringify(tab.browser.shelf.only().chat), /secret|xxx/);
});

test("what remains after an erasure is named, and erased when that is possible", async () => {
  const tab = await chatting();
  tab.browser.shelf.remnants = ["keys"];
  if (tab.screen.name === "chat") tab.screen.erase();
  await settle();
  assert.equal(tab.shows, "not-erased");
  assert.deepEqual(tab.screen.name === "problem" && tab.screen.remnants, ["keys"]);
  tab.browser.shelf.remnants = [];
  await tab.press();
  assert.equal(tab.shows, "erased");
  assert.equal(tab.browser.shelf.kept.size, 0);
});

const theirs = (pos: number, ts: number, says: Theirs["says"] = { kind: "text", style: "m.text", body: "x" }): Entry => ({ kind: "theirs", pos, ts, eventId: `$${pos}`, says });
const own = (pos: number, ts: number): Entry => ({ kind: "mine", pos, ts, body: "x", state: "sent", n: pos, eventId: null });
const day = (ts: number): string => String(Math.floor(ts / 1_000_000_000));
const short = (rows: readonly Row[]): string =>
  rows.map((row) => (row.kind === "entry" ? `${row.folded ? "~" : row.first ? "^" : ""}${row.key}${row.times > 1 ? `x${row.times}` : ""}` : row.kind)).join(" ");

test("messages lie under their day and in groups of one person without a long pause", () => {
  const entries = [theirs(1, 10), theirs(2, 20), own(3, 30), own(4, 30 + 299_999), own(5, 30 + 900_000), theirs(6, 1_000_000_100), theirs(7, 1_000_000_200)];
  assert.equal(short(arrange(entries, null, day)), "day ^1 2 ^3 4 ^5 day ^6 7");
  assert.equal(short(arrange(entries, 7, day)), "day ^1 2 ^3 4 ^5 day ^6 unread ^7");
});

test("a day comes once, though the clocks of both sides are at odds around midnight", () => {
  assert.equal(short(arrange([theirs(1, 999_999_999), own(2, 1_000_000_000), theirs(3, 999_999_999), own(4, 1_000_000_001)], null, day)), "day ^1 day ^2 ^3 ^4");
});

test("ten photos in a row are one line, unless something stands between them", () => {
  const photo = { kind: "unsupported", what: "image" } as const;
  const entries = [theirs(1, 1, photo), theirs(2, 2, photo), theirs(3, 3, photo), own(4, 4), theirs(5, 5, photo), theirs(6, 6, { kind: "unsupported", what: "file" })];
  assert.equal(short(arrange(entries, null, day)), "day ^1x3 ~2 ~3 ^4 ^5 6");
  assert.equal(short(arrange(entries, 3, day)), "day ^1x2 ~2 unread ^3 ^4 ^5 6");
});

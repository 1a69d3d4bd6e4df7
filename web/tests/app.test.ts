import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { Browser, TOKEN } from "./support/world.ts";

const OTHER = "tvwxyz0123456789abcdefghjk";

test("the bare address without any chat asks for a link", async () => {
  const tab = new Browser().tab();
  await tab.open();
  assert.equal(tab.shows, "no-link");
});

test("a malformed link is said to be that, without asking anybody", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN.slice(2)}`);
  assert.equal(tab.shows, "link-malformed");
});

test("the chat is found again by its link and by the bare address", async () => {
  const browser = new Browser();
  const first = await browser.chatting();
  await first.say("hello");
  for (const hash of [`#${TOKEN}`, `#${TOKEN.toUpperCase()}.`, ""]) {
    browser.locks.take = () => Promise.resolve(() => undefined);
    const tab = browser.tab();
    await tab.open(hash);
    assert.deepEqual(tab.reads().slice(0, 1), ["hello/sent"]);
  }
  assert.equal(browser.bridge.joins.length, 1);
});

test("with several chats the bare address lets one choose, and a reload stays with the choice", async () => {
  const browser = new Browser();
  await browser.chatting();
  const other = browser.tab();
  await other.open(`#${OTHER}`);
  await other.start("Maya");
  assert.equal(browser.shelf.kept.size, 2);
  browser.locks.take = () => Promise.resolve(() => undefined);

  const tab = browser.tab();
  await tab.open();
  assert.equal(tab.screen.name, "choice");
  if (tab.screen.name === "choice") tab.screen.choose(tab.screen.chats[1]?.id ?? "");
  await settle();
  assert.equal(tab.shows, "chat");
  await tab.reload();
  assert.equal(tab.shows, "chat");
});

test("a chat that is open in another tab can be taken over, and the first tab stops", async () => {
  const browser = new Browser();
  const one = await browser.chatting();
  const two = browser.tab();
  await two.open(`#${TOKEN}`);
  assert.equal(two.shows, "elsewhere");
  await two.press();
  assert.equal(two.shows, "chat");
  assert.equal(one.shows, "elsewhere");
  await two.say("from the second");
  assert.deepEqual(browser.bridge.texts(), ["from the second"]);
});

test("a tab that lost its chat without noticing writes and sends nothing", async () => {
  const browser = new Browser();
  const one = await browser.chatting();
  // No lock told it: only the disk knows.
  await browser.shelf.take([...browser.shelf.kept.keys()][0] ?? "");
  await one.say("never");
  assert.equal(one.shows, "elsewhere");
  assert.deepEqual(browser.bridge.texts(), []);
});

test("the lock is held until what was begun is on the disk and the machine is gone", async () => {
  const browser = new Browser();
  const one = await browser.chatting();
  const open = browser.shelf.hold();
  await one.say("on its way to the disk");
  browser.bridge.say({ type: "error", code: "replaced", message: "" });
  await settle();
  assert.equal(one.shows, "elsewhere");
  const two = browser.tab();
  await two.open(`#${TOKEN}`);
  assert.equal(two.shows, "elsewhere");
  open();
  await settle();
  const three = browser.tab();
  await three.open(`#${TOKEN}`);
  assert.equal(three.shows, "chat");
  assert.deepEqual(three.reads(), ["on its way to the disk/sent"]);
});

test("a replaced connection says where the chat is", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.say({ type: "error", code: "replaced", message: "" });
  await settle();
  assert.equal(tab.shows, "elsewhere");
});

test("a page that is older than the bridge is loaded again by itself, once", async () => {
  const browser = new Browser();
  browser.bridge.protocol = 2;
  const tab = await browser.chatting();
  assert.equal(tab.shows, "loading");
  assert.equal(tab.reloads, 1);
  await tab.reload();
  assert.equal(tab.shows, "page-older", "a cache gave the same page once more");
  assert.equal(tab.reloads, 1);
  await tab.press();
  assert.equal(tab.reloads, 2);
  assert.equal(browser.bridge.heard.length, 0, "nothing is said to a bridge of another version");
});

test("a tab that can't remember that it was loaded again doesn't do so by itself", async () => {
  const browser = new Browser();
  browser.bridge.protocol = 2;
  const tab = browser.tab();
  tab.forgetful = true;
  tab.app = tab.anew();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya");
  assert.equal(tab.shows, "page-older");
  assert.equal(tab.reloads, 0);
});

test("a page that is newer than the bridge asks for patience", async () => {
  const browser = new Browser();
  browser.bridge.protocol = 0;
  const tab = await browser.chatting();
  assert.equal(tab.shows, "page-newer");
  await tab.press();
  assert.equal(tab.reloads, 1);
  assert.equal(browser.bridge.heard.length, 0, "nothing is said to a bridge of another version");
});

for (const [code, screen] of [
  ["link_unknown", "link-unknown"], ["link_used", "link-used"], ["link_expired", "link-expired"], ["link_revoked", "link-revoked"],
  ["damaged", "link-damaged"], ["paused", "paused"], ["host_busy", "host-busy"], ["too_many_tries", "too-many-tries"],
] as const) {
  test(`a link that is answered "${code}" has its own page, and only what passes can be tried again`, async () => {
    const browser = new Browser();
    browser.bridge.linkError = code;
    const tab = browser.tab();
    await tab.open(`#${TOKEN}`);
    assert.equal(tab.shows, screen);
    const isForNow = tab.screen.name === "problem" && tab.screen.remedy !== null;
    assert.equal(isForNow, ["paused", "host-busy", "too-many-tries"].includes(screen));
    assert.equal(tab.memory.has("token"), isForNow);
    browser.bridge.linkError = null;
    if (!isForNow) return;
    await tab.press();
    assert.equal(tab.shows, "join");
  });
}

test("without a network the page says so, and goes on by itself when it is back", async () => {
  const browser = new Browser();
  browser.bridge.linkError = "offline";
  const tab = browser.tab();
  tab.online = false;
  await tab.open(`#${TOKEN}`);
  assert.equal(tab.shows, "offline");
  browser.bridge.linkError = null;
  tab.online = true;
  tab.tell("online");
  await settle();
  assert.equal(tab.shows, "join");
});

test("no stored chat is opened before there are words to show it with", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  let speak: () => void = () => undefined;
  browser.ready = new Promise((resolve) => {
    speak = resolve;
  });
  const { connections } = browser.bridge;
  await tab.reload();
  assert.equal(tab.shows, "loading");
  assert.equal(browser.bridge.connections, connections);
  speak();
  await settle();
  assert.equal(tab.shows, "chat");
});

test("stored keys that can't be opened are lost keys", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.shelf.only().records.clear();
  await tab.reload();
  assert.equal(tab.shows, "lost");
  await tab.press();
  assert.equal(tab.shows, "erased");
  assert.equal(browser.shelf.kept.size, 0);
});

test("a disk that fails in the middle stops the chat before anything leaves", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.shelf.failing = true;
  const heard = browser.bridge.heard.length;
  await tab.say("lost");
  assert.equal(tab.shows, "storage");
  assert.equal(browser.bridge.heard.length, heard);
});

test("after one failed write nothing more is written, even if the disk is well again", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const commits = browser.shelf.commits.length;
  browser.shelf.failNext = true;
  const { chat } = tab;
  const said = await Promise.allSettled([chat.say("one"), chat.say("two")]);
  assert.deepEqual(said.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(browser.shelf.commits.length, commits, "the machine's memory is ahead of the disk");
});

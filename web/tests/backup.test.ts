/** A store that is older than it was: the browser's, or the bridge's. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import type { FakeBridge } from "./support/bridge.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

/** What a backup of the bridge holds. */
function backup(bridge: FakeBridge): () => void {
  const { lastN, acked, seq } = bridge;
  const inbox = structuredClone(bridge.inbox);
  const committed = new Map(bridge.committed);
  return () => {
    Object.assign(bridge, { lastN, acked, seq, inbox: structuredClone(inbox) });
    bridge.committed.clear();
    committed.forEach((frame, n) => bridge.committed.set(n, frame));
    bridge.drop();
  };
}

/** What a backup of the browser's profile holds. */
function profile(browser: Browser): () => void {
  const kept = structuredClone(browser.shelf.only());
  return () => {
    const { epoch } = browser.shelf.only();
    Object.assign(browser.shelf.only(), structuredClone(kept), { epoch });
  };
}

async function reconnected(browser: Browser): Promise<void> {
  await browser.clock.advance(5_000);
}

async function halts(tab: Tab, halt: string): Promise<void> {
  const { bridge } = tab.browser;
  const said = bridge.texts();
  await tab.say("not with old keys");
  await tab.browser.clock.advance(60_000);
  assert.equal(tab.chat.view.get().halt, halt);
  assert.deepEqual(bridge.texts(), said);
}

test("a profile set back past a message that was sent: nothing is sent any more, and the history stays", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("one");
  const restore = profile(browser);
  await tab.say("two");
  restore();
  await tab.reload();
  assert.deepEqual(tab.reads(), ["one/sent"]);
  await halts(tab, "set_back");
  const screen = tab.screen;
  if (screen.name === "chat") screen.erase();
  await settle();
  assert.equal(browser.shelf.kept.size, 0);
});

test("a profile set back past something that was received is noticed by the acknowledgement", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("one");
  const restore = profile(browser);
  browser.bridge.put(browser.bridge.key("k1"));
  browser.bridge.put(browser.bridge.event("$1", "k1:hello"));
  await settle();
  restore();
  await tab.reload();
  await halts(tab, "set_back");
});

test("frames that were acknowledged and are missing here are noticed without a welcome too", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  await settle();
  const say = bridge.say.bind(bridge);
  bridge.say = (frame) => say({ ...frame, ...("acked_seq" in frame ? { acked_seq: 1 } : {}) });
  bridge.deaf = (frame) => frame.type === "ack";
  bridge.inbox = [{ ...bridge.event("$9", "k1:later"), seq: 5 }];
  bridge.seq = 5;
  await tab.reload();
  await halts(tab, "set_back");
  assert.deepEqual(tab.reads(), ["not with old keys/waiting"]);
});

test("frames that a restored bridge forgot go again as they were, and only those not settled", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  await tab.say("one");
  const restore = backup(bridge);
  await tab.say("two");
  bridge.put({ type: "delivered", n: 3, event_id: "$two" });
  await tab.say("three");
  await tab.say("four");
  const [before3, before4] = [bridge.committed.get(4), bridge.committed.get(5)];
  restore();
  bridge.deaf = (frame) => frame.type === "send";
  await reconnected(browser);
  assert.deepEqual(tab.reads(), ["one/sent", "two/delivered", "three/waiting", "four/waiting"], "a tick says what is true");
  bridge.deaf = () => false;
  await browser.clock.advance(60_000);
  assert.deepEqual([...bridge.committed.keys()], [1, 2, 4, 5]);
  assert.deepEqual([bridge.committed.get(4), bridge.committed.get(5)], [before3, before4], "the same ciphertext, the same number");
  await tab.say("five");
  assert.deepEqual(bridge.texts(), ["one", "three", "four", "five"]);
  assert.deepEqual(tab.reads().slice(2), ["three/sent", "four/sent", "five/sent"]);
  assert.equal(browser.machines.ledger.size, 5, "nothing was encrypted twice");
});

test("a page that dies while it sends forgotten frames again goes on with them", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  const restore = backup(bridge);
  for (const text of ["one", "two", "three"]) await tab.say(text);
  restore();
  bridge.deaf = (frame) => frame.type === "send" && frame.n === 3;
  await reconnected(browser);
  bridge.deaf = () => false;
  await tab.reload();
  await browser.clock.advance(60_000);
  assert.deepEqual(bridge.texts(), ["one", "two", "three"]);
  assert.deepEqual(tab.reads(), ["one/sent", "two/sent", "three/sent"]);
});

test("a bridge that loses the numbers in the middle of a connection is found out by its refusal", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("one");
  browser.bridge.committed.clear();
  browser.bridge.lastN = 0;
  await tab.say("two");
  await browser.clock.advance(60_000);
  assert.deepEqual(browser.bridge.texts(), ["one", "two"]);
});

test("a refusal of a frame that was taken once ends it: the numbers behind it can't move", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  const restore = backup(bridge);
  for (const text of ["one", "two"]) await tab.say(text);
  restore();
  bridge.refuseNext = { code: "bad_request" };
  await reconnected(browser);
  await halts(tab, "out_of_step");
});

for (const counts of [true, false]) {
  test(`a bridge set back past frames that are settled ${counts ? "goes on from the number that it is told" : "and that counts from where it was can't be caught up: it is said, and nothing is sent"}`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    const { bridge } = browser;
    const restore = backup(bridge);
    await tab.say("one");
    bridge.put({ type: "delivered", n: bridge.lastN, event_id: "$one" });
    await tab.say("two");
    restore();
    const welcome = bridge.welcome.bind(bridge);
    if (!counts) {
      bridge.welcome = (): void => {
        bridge.lastN = 0;
        welcome();
      };
    }
    await reconnected(browser);
    assert.deepEqual(tab.reads(), ["one/delivered", "two/sent"]);
    if (!counts) return halts(tab, "out_of_step");
    await tab.say("three");
    assert.deepEqual(bridge.texts(), ["two", "three"]);
    assert.equal(tab.chat.view.get().halt, null);
  });
}

for (const sign of ["a lower sequence number", "another store", "forgotten frames of ours"] as const) {
  test(`a restored bridge, known by ${sign}: nothing new is taken for old, nothing old is shown twice`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    const { bridge } = browser;
    bridge.put(bridge.key("k1"));
    bridge.put(bridge.event("$1", "k1:one"));
    await settle();
    bridge.deaf = (frame) => frame.type === "ack";
    bridge.put(bridge.event("$2", "k1:two"));
    await settle();
    const restore = backup(bridge);
    bridge.deaf = () => false;
    for (const id of ["$3", "$4", "$5"]) bridge.put(bridge.event(id, `k1:${id}`));
    if (sign === "forgotten frames of ours") await tab.say("mine");
    await settle();
    restore();
    if (sign === "another store") bridge.storeId = "second";
    // Under numbers that the page has stored other frames for. Except with the first sign there are so
    // many that the numbers alone look all right.
    const fresh = sign === "a lower sequence number" ? ["$6"] : ["$6", "$7", "$8", "$9", "$10"];
    for (const id of fresh) bridge.put(bridge.event(id, `k1:${id}`));
    await browser.clock.advance(60_000);
    const theirs = tab.reads().filter((line) => !line.startsWith("mine"));
    assert.deepEqual(theirs, ["one", "two", "$3", "$4", "$5", ...fresh]);
    assert.equal(bridge.inbox.length, 0, "all of it is acknowledged");
    bridge.put(bridge.event("$11", "k1:after"));
    await tab.reload();
    assert.deepEqual(tab.reads().at(-1), "after");
    assert.equal(tab.chat.view.get().halt, null);
  });
}

test("a bridge that names its store for the first time is believed its numbers", async () => {
  const browser = new Browser();
  browser.bridge.storeId = null;
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  await settle();
  bridge.storeId = "first";
  bridge.drop();
  await reconnected(browser);
  const hello = bridge.heard.filter((frame) => frame.type === "hello").at(-1);
  assert.deepEqual([hello?.last_seq, hello?.last_n], [1, undefined]);
  assert.equal(tab.chat.view.get().status, "open");
});

test("an acknowledgement that was lost is said again after the welcome, and not before", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.deaf = (frame) => frame.type === "ack";
  bridge.put(bridge.key("k1"));
  await settle();
  bridge.deaf = () => false;
  bridge.drop();
  const heard = bridge.heard.length;
  await reconnected(browser);
  assert.deepEqual(bridge.heard.slice(heard).map(({ type }) => type), ["hello", "ack"]);
  assert.equal(bridge.inbox.length, 0);
  assert.equal(tab.shows, "chat");
});

test("an ended chat that a restored bridge believes open is over all the same", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const restore = backup(browser.bridge);
  browser.bridge.end("host");
  await settle();
  restore();
  await tab.reload();
  assert.equal(tab.chat.view.get().chat.ending?.kind, "ended");
});

test("a bridge restored to before the chat's end gives the end again", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  for (const id of ["$1", "$2"]) bridge.put(bridge.event(id, "k1:x"));
  await settle();
  // All acknowledged but the end, whose number lies far ahead of what is stored here.
  bridge.drop();
  bridge.unreachable = true;
  bridge.seq = 9;
  bridge.inbox = [{ type: "ended", reason: "expired", seq: 9 }];
  bridge.welcome = () => undefined;
  bridge.unreachable = false;
  await browser.clock.advance(60_000);
  assert.deepEqual(tab.chat.view.get().chat.ending, { kind: "ended", reason: "expired" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientFrame } from "../src/protocol.ts";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

function heard(tab: Tab): unknown[] {
  const moment = (frame: ClientFrame): unknown[] =>
    frame.type === "typing" ? [frame.typing] : frame.type === "read" ? [frame.event_id] : [];
  return tab.browser.bridge.heard.flatMap(moment);
}

async function hostSays(tab: Tab, id: string, extra: object = {}): Promise<void> {
  tab.browser.bridge.put(tab.browser.bridge.event(id, `k1:${id}`, extra));
  await settle();
}

test("typing is told at most every four seconds, and that it stopped", async () => {
  const tab = await new Browser().chatting();
  const { clock } = tab.browser;
  tab.chat.compose(false);
  for (let i = 0; i < 5; i += 1) tab.chat.compose(true);
  assert.deepEqual(heard(tab), [true]);
  await clock.advance(3_900);
  tab.chat.compose(true);
  assert.deepEqual(heard(tab), [true]);
  await clock.advance(100);
  tab.chat.compose(true);
  tab.chat.compose(false);
  tab.chat.compose(false);
  assert.deepEqual(heard(tab), [true, true, false]);
});

test("nothing of the moment leaves while it is switched off, or nobody is there", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  bridge.put(bridge.key("k1"));
  await hostSays(tab, "$1");
  bridge.marks = { host_read: null, typing: false, receipts: false };
  bridge.drop();
  tab.chat.compose(true);
  tab.chat.looking(true);
  await clock.advance(2_000);
  tab.chat.compose(true);
  tab.chat.looking(true);
  assert.deepEqual(heard(tab), []);
  bridge.marks = { host_read: null, typing: true, receipts: true };
  bridge.drop();
  await clock.advance(2_000);
  assert.deepEqual(heard(tab), ["$1"], "what could not be told is told at the next welcome");
});

test("the host's typing is shown until they stop, write, or nobody says more", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  bridge.put(bridge.key("k1"));
  const shows = async (): Promise<boolean> => {
    await settle();
    return tab.chat.view.get().typing;
  };
  const types = (typing: boolean): void => bridge.say({ type: "typing", typing });
  types(true);
  assert.equal(await shows(), true);
  types(false);
  assert.equal(await shows(), false);
  types(true);
  await hostSays(tab, "$1");
  assert.equal(await shows(), false);
  types(true);
  await settle();
  await clock.advance(59_000);
  assert.equal(await shows(), true);
  await clock.advance(2_000);
  assert.equal(await shows(), false);
  types(true);
  await settle();
  bridge.drop();
  assert.equal(await shows(), false);
});

test("the newest event is told as read once, when the guest looks at it", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  bridge.put(bridge.key("k1"));
  await hostSays(tab, "$1");
  assert.deepEqual(heard(tab), []);
  tab.chat.looking(true);
  tab.chat.looking(true);
  assert.deepEqual(heard(tab), ["$1"]);
  tab.chat.looking(false);
  await hostSays(tab, "$2");
  // Found in the past: what the guest had read before may be younger.
  await hostSays(tab, "$0", { late: true, origin_server_ts: 5 });
  assert.deepEqual(heard(tab), ["$1"]);
  tab.chat.looking(true);
  assert.deepEqual(heard(tab), ["$1", "$2"]);
});

test("a read mark covers what was delivered before its event, and nothing after it", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  bridge.put(bridge.key("k1"));
  const mark = async (event_id: string): Promise<void> => {
    bridge.say({ type: "read", event_id });
    await settle();
  };
  await tab.say("one");
  await tab.say("two");
  bridge.put({ type: "delivered", n: 2, event_id: "$one" });
  await hostSays(tab, "$host");
  bridge.put({ type: "delivered", n: 3, event_id: "$two" });
  await settle();
  // "two" was written before the host's event and arrived after it.
  await mark("$host");
  assert.deepEqual(tab.reads(), ["one/read", "two/delivered", "$host"]);
  await mark("$one");
  assert.deepEqual(tab.reads(), ["one/read", "two/delivered", "$host"]);
  await mark("$unheard-of");
  await mark("$two");
  await tab.say("three");
  assert.deepEqual(tab.reads(), ["one/read", "two/read", "$host", "three/sent"]);
  await tab.reload();
  assert.deepEqual(tab.reads(), ["one/read", "two/read", "$host", "three/sent"]);
});

test("a mark that comes before its event, or with a welcome, counts", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  await tab.say("one");
  bridge.say({ type: "read", event_id: "$one" });
  await settle();
  assert.deepEqual(tab.reads(), ["one/sent"]);
  bridge.put({ type: "delivered", n: 2, event_id: "$one" });
  await settle();
  assert.deepEqual(tab.reads(), ["one/read"]);
  await tab.say("two");
  bridge.put({ type: "delivered", n: 3, event_id: "$two" });
  bridge.marks.host_read = "$two";
  bridge.drop();
  await clock.advance(2_000);
  assert.deepEqual(tab.reads(), ["one/read", "two/read"]);
});

test("what the bridge tells a second time makes no read message unread", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  await tab.say("one");
  bridge.put({ type: "delivered", n: 2, event_id: "$one" });
  await settle();
  bridge.say({ type: "read", event_id: "$one" });
  await settle();
  bridge.storeId = "second";
  bridge.seq = 0;
  bridge.inbox = [];
  bridge.put({ type: "delivered", n: 2, event_id: "$one" });
  bridge.drop();
  await clock.advance(2_000);
  assert.deepEqual(tab.reads(), ["one/read"]);
});

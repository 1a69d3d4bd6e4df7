import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { DEADLINE, HOST } from "./support/bridge.ts";
import { RealBridge, RealMachines } from "./support/real.ts";
import { Browser } from "./support/world.ts";

test("what the host says is stored, then acknowledged and shown", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const open = browser.shelf.hold();
  browser.bridge.put(browser.bridge.key("k1"));
  browser.bridge.put(browser.bridge.event("$1", "k1:hello"));
  await settle();
  assert.equal(browser.bridge.acked, 0);
  assert.deepEqual(tab.reads(), []);
  open();
  await settle();
  assert.equal(browser.bridge.acked, 2);
  assert.deepEqual(tab.reads(), ["hello"]);
  const commit = browser.shelf.commits.find((batch) => (batch.entries?.length ?? 0) > 0);
  assert.ok(commit?.records !== undefined && commit.chat?.stage === "joined", "state, history and count are one commit");
});

test("frames that come again change nothing and are acknowledged again", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event("$1", "k1:hello"));
  await settle();
  bridge.acked = 0;
  bridge.say({ ...bridge.event("$1", "k1:hello"), seq: 2 });
  bridge.say({ ...bridge.key("k1"), seq: 1 });
  await settle();
  assert.deepEqual(tab.reads(), ["hello"]);
  assert.equal(bridge.acked, 2);
});

test("a page that died before the acknowledgement gets the frames again, and shows them once", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.deaf = (frame) => frame.type === "ack";
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event("$1", "k1:hello"));
  await settle();
  bridge.deaf = () => false;
  await tab.reload();
  bridge.put(bridge.event("$2", "k1:again"));
  await settle();
  assert.deepEqual(tab.reads(), ["hello", "again"]);
  assert.equal(bridge.acked, 3);
});

test("a hole in the numbers is asked for again, and nothing after it is acknowledged", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  await settle();
  bridge.deaf = (frame) => frame.type === "ack" && frame.seq > 1;
  const events = ["$1", "$2"].map((id) => bridge.event(id, `k1:${id}`));
  const connections = bridge.connections;
  bridge.say({ ...events[1], seq: 3 });
  await settle();
  assert.deepEqual(tab.reads(), []);
  assert.equal(bridge.acked, 1);
  events.forEach((event) => bridge.put(event));
  bridge.deaf = () => false;
  await browser.clock.advance(1_000);
  assert.equal(bridge.connections, connections + 1);
  assert.deepEqual(tab.reads(), ["$1", "$2"]);
});

test("a key that comes late makes its event readable, in its place", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k2"));
  bridge.put(bridge.event("$1", "k1:early"));
  bridge.put(bridge.event("$2", "k2:later"));
  await settle();
  assert.deepEqual(tab.reads(), ["<undecryptable>", "later"]);
  bridge.put(bridge.key("k1"));
  await settle();
  assert.deepEqual(tab.reads(), ["early", "later"]);
});

for (const late of [true, false]) {
  test(`with the real machine: a message whose key ${late ? "comes after a reload" : "never comes"} is never silently missing`, async () => {
    const bridge = new RealBridge();
    const browser = new Browser(new RealMachines(), bridge);
    const tab = await browser.chatting();
    const put = bridge.put.bind(bridge);
    let key: Parameters<typeof put>[0] | null = null;
    bridge.put = (frame) => {
      if (frame.type !== "to_device") return put(frame);
      key = frame;
      return 0;
    };
    bridge.hostSays("early");
    bridge.put = put;
    await settle();
    assert.deepEqual(tab.reads(), ["<undecryptable>"]);
    await tab.reload();
    assert.deepEqual(tab.reads(), ["<undecryptable>"]);
    bridge.hostSays("later");
    if (late) put(key ?? assert.fail());
    await settle();
    assert.deepEqual(tab.reads(), late ? ["early", "later"] : ["<undecryptable>", "<undecryptable>"]);
    await tab.reload();
    assert.deepEqual(tab.reads(), late ? ["early", "later"] : ["<undecryptable>", "<undecryptable>"]);
  });
}

test("an event that was readable is not replaced", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event("$1", "k1:true"));
  bridge.put(bridge.event("$1", "k1:false"));
  await settle();
  assert.deepEqual(tab.reads(), ["true"]);
});

test("a redaction empties the host's message, and a late key does not bring it back", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.event("$1", "k1:oops"));
  bridge.put(bridge.event("$9", "", { type: "m.room.redaction", content: {}, redacts: "$1" }));
  bridge.put(bridge.key("k1"));
  await settle();
  assert.deepEqual(tab.reads(), ["<removed>"]);
  assert.doesNotMatch(JSON.stringify([...browser.shelf.only().entries]), /oops/);
});

test("the host may remove a message of the guest too; what isn't known changes nothing", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  await tab.say("mine");
  bridge.put({ type: "delivered", n: 2, event_id: "$m" });
  for (const redacts of ["$m", "$unknown"]) bridge.put(bridge.event("$9", "", { type: "m.room.redaction", content: {}, redacts }));
  await settle();
  assert.deepEqual(tab.reads(), ["removal done"]);
  assert.doesNotMatch(JSON.stringify([...browser.shelf.only().entries]), /"body":"mine/);
});

test("what came without encryption is named, not shown", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.put(browser.bridge.event("$1", "", { type: "m.room.message", content: {}, unencrypted: true }));
  await settle();
  assert.deepEqual(tab.reads(), ["<unsupported>"]);
});

test("junk stops neither the chat nor the count", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("junk"));
  bridge.put(bridge.event("$1", "", { content: {} }));
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event("$2", "k1:fine"));
  await settle();
  assert.deepEqual(tab.reads(), ["<undecryptable>", "fine"]);
  assert.equal(bridge.acked, 4);
});

test("a frame that is none ends the connection, and the next one goes on", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.say({ type: "event", seq: 1, event: { sender: HOST } });
  await settle();
  assert.equal(bridge.connected, false);
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event("$1", "k1:hello"));
  await browser.clock.advance(1_000);
  assert.deepEqual(tab.reads(), ["hello"]);
});

test("many frames at once are one commit", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  const open = browser.shelf.hold();
  bridge.put(bridge.key("k1"));
  await settle();
  for (let i = 0; i < 50; i += 1) bridge.put(bridge.event(`$${i}`, `k1:${i}`));
  await settle();
  const before = browser.shelf.commits.length;
  open();
  await settle();
  assert.equal(tab.reads().length, 50);
  assert.ok(browser.shelf.commits.length - before <= 3);
});

test("the host's arrival is said once", async () => {
  const browser = new Browser();
  const welcome = browser.bridge.welcome.bind(browser.bridge);
  browser.bridge.welcome = () => {
    const say = browser.bridge.say.bind(browser.bridge);
    browser.bridge.say = (frame) => say({ ...frame, host_joined: false });
    welcome();
    browser.bridge.say = say;
  };
  const tab = await browser.chatting();
  assert.equal(tab.chat.view.get().chat.hostJoined, false);
  browser.bridge.put({ type: "host", joined: true });
  browser.bridge.put({ type: "host", joined: true });
  await settle();
  assert.deepEqual(tab.reads(), ["(host_joined)"]);
  assert.equal(tab.chat.view.get().chat.hostJoined, true);
});

test("what was found in the room's past stands where it was written, also after a reload", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put(bridge.key("k1"));
  const put = (name: string, ts: number, late: boolean): number =>
    bridge.put(bridge.event(`$${name}`, `k1:${name}`, { origin_server_ts: ts, ...(late ? { late } : {}) }));
  put("a", 100, false);
  put("d", 400, false);
  put("e", 500, false);
  await settle();
  put("b", 200, true);
  put("c", 300, true);
  // By a clock that was set back; it was not found in the past, so it is the newest.
  put("f", 50, false);
  put("g", 600, true);
  await settle();
  const inOrder = ["a", "b", "c", "d", "e", "f", "g"];
  assert.deepEqual(tab.reads(), inOrder);
  await tab.reload();
  assert.deepEqual(tab.reads(), inOrder);
});

const DAY = 86_400_000;

test("a warning of the end stays until somebody writes", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  const isWarned = (): boolean => {
    const { deadline, warnedOf } = tab.chat.view.get().chat;
    return warnedOf !== undefined && warnedOf === deadline;
  };
  assert.equal(isWarned(), false);
  bridge.deadline = DEADLINE + DAY;
  bridge.put({ type: "deadline", deadline: bridge.deadline });
  await settle();
  assert.equal(isWarned(), true);
  assert.equal(bridge.acked, 1);
  await tab.reload();
  assert.equal(isWarned(), true, "it is stored");

  bridge.deadline += DAY;
  await tab.say("still here");
  assert.equal(isWarned(), false, "the guest wrote");
  bridge.put({ type: "deadline", deadline: bridge.deadline });
  await settle();
  assert.equal(isWarned(), true, "again before the next one");
  bridge.put(bridge.key("k1"));
  bridge.deadline += DAY;
  bridge.put(bridge.event("$1", "k1:me too"));
  await settle();
  assert.equal(isWarned(), false, "the host wrote");
});

test("a warning that comes a second time, after a message, sets nothing back", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { bridge } = browser;
  bridge.put({ type: "deadline", deadline: DEADLINE });
  bridge.deadline = DEADLINE + DAY;
  await tab.say("still here");
  bridge.put({ type: "deadline", deadline: DEADLINE });
  await settle();
  const { deadline, warnedOf } = tab.chat.view.get().chat;
  assert.equal(deadline, DEADLINE + DAY);
  assert.equal(warnedOf, DEADLINE);
});

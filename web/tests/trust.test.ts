import assert from "node:assert/strict";
import { test } from "node:test";
import type { JoinedChat, Safety } from "../src/domain/records.ts";
import { settle } from "./support/clock.ts";
import { FakeMachine } from "./support/machine.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

const safety = (tab: Tab): Safety | undefined => tab.chat.view.get().chat.safety;
const asked = (tab: Tab): number => tab.browser.bridge.heard.filter(({ type }) => type === "keys_query").length;

/** The homeserver shows another identity of the host, and the bridge says that something changed. */
async function reset(tab: Tab, code: string | undefined): Promise<void> {
  FakeMachine.hostIdentity = "changed";
  FakeMachine.hostCode = code;
  tab.browser.bridge.say({ type: "keys_changed" });
  await settle();
}

async function chatting(): Promise<Tab> {
  return new Browser().chatting();
}

test("the safety code is there with the first keys, and is not called new", async () => {
  const tab = await chatting();
  assert.deepEqual(safety(tab), { code: "1111 2222" });
  await tab.reload();
  assert.deepEqual(safety(tab), { code: "1111 2222" });
});

test("a host without cross-signing has no code; when they set it up, it is new", async () => {
  const browser = new Browser();
  FakeMachine.hostCode = undefined;
  const tab = await browser.chatting();
  assert.deepEqual(safety(tab), { code: null });
  FakeMachine.hostCode = "3333 4444";
  browser.bridge.say({ type: "keys_changed" });
  await settle();
  assert.deepEqual(safety(tab), { code: "3333 4444", since: browser.clock.now() });
});

test("a changed identity is known at once, without a message of anybody, and over a reload without a connection", async () => {
  const tab = await chatting();
  const { bridge, clock } = tab.browser;
  const before = asked(tab);
  await reset(tab, "5555 6666");
  const changed: Safety = { code: "5555 6666", since: clock.now(), doubted: true };
  assert.equal(asked(tab), before + 1);
  assert.deepEqual(safety(tab), changed);
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  bridge.unreachable = true;
  await tab.reload();
  await clock.advance(5_000);
  assert.equal(tab.chat.view.get().status, "reconnecting");
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  assert.deepEqual(safety(tab), changed);
});

test("what is accepted goes on with the new code, and stays marked as new", async () => {
  const tab = await chatting();
  await reset(tab, "5555 6666");
  const since = tab.browser.clock.now();
  await tab.say("waits");
  assert.deepEqual(tab.browser.bridge.texts(), []);
  await tab.browser.clock.advance(60_000);
  void tab.chat.acceptIdentity();
  await settle();
  assert.deepEqual(safety(tab), { code: "5555 6666", since });
  assert.equal(tab.chat.view.get().blocked, null);
  assert.deepEqual(tab.browser.bridge.texts(), ["waits"]);
  await tab.reload();
  assert.deepEqual(safety(tab), { code: "5555 6666", since });
});

test("an identity that comes back is no longer doubted, and what waited goes", async () => {
  const tab = await chatting();
  await reset(tab, "5555 6666");
  await tab.say("waits");
  FakeMachine.hostIdentity = "same";
  FakeMachine.hostCode = "1111 2222";
  tab.browser.bridge.say({ type: "keys_changed" });
  await settle();
  assert.equal(tab.chat.view.get().blocked, null);
  assert.equal(safety(tab)?.code, "1111 2222");
  assert.deepEqual(tab.browser.bridge.texts(), ["waits"]);
});

test("an identity that vanished stops sending too, and leaves no code to compare", async () => {
  const tab = await chatting();
  await reset(tab, undefined);
  await tab.say("waits");
  assert.deepEqual({ ...safety(tab), since: 0 }, { code: null, since: 0, doubted: true });
  assert.deepEqual(tab.browser.bridge.texts(), []);
});

test("keys that could not be asked for are asked for again", async () => {
  const tab = await chatting();
  const { bridge, clock } = tab.browser;
  let deaf = true;
  bridge.deaf = (frame) => {
    if (frame.type !== "keys_query" || !deaf) return false;
    deaf = false;
    bridge.say({ type: "result", id: frame.id, ok: false, error: { code: "rate_limited", message: "", retry_after_ms: 2_000 } });
    return true;
  };
  await reset(tab, "5555 6666");
  assert.equal(tab.chat.view.get().blocked, null);
  await clock.advance(2_000);
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
});

test("when a third person appears nothing more leaves, and what waited says so", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  await tab.say("before");
  bridge.deaf = (frame) => frame.type === "send";
  await tab.say("on its way");
  bridge.end("third_party");
  await settle();
  const committed = bridge.texts();
  const heard = bridge.heard.length;
  assert.equal(await tab.chat.say("after"), false);
  await tab.reload();
  assert.equal(await tab.chat.say("after the reload"), false);
  await settle();
  assert.deepEqual(bridge.texts(), committed);
  assert.equal(bridge.heard.slice(heard).some(({ type }) => type === "send" || type === "to_device"), false);
  const { chat } = tab.chat.view.get();
  assert.deepEqual(chat.ending, { kind: "ended", reason: "third_party" });
  assert.deepEqual(tab.reads(), ["before/sent", "on its way/failed"]);
  assert.equal(tab.browser.shelf.only().records.size, 0, "its keys are gone");
});

test("an emoji verification that arrives is acknowledged and changes nothing", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  const before = safety(tab);
  for (const type of ["m.key.verification.request", "m.key.verification.start", "m.key.verification.cancel"]) {
    bridge.put({ type: "to_device", event: { type, sender: "@alice:example.org", content: { transaction_id: "t" } } });
  }
  await settle();
  assert.equal(bridge.acked, bridge.seq);
  assert.deepEqual(tab.reads(), []);
  assert.deepEqual(safety(tab), before);
  await tab.say("goes on");
  assert.deepEqual(bridge.texts(), ["goes on"]);
});

test("a chat from before there were codes gets its code with the next welcome", async () => {
  const tab = await chatting();
  const stored = tab.browser.shelf.only();
  const { safety: _, ...older } = stored.chat as JoinedChat;
  stored.chat = older;
  await tab.reload();
  assert.deepEqual(safety(tab), { code: "1111 2222" });
});

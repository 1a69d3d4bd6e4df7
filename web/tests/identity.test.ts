/** Whom the page gives keys, and whose it takes, with the real machine on both sides. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { NumberedFrame } from "../src/protocol.ts";
import { settle } from "./support/clock.ts";
import { RealBridge, RealMachines } from "./support/real.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

async function chatting(): Promise<{ tab: Tab<RealMachines>; bridge: RealBridge }> {
  const bridge = new RealBridge();
  const tab = await new Browser(new RealMachines(), bridge).chatting();
  return { tab, bridge };
}

/** Which devices got what: a key, or the word that they get none. */
function sharing(bridge: RealBridge): string[] {
  const frames = [...bridge.committed.values()];
  const shared = frames.filter((frame): frame is Extract<NumberedFrame, { type: "to_device" }> => frame.type === "to_device");
  return shared.flatMap(({ event_type, messages }) => Object.keys(messages).map((device) => `${device} ${event_type}`));
}

test("an identity that changed gets nothing and opens nothing, until the guest goes on", async () => {
  const { tab, bridge } = await chatting();
  await tab.say("before");
  const code = tab.chat.view.get().chat.safety?.code;
  assert.match(code ?? "", /^\d{4}( \d{4}){5}$/);
  const old = bridge.host;
  bridge.resets();
  await settle();
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  const { safety } = tab.chat.view.get().chat;
  assert.notEqual(safety?.code, code);
  bridge.hostSays("under the new one");
  await settle();
  await tab.say("waits");
  await tab.reload();
  await tab.say("waits too");
  assert.deepEqual(tab.reads(), ["before/sent", "<undecryptable>", "waits/waiting", "waits too/waiting"]);
  assert.deepEqual(sharing(bridge), ["HOSTDEVICE m.room.encrypted"]);
  assert.deepEqual(bridge.hostRead, ["before"]);

  void tab.chat.acceptIdentity();
  await settle();
  assert.deepEqual(bridge.hostRead, ["before", "waits", "waits too"]);
  assert.deepEqual(sharing(bridge), ["HOSTDEVICE m.room.encrypted", "HOSTNEW m.room.encrypted"]);
  assert.ok(tab.reads().includes("under the new one"));
  assert.equal(tab.chat.view.get().chat.safety?.code, safety?.code);
  // What belonged to the old identity reads nothing of it.
  const [last] = [...bridge.committed.values()].slice(-1);
  assert.ok(last?.type === "send");
  assert.equal(old.reads(last.content, "$last"), "(undecryptable)");
});

test("a device that the host has not signed gets no key and is told so, and what it sends opens nothing", async () => {
  const { tab, bridge } = await chatting();
  bridge.addsRogue();
  await tab.say("for the signed one");
  assert.deepEqual(sharing(bridge).sort(), ["HOSTDEVICE m.room.encrypted", "ROGUE m.room_key.withheld"]);
  assert.deepEqual(bridge.hostRead, ["for the signed one"]);
  assert.equal(tab.chat.view.get().blocked, null);
  bridge.rogueSays("from the other");
  bridge.hostSays("from the signed one");
  await settle();
  assert.deepEqual(tab.reads(), ["for the signed one/sent", "<undecryptable>", "from the signed one"]);
});

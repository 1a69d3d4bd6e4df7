/** The host's device lost its Olm session: the page begins a new one, though nobody writes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { RealBridge, RealMachines } from "./support/real.ts";
import { Browser } from "./support/world.ts";
import type { Json } from "../src/shape.ts";
import { HOST } from "./support/bridge.ts";

/** The to-device message with one bit of its ciphertext flipped. */
function broken(content: Json): Json {
  const copy = structuredClone(content) as { ciphertext: Record<string, { body: string }> };
  for (const message of Object.values(copy.ciphertext)) {
    const bytes = Buffer.from(message.body, "base64");
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    message.body = bytes.toString("base64").replace(/=+$/, "");
  }
  return copy;
}

test("a device whose messages can't be read gets a new session, once", async () => {
  const bridge = new RealBridge();
  const browser = new Browser(new RealMachines(), bridge);
  const tab = await browser.chatting();
  await tab.say("hello");
  const [olm] = bridge.host.writes("its key is all that is used of it").toDevice;
  assert.ok(olm !== undefined);
  const before = bridge.committed.size;
  for (let times = 0; times < 3; times += 1) {
    bridge.put({ type: "to_device", event: { type: "m.room.encrypted", sender: HOST, content: broken(olm) } });
    await browser.clock.advance(1_000);
  }
  const later = [...bridge.committed.values()].slice(before);
  assert.deepEqual(later.map(({ type }) => type), ["to_device"]);

  await tab.reload();
  bridge.hostSays("second");
  await browser.clock.advance(1_000);
  await tab.say("and on it goes");
  assert.deepEqual(tab.reads(), ["hello/sent", "second", "and on it goes/sent"]);
  assert.deepEqual(bridge.hostRead, ["hello", "and on it goes"]);
});

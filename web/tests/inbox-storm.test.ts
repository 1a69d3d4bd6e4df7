/** A way to the page that repeats, drops and reorders frames, and breaks. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FakeBridge } from "./support/bridge.ts";
import { settle } from "./support/clock.ts";
import { generator } from "./support/real.ts";
import { Browser } from "./support/world.ts";

/** From here on the bridge's inbox frames don't arrive as they should. */
function storm(bridge: FakeBridge, random: () => number): () => void {
  const say = bridge.say.bind(bridge);
  const held: object[] = [];
  bridge.say = (frame) => {
    if (!("seq" in frame)) return say(frame);
    const luck = random();
    if (luck < 0.15) return;
    if (luck < 0.3) held.push(frame);
    else say(frame);
    if (luck > 0.7) say(frame);
    if (luck > 0.8) held.splice(0).forEach((late) => say(late));
    if (luck > 0.95) setImmediate(() => bridge.drop());
  };
  return () => {
    bridge.say = say;
  };
}

for (let seed = 1; seed <= 40; seed += 1) {
  test(`frames that come twice, late, never or in disorder are shown once and in order (seed ${seed})`, async () => {
    const random = generator(seed);
    const browser = new Browser();
    const tab = await browser.chatting();
    const { bridge } = browser;
    bridge.put(bridge.key("k1"));
    await settle();
    const calm = storm(bridge, random);
    const expected: string[] = [];
    for (let number = 0; number < 40; number += 1) {
      expected.push(`text ${number}`);
      bridge.put(bridge.event(`$${number}`, `k1:text ${number}`));
      if (random() < 0.5) await settle();
      if (random() < 0.3) await browser.clock.advance(700);
      const reads = tab.reads();
      assert.deepEqual(reads, expected.slice(0, reads.length));
      const stored = browser.shelf.only().chat;
      assert.ok(stored.stage === "joined" && bridge.acked <= (stored.lastSeq ?? 0), "acknowledged before it was stored");
    }
    const connections = bridge.connections;
    calm();
    bridge.drop();
    await browser.clock.advance(60_000);
    assert.deepEqual(tab.reads(), expected);
    assert.equal(bridge.acked, 41);
    assert.equal(bridge.inbox.length, 0);
    assert.equal(tab.chat.view.get().halt, null);
    assert.ok(connections > 1, "holes were noticed");
  });
}

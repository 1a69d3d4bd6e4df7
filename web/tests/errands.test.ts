/** The page dies at every step of sending what it sends by itself, and of taking a message back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

/** The homeserver delivered what it got, and says so once. */
function deliver(tab: Tab, told: Set<number>): void {
  const { bridge } = tab.browser;
  for (const [n, frame] of bridge.committed) {
    if (frame.type === "to_device" || told.has(n)) continue;
    told.add(n);
    bridge.put({ type: "delivered", n, event_id: `$guest${n}` });
  }
}

async function remove(tab: Tab): Promise<void> {
  const oops = tab.mine().find(({ body }) => body === "oops");
  if (oops !== undefined) void tab.chat.remove(oops.pos).catch(() => undefined);
  await settle();
}

/** Gives whether the page died. */
async function run(cutAt: number): Promise<boolean> {
  const tab = await new Browser().chatting();
  const { bridge, clock, machines } = tab.browser;
  const told = new Set<number>();
  const item = (id: string, what: object): number => bridge.put(bridge.event(id, `k1:${JSON.stringify({ kind: "unsupported", ...what })}`));
  const ring = { call_id: "c1", hangup: false, until: clock.now() + 3_600_000 };
  const happenings = [
    () => bridge.put(bridge.key("k1")),
    () => item("$photo", { what: "image" }),
    () => tab.say("oops"),
    () => item("$call", { what: "call", ring }),
    () => deliver(tab, told),
    () => remove(tab),
    () => item("$photo2", { what: "image" }),
    () => tab.say("better"),
    () => deliver(tab, told),
  ];
  tab.life.cutAt = tab.life.steps + cutAt;
  let died = false;
  const revive = async (): Promise<void> => {
    if (!tab.life.dead) return;
    died = true;
    await tab.reload();
  };
  for (const happen of happenings) {
    await happen();
    await settle();
    await revive();
  }
  await clock.advance(5_000);
  await revive();
  // What the person did not see happen, they do again.
  if (!bridge.texts().includes("oops") && tab.mine().every(({ body }) => body !== "oops")) await tab.say("oops");
  if (!bridge.texts().includes("better") && tab.mine().every(({ body }) => body !== "better")) await tab.say("better");
  for (let round = 0; round < 3; round += 1) {
    deliver(tab, told);
    await remove(tab);
    await clock.advance(30_000);
  }
  const texts = bridge.texts();
  const sent = (text: string): number => texts.filter((other) => other === text).length;
  assert.deepEqual(texts.filter((text) => text.startsWith("(notice")), ["(notice Maya (Guest) missed image)"]);
  assert.equal(sent("(reject c1 false)"), 1);
  assert.equal(sent("better"), 1);
  assert.ok(sent("oops") <= 1);
  assert.equal(machines.ledger.size, texts.length, "each was encrypted once");
  const oops = [...bridge.committed].find(([, frame]) => frame.type === "send" && String(frame.content["ciphertext"]).endsWith(":oops"));
  const redacted = [...bridge.committed.values()].flatMap((frame) => (frame.type === "redact" ? [frame.event_id] : []));
  assert.deepEqual(redacted, oops === undefined ? [] : [`$guest${oops[0]}`]);
  assert.doesNotMatch(JSON.stringify([...tab.browser.shelf.only().entries]), /oops/);
  const own = tab.reads().filter((line) => !line.startsWith("<"));
  assert.deepEqual(own.sort(), oops === undefined ? ["better/delivered"] : ["better/delivered", "removal done"]);
  assert.equal(tab.reads().filter((line) => line === "<unsupported>").length, 3);
  return died;
}

test("notice, answer and removal reach the host once, wherever the page dies", async (context) => {
  let cuts = 0;
  for (let cutAt = 1; ; cutAt += 1) {
    try {
      if (!(await run(cutAt))) break;
    } catch (error) {
      throw new Error(`cut at step ${cutAt}`, { cause: error });
    }
    cuts += 1;
  }
  assert.ok(cuts > 60, String(cuts));
  context.diagnostic(`${cuts} cuts`);
});

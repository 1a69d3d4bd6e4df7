import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

async function delivered(tab: Tab, text: string, id: string): Promise<number> {
  await tab.say(text);
  const { bridge } = tab.browser;
  bridge.put({ type: "delivered", n: bridge.lastN, event_id: id });
  await settle();
  return tab.mine().at(-1)?.pos ?? assert.fail();
}

async function remove(tab: Tab, pos: number): Promise<void> {
  void tab.chat.remove(pos);
  await settle();
}

const redactions = (tab: Tab): unknown[] =>
  [...tab.browser.bridge.committed.values()].flatMap((frame) => (frame.type === "redact" ? [frame.event_id] : []));
const disk = (tab: Tab): string => JSON.stringify([...tab.browser.shelf.only().entries]);

test("a delivered message is taken back: its text goes at once, and the removal is sent", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  const pos = await delivered(tab, "oops", "$1");
  await remove(tab, pos);
  assert.deepEqual(tab.reads(), ["removal asked"]);
  assert.doesNotMatch(disk(tab), /oops/);
  assert.deepEqual(redactions(tab), ["$1"]);
  await remove(tab, pos);
  bridge.put({ type: "delivered", n: bridge.lastN, event_id: "$r" });
  await settle();
  await remove(tab, pos);
  assert.deepEqual(tab.reads(), ["removal done"]);
  assert.equal(redactions(tab).length, 1, "once");
  await tab.reload();
  assert.deepEqual(tab.reads(), ["removal done"]);
});

test("one that is on its way is taken back as soon as its event is known", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  await tab.say("oops");
  const n = bridge.lastN;
  await remove(tab, 1);
  await tab.say("better");
  assert.deepEqual(tab.reads(), ["removal asked", "better/sent"]);
  assert.deepEqual(redactions(tab), []);
  await tab.reload();
  bridge.put({ type: "delivered", n, event_id: "$1" });
  await settle();
  assert.deepEqual(redactions(tab), ["$1"]);
  assert.doesNotMatch(disk(tab), /oops/);
});

test("one that waits in the queue never leaves", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  bridge.unreachable = true;
  bridge.drop();
  await tab.say("oops");
  await tab.say("better");
  await remove(tab, 1);
  assert.deepEqual(tab.reads(), ["better/waiting"]);
  bridge.unreachable = false;
  await clock.advance(5_000);
  assert.deepEqual(bridge.texts(), ["better"]);
});

test("what the homeserver never took needs no removal; what it keeps is said", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  await tab.say("oops");
  await remove(tab, 1);
  bridge.put({ type: "undelivered", n: bridge.lastN, code: "M_FORBIDDEN" });
  await settle();
  assert.deepEqual(tab.reads(), []);
  assert.deepEqual(redactions(tab), []);
  const pos = await delivered(tab, "kept", "$2");
  await remove(tab, pos);
  bridge.put({ type: "undelivered", n: bridge.lastN, code: "M_FORBIDDEN" });
  await settle();
  assert.deepEqual(tab.reads(), ["removal failed"]);
  await tab.say("and on");
  assert.deepEqual(bridge.texts().slice(-1), ["and on"]);
});

test("a removal that the bridge refuses is said too, and frees its number", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  const pos = await delivered(tab, "kept", "$1");
  bridge.refuseNext = { code: "bad_request" };
  await remove(tab, pos);
  assert.deepEqual(tab.reads(), ["removal failed"]);
  await tab.say("and on");
  assert.deepEqual(tab.reads(), ["removal failed", "and on/sent"]);
});

for (const heard of [true, false]) {
  test(`the page dies ${heard ? "after" : "before"} the bridge took a removal: it is sent once`, async () => {
    const tab = await new Browser().chatting();
    const { bridge } = tab.browser;
    const pos = await delivered(tab, "oops", "$1");
    bridge.deaf = (frame) => {
      if (frame.type !== "redact") return false;
      if (heard) {
        bridge.committed.set(frame.n, frame);
        bridge.lastN = frame.n;
      }
      return true;
    };
    await remove(tab, pos);
    bridge.deaf = () => false;
    await tab.reload();
    assert.deepEqual(redactions(tab), ["$1"]);
    bridge.put({ type: "delivered", n: bridge.lastN, event_id: "$r" });
    await settle();
    assert.deepEqual(tab.reads(), ["removal done"]);
    await tab.say("and on");
    assert.deepEqual(tab.reads(), ["removal done", "and on/sent"]);
  });
}

test("a bridge that forgot a removal gets it again; one that forgot the message as well says so", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  const pos = await delivered(tab, "oops", "$1");
  await remove(tab, pos);
  const n = bridge.lastN;
  bridge.storeId = "second";
  Object.assign(bridge, { seq: 0, inbox: [], acked: 0, lastN: n - 1 });
  bridge.committed.delete(n);
  bridge.drop();
  await clock.advance(2_000);
  assert.equal(tab.chat.view.get().halt, null);
  assert.deepEqual(redactions(tab), ["$1"]);
  bridge.put({ type: "undelivered", n, code: "unknown_event" });
  await settle();
  assert.deepEqual(tab.reads(), ["removal failed"]);
  await tab.say("and on");
  assert.deepEqual(tab.reads(), ["removal failed", "and on/sent"]);
});

test("the end of the chat leaves a removal that never left as it is", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  const pos = await delivered(tab, "oops", "$1");
  bridge.deaf = (frame) => frame.type === "redact";
  await remove(tab, pos);
  bridge.end("host");
  await settle();
  assert.deepEqual(tab.reads(), ["removal failed"]);
  await tab.reload();
  assert.deepEqual(tab.reads(), ["removal failed"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientFrame } from "../src/protocol.ts";
import { settle } from "./support/clock.ts";
import { DEADLINE } from "./support/bridge.ts";
import { FakeMachine } from "./support/machine.ts";
import { Browser } from "./support/world.ts";

function types(frames: readonly ClientFrame[]): string[] {
  return frames.map(({ type }) => type);
}

test("the first message asks for keys, shares the room key, then goes", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("hello");
  await tab.say("again");
  assert.deepEqual(types(browser.bridge.heard), ["hello", "keys_claim", "to_device", "send", "send"]);
  assert.deepEqual(browser.bridge.texts(), ["hello", "again"]);
  assert.deepEqual(tab.reads(), ["hello/sent", "again/sent"]);
  browser.bridge.put({ type: "delivered", n: 2, event_id: "$1" });
  await settle();
  assert.deepEqual(tab.reads(), ["hello/delivered", "again/sent"]);
  assert.equal(tab.mine()[0]?.eventId, "$1");
  assert.equal(tab.chat.view.get().chat.deadline, DEADLINE);
});

test("nothing leaves before it is on disk, and nothing is shown as sent before the answer is", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  const before = browser.bridge.heard.length;
  const open = browser.shelf.hold();
  await tab.say("held");
  assert.equal(browser.bridge.heard.length, before);
  assert.deepEqual(tab.reads(), ["first/sent"]);
  open();
  await settle();
  assert.deepEqual(browser.bridge.texts(), ["first", "held"]);
});

test("the frame, the machine's state and the message's number reach the disk in one commit", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("one");
  const staged = browser.shelf.commits.filter((batch) => batch.staged?.kind === "send");
  assert.equal(staged.length, 1);
  const [commit] = staged;
  assert.ok(commit?.records !== undefined && commit.records.size > 0);
  assert.ok(commit.chat?.stage === "joined" && commit.chat.lastN === 2);
  assert.ok(commit.entries?.[0]?.kind === "mine" && commit.entries[0].n === 2);
});

for (const step of ["hello", "keys_claim", "to_device", "send"] as const) {
  for (const heard of [true, false]) {
    test(`the page dies ${heard ? "after" : "before"} the bridge took ${step}: nothing missing, nothing twice`, async () => {
      const browser = new Browser();
      const tab = await browser.chatting();
      let died = false;
      browser.bridge.deaf = (frame) => {
        if (died || frame.type !== step) return false;
        died = true;
        if (heard && "n" in frame) {
          browser.bridge.committed.set(frame.n, frame);
          browser.bridge.lastN = frame.n;
        }
        return true;
      };
      if (step === "hello") browser.bridge.drop();
      await tab.say("one");
      await tab.say("two");
      await browser.clock.advance(1_000);
      assert.ok(died);
      await tab.reload();
      assert.deepEqual(browser.bridge.texts(), ["one", "two"]);
      assert.deepEqual(tab.reads(), ["one/sent", "two/sent"]);
      assert.equal(browser.machines.ledger.size, 2, "each message was encrypted once");
      const numbers = [...browser.bridge.committed.keys()];
      assert.deepEqual(numbers, [1, 2, 3]);
    });
  }
}

test("the page dies while a commit is on its way to the disk: it never happened", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("zero");
  const open = browser.shelf.hold();
  void tab.chat.say("one").catch(() => undefined);
  await settle();
  await tab.reload();
  open();
  await settle();
  assert.deepEqual(browser.bridge.texts(), ["zero"], "it never was on disk, so it was never shown");
  await tab.say("two");
  assert.deepEqual(browser.bridge.texts(), ["zero", "two"]);
});

test("a connection that breaks gets the same frame again", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  let deaf = true;
  browser.bridge.deaf = (frame) => frame.type === "send" && deaf;
  await tab.say("second");
  const sent = browser.bridge.heard.at(-1);
  browser.bridge.drop();
  deaf = false;
  await browser.clock.advance(1_000);
  assert.deepEqual(browser.bridge.heard.at(-1), sent);
  assert.deepEqual(tab.reads(), ["first/sent", "second/sent"]);
});

test("silence after a frame means a dead connection", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  let deaf = true;
  browser.bridge.deaf = (frame) => frame.type === "keys_claim" && deaf;
  await tab.say("hello");
  deaf = false;
  await browser.clock.advance(25_000);
  assert.deepEqual(tab.reads(), ["hello/sent"]);
  assert.equal(browser.bridge.connections, 2);
});

test("what is written offline waits, is kept over a reload, and goes in order", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.unreachable = true;
  browser.bridge.drop();
  for (const text of ["one", "two", "three"]) await tab.say(text);
  await browser.clock.advance(5_000);
  assert.equal(tab.chat.view.get().status, "reconnecting");
  await tab.reload();
  assert.deepEqual(tab.reads(), ["one/waiting", "two/waiting", "three/waiting"]);
  browser.bridge.unreachable = false;
  tab.tell("online");
  await settle();
  assert.deepEqual(browser.bridge.texts(), ["one", "two", "three"]);
  assert.equal(tab.chat.view.get().status, "open");
});

test("messages can be written while the room is made", async () => {
  const browser = new Browser();
  browser.bridge.opening = true;
  const tab = await browser.chatting();
  assert.equal(tab.chat.view.get().status, "opening");
  await tab.say("early");
  assert.deepEqual(tab.reads(), ["early/waiting"]);
  browser.bridge.welcome();
  await settle();
  assert.deepEqual(tab.reads(), ["early/sent"]);
});

test("a rate limit waits as long as it says, and sends the same frame", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  browser.bridge.refuseNext = { code: "rate_limited", retry_after_ms: 800 };
  await tab.say("second");
  assert.deepEqual(tab.reads(), ["first/sent", "second/waiting"]);
  const sent = browser.bridge.heard.at(-1);
  await browser.clock.advance(799);
  assert.equal(browser.bridge.heard.at(-1), sent);
  await browser.clock.advance(1);
  assert.deepEqual(browser.bridge.heard.at(-1), sent);
  assert.deepEqual(browser.bridge.texts(), ["first", "second"]);
});

for (const [code, why] of [["too_large", "too_large"], ["bad_request", "refused"], ["not_encrypted", "refused"]] as const) {
  test(`a message refused with "${code}" is marked, stops nothing, and can be sent again, at the end`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    await tab.say("first");
    browser.bridge.refuseNext = { code };
    await tab.say("second");
    await tab.say("third");
    assert.deepEqual(tab.reads(), ["first/sent", "second/failed", "third/sent"]);
    assert.equal(tab.mine()[1]?.why, why);
    assert.deepEqual([...browser.bridge.committed.keys()], [1, 2, 3]);
    const gone: number[] = [];
    tab.chat.gone.subscribe((places) => gone.push(...places));
    void tab.chat.retry(2);
    await settle();
    assert.deepEqual(browser.bridge.texts(), ["first", "third", "second"]);
    assert.deepEqual(tab.reads(), ["first/sent", "third/sent", "second/sent"]);
    assert.deepEqual(gone, [2]);
    await tab.reload();
    assert.deepEqual(tab.reads(), ["first/sent", "third/sent", "second/sent"]);
    assert.equal(browser.machines.ledger.size, 4, "the refused ciphertext is never used again");
  });
}

test("a message that failed is forgotten when it is removed", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  browser.bridge.refuseNext = { code: "too_large" };
  await tab.say("second");
  for (const pos of [2, 3]) void tab.chat.remove(pos);
  await settle();
  assert.deepEqual(tab.reads(), ["first/sent"]);
  await tab.reload();
  assert.deepEqual(tab.reads(), ["first/sent"]);
  assert.doesNotMatch(JSON.stringify([...browser.shelf.only().entries]), /second/);
  await tab.say("third");
  assert.deepEqual(tab.reads(), ["first/sent", "third/sent"]);
});

for (const code of ["not_open", "unavailable", "something_new"]) {
  test(`"${code}" is for now: the same frame comes again`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    await tab.say("first");
    browser.bridge.refuseNext = { code };
    await tab.say("second");
    await tab.say("third");
    const sent = browser.bridge.heard.at(-1);
    assert.deepEqual(tab.reads(), ["first/sent", "second/waiting", "third/waiting"]);
    await browser.clock.advance(5_000);
    assert.deepEqual(browser.bridge.texts(), ["first", "second", "third"]);
    assert.ok(browser.bridge.heard.filter((frame) => JSON.stringify(frame) === JSON.stringify(sent)).length === 2);
  });
}

test("frames are kept until it is known what became of them", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  for (const text of ["one", "two", "three"]) await tab.say(text);
  const kept = (): number[] => [...browser.shelf.only().sent.keys()];
  assert.deepEqual(kept(), [1, 2, 3, 4]);
  browser.bridge.put({ type: "delivered", n: 2, event_id: "$1" });
  await settle();
  assert.deepEqual(kept(), [3, 4]);
  browser.bridge.put({ type: "undelivered", n: 3, code: "M_FORBIDDEN" });
  await settle();
  assert.deepEqual(kept(), [4]);
  assert.equal(tab.mine()[1]?.why, "undelivered");
  browser.bridge.deaf = (frame) => frame.type === "send";
  await tab.say("four");
  browser.bridge.put({ type: "delivered", n: 5, event_id: "$4" });
  browser.bridge.say({ type: "result", n: 5, ok: true, deadline: DEADLINE });
  await settle();
  assert.deepEqual(kept(), [], "what was told before the answer is not kept by the answer");
  browser.bridge.deaf = () => false;
  await tab.say("five");
  browser.bridge.end("host");
  await settle();
  assert.deepEqual(kept(), []);
});

test("a refused room key fails the message it was for, without an endless loop", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.refuseNext = { code: "bad_request" };
  await tab.say("first");
  assert.deepEqual(tab.reads(), ["first/failed"]);
  await tab.say("second");
  assert.deepEqual(tab.reads(), ["first/failed", "second/sent"]);
});

test("what the homeserver refuses is marked", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  browser.bridge.put({ type: "undelivered", n: 2, code: "M_FORBIDDEN" });
  await settle();
  assert.deepEqual(tab.reads(), ["first/failed"]);
});

test("delivered may come before the answer, and is not taken back by it", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("first");
  browser.bridge.deaf = (frame) => frame.type === "send";
  await tab.say("second");
  browser.bridge.put({ type: "delivered", n: 3, event_id: "$2" });
  await settle();
  browser.bridge.say({ type: "result", n: 3, ok: true, deadline: DEADLINE });
  await settle();
  assert.deepEqual(tab.reads(), ["first/sent", "second/delivered"]);
});

test("a changed identity stops sending until it is accepted", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("before");
  FakeMachine.hostIdentity = "changed";
  browser.bridge.say({ type: "keys_changed" });
  await settle();
  await tab.say("after");
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  assert.deepEqual(browser.bridge.texts(), ["before"]);
  await tab.reload();
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  assert.deepEqual(browser.bridge.texts(), ["before"]);
  void tab.chat.acceptIdentity();
  await settle();
  assert.equal(tab.chat.view.get().blocked, null);
  assert.deepEqual(browser.bridge.texts(), ["before", "after"]);
});

test("a host without a device is waited for", async () => {
  const browser = new Browser();
  FakeMachine.hostDevices = 0;
  const tab = await browser.chatting();
  await tab.say("anybody?");
  assert.equal(tab.chat.view.get().blocked, "no_devices");
  FakeMachine.hostDevices = 1;
  browser.bridge.say({ type: "keys_changed" });
  await settle();
  assert.equal(tab.chat.view.get().blocked, null);
  assert.deepEqual(tab.reads(), ["anybody?/sent"]);
});

test("one-time keys are refilled when few are left, stored first, and offered again if the answer is lost", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.deaf = (frame) => frame.type === "keys_upload";
  browser.bridge.say({ type: "one_time_keys", count: 3, fallback_unused: false });
  await settle();
  assert.equal(types(browser.bridge.heard).filter((type) => type === "keys_upload").length, 1);
  browser.bridge.deaf = () => false;
  browser.bridge.oneTimeKeys = 3;
  await tab.reload();
  assert.equal(types(browser.bridge.heard).filter((type) => type === "keys_upload").length, 2);
  browser.bridge.say({ type: "one_time_keys", count: 50, fallback_unused: true });
  await settle();
  assert.equal(types(browser.bridge.heard).filter((type) => type === "keys_upload").length, 2);
});

test("nothing to say is not said, and too much neither", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  for (const text of ["", "  \n ", "x".repeat(4_001), "語".repeat(4_000)]) assert.equal(await tab.chat.say(text), false);
  assert.equal(await tab.chat.say("  x\r\ny  "), true);
  await settle();
  assert.deepEqual(browser.bridge.texts(), ["x\ny"]);
});

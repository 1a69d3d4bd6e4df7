import assert from "node:assert/strict";
import { test } from "node:test";
import { END_REASONS } from "../src/protocol.ts";
import { settle } from "./support/clock.ts";
import { Browser, TOKEN } from "./support/world.ts";

for (const reason of END_REASONS) {
  test(`an end by "${reason}" stays, with its history and without its keys`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    await tab.say("hello");
    browser.bridge.end(reason);
    await settle();
    assert.deepEqual(tab.chat.view.get().chat.ending, { kind: "ended", reason });
    assert.equal(browser.bridge.acked, 1);
    assert.equal(browser.shelf.only().records.size, 0);
    const { connections } = browser.bridge;
    await tab.reload();
    assert.deepEqual(tab.reads(), ["hello/sent"]);
    assert.equal(await tab.chat.say("too late"), false);
    assert.equal(browser.bridge.connections, connections, "there is nothing to connect for");
  });
}

test("what never left is marked when the chat ends", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("sent");
  browser.bridge.deaf = (frame) => frame.type === "send";
  await tab.say("on its way");
  await tab.say("waiting");
  browser.bridge.end("expired");
  await settle();
  assert.deepEqual(tab.reads(), ["sent/sent", "on its way/failed", "waiting/failed"]);
  assert.equal(browser.shelf.only().staged, null);
});

test("an ended chat can be erased", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.end("host");
  await settle();
  if (tab.screen.name === "chat") tab.screen.erase();
  await settle();
  assert.equal(tab.shows, "erased");
  assert.equal(browser.shelf.kept.size, 0);
});

test("end and erase leaves nothing, once the bridge knows", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("secret");
  void tab.chat.leave();
  await settle();
  assert.equal(browser.bridge.heard.filter(({ type }) => type === "leave").length, 1);
  assert.equal(tab.shows, "erased");
  assert.equal(browser.shelf.kept.size, 0);
});

test("end and erase while offline erases at once, and ends the chat when it can", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await tab.say("secret");
  browser.bridge.unreachable = true;
  browser.bridge.drop();
  await tab.say("unsent");
  void tab.chat.leave();
  await settle();
  assert.deepEqual(tab.reads(), []);
  assert.equal(browser.shelf.only().entries.size, 0);
  await tab.reload();
  assert.deepEqual(tab.chat.view.get().chat.ending, { kind: "leaving" });
  browser.bridge.unreachable = false;
  await browser.clock.advance(60_000);
  assert.equal(tab.shows, "erased");
  assert.equal(browser.shelf.kept.size, 0);
  assert.deepEqual(browser.bridge.texts(), ["secret"]);
});

test("a chat can be ended while its room is made", async () => {
  const browser = new Browser();
  browser.bridge.opening = true;
  const tab = await browser.chatting();
  void tab.chat.leave();
  await settle();
  assert.equal(tab.shows, "erased");
});

test("a bridge that doesn't accept the signature: these keys are of no use", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.say({ type: "error", code: "bad_signature", message: "" });
  await settle();
  assert.equal(tab.shows, "lost");
});

for (const [code, halt] of [["unknown_chat", "unknown"], ["damaged", "damaged"]] as const) {
  test(`after "${code}" the history stays, nothing is sent, and the next loading asks again`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    await tab.say("hello");
    browser.bridge.say({ type: "error", code, message: "" });
    await settle();
    const { connections } = browser.bridge;
    await tab.say("waits");
    tab.tell("online");
    await browser.clock.advance(60_000);
    assert.equal(tab.chat.view.get().halt, halt);
    assert.deepEqual(tab.reads(), ["hello/sent", "waits/waiting"]);
    assert.equal(browser.bridge.connections, connections);
    // Whoever runs the bridge mended it.
    await tab.reload();
    assert.equal(tab.chat.view.get().halt, null);
    assert.deepEqual(tab.reads(), ["hello/sent", "waits/sent"]);
  });
}

test("a guest who left and whom the bridge doesn't know any more has left", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.bridge.deaf = (frame) => frame.type === "leave";
  void tab.chat.leave();
  await settle();
  browser.bridge.say({ type: "error", code: "unknown_chat", message: "" });
  await settle();
  assert.equal(tab.shows, "erased");
  assert.equal(browser.shelf.kept.size, 0);
});

test("the same link opens the ended chat, not a new one", async () => {
  const browser = new Browser();
  await browser.chatting();
  browser.bridge.end("host");
  await settle();
  browser.locks.take = () => Promise.resolve(() => undefined);
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  assert.equal(tab.chat.view.get().chat.ending?.kind, "ended");
  assert.equal(browser.bridge.joins.length, 1);
});

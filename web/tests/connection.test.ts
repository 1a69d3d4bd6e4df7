import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";

test("tries come further and further apart, and never stop", async () => {
  const browser = new Browser();
  await browser.chatting();
  await browser.clock.advance(60_000);
  const { bridge } = browser;
  bridge.unreachable = true;
  const start = bridge.connections;
  bridge.drop();
  const times: number[] = [];
  for (let second = 0; second < 240; second += 1) {
    const before = bridge.connections;
    await browser.clock.advance(1_000);
    if (bridge.connections > before) times.push(second);
  }
  assert.ok(bridge.connections - start < 20, `${bridge.connections - start} tries in four minutes`);
  const last = times.at(-1) ?? 0;
  assert.ok(last > 200, "it still tries");
  assert.ok(last - (times.at(-2) ?? 0) > 15, "late tries are far apart");
  assert.ok((times[1] ?? 99) < 5, "early tries are close together");
});

test("a connection that never says anything is given up", async () => {
  const browser = new Browser();
  browser.bridge.deaf = (frame) => frame.type === "hello";
  const tab = await browser.chatting();
  browser.bridge.deaf = () => false;
  await browser.clock.advance(30_000);
  assert.equal(tab.chat.view.get().status, "open");
});

test("a short break is not worth a word, a long one is", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  await browser.clock.advance(60_000);
  browser.bridge.drop();
  await browser.clock.advance(1_000);
  assert.equal(tab.chat.view.get().status, "open");
  browser.bridge.unreachable = true;
  browser.bridge.drop();
  await browser.clock.advance(2_000);
  assert.equal(tab.chat.view.get().status, "reconnecting");
});

test("the network's return and a look at the page end the wait", async () => {
  for (const event of ["online", "visible"] as const) {
    const browser = new Browser();
    const tab = await browser.chatting();
    browser.bridge.unreachable = true;
    browser.bridge.drop();
    await browser.clock.advance(120_000);
    browser.bridge.unreachable = false;
    tab.tell(event);
    await settle();
    assert.equal(tab.chat.view.get().status, "open", event);
  }
});

test("a page that was long out of sight takes a new connection, one that was shortly away doesn't", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { connections } = browser.bridge;
  tab.tell("hidden");
  await browser.clock.advance(10_000);
  tab.tell("visible");
  await settle();
  assert.equal(browser.bridge.connections, connections);
  tab.tell("hidden");
  await browser.clock.advance(300_000);
  tab.tell("visible");
  await settle();
  assert.equal(browser.bridge.connections, connections + 1);
});

test("a page that was left hangs up, so that nobody seems to be there, and comes back as it was", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  const { connections } = browser.bridge;
  tab.tell("away");
  await browser.clock.advance(300_000);
  assert.equal(browser.bridge.connections, connections);
  assert.equal(tab.chat.view.get().status, "reconnecting");
  tab.tell("online");
  await settle();
  assert.equal(browser.bridge.connections, connections + 1);
  assert.equal(tab.chat.view.get().status, "open");
});

for (const code of ["too_slow", "stopping", "unavailable", "bad_frame"]) {
  test(`after "${code}" it comes again`, async () => {
    const browser = new Browser();
    const tab = await browser.chatting();
    browser.bridge.say({ type: "error", code, message: "" });
    await settle();
    await browser.clock.advance(1_000);
    assert.equal(tab.chat.view.get().status, "open");
    assert.equal(browser.bridge.connections, 2);
  });
}

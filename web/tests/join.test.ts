import assert from "node:assert/strict";
import { test } from "node:test";
import type { CryptoMachine } from "../src/domain/machine.ts";
import { ApiError } from "../src/domain/ports.ts";
import { settle } from "./support/clock.ts";
import { FakeMachine, FakeMachines } from "./support/machine.ts";
import { Browser, TOKEN } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

test("a link is looked at, and used only when the button is pressed", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  assert.equal(tab.join.offer.host.displayName, "Alice");
  assert.equal(browser.bridge.joins.length, 0);
  assert.equal(browser.machines.created, 0);
  await tab.start("  Maya  ");
  assert.equal(tab.shows, "chat");
  assert.equal(browser.bridge.joins[0]?.name, "Maya");
  assert.equal(tab.chat.view.get().chat.name, "Maya (Guest)");
});

test("the keys are on disk before the bridge sees them", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  const open = browser.shelf.hold();
  await tab.start("Maya");
  assert.equal(browser.bridge.joins.length, 0, "asked before the keys were stored");
  open();
  await settle();
  assert.equal(browser.bridge.joins.length, 1);
});

test("keys made ahead are the ones that are used, and are stored with the start", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  tab.join.warmUp();
  tab.join.warmUp();
  await settle();
  assert.equal(browser.machines.created, 1);
  assert.equal(browser.shelf.kept.size, 0, "nothing is stored before the start");
  await tab.start("Maya");
  assert.equal(browser.machines.created, 1);
  assert.equal(tab.shows, "chat");
});

test("the browser may draw between the steps of a start, and a tab that is left meanwhile does no more", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  const waits: (() => void)[] = [];
  browser.breath = (): Promise<void> => new Promise((resolve) => waits.push(resolve));
  await tab.start("Maya");
  assert.equal(browser.bridge.joins.length, 0, "the keys are stored, and what is shown is drawn first");
  waits.shift()?.();
  await settle();
  assert.equal(browser.bridge.joins.length, 1);
  assert.notEqual(tab.shows, "chat");
  waits.shift()?.();
  await settle();
  assert.equal(tab.shows, "chat");
  assert.equal(waits.length, 0);

  const other = new Browser();
  const left = other.tab();
  await left.open(`#${TOKEN}`);
  other.breath = browser.breath;
  await left.start("Maya");
  left.join.stop();
  waits.shift()?.();
  await settle();
  assert.equal(other.bridge.joins.length, 0);
});

test("a start whose WebAssembly doesn't load says that it waits, and goes on by itself", async () => {
  const browser = new Browser();
  const tab = await begun(browser);
  assert.deepEqual(tab.join.state.get(), { kind: "working", troubled: true });
  assert.equal(browser.bridge.joins.length, 0);
  browser.machines.create = FakeMachines.prototype.create.bind(browser.machines);
  await browser.clock.advance(60_000);
  assert.equal(tab.shows, "chat");
  assert.equal(browser.bridge.joins.length, 1);

  const left = await begun(new Browser());
  left.join.stop();
  left.browser.machines.create = FakeMachines.prototype.create.bind(left.browser.machines);
  await left.browser.clock.advance(60_000);
  assert.equal(left.browser.shelf.kept.size, 0, "nobody waits any more");

  async function begun(browser: Browser): Promise<Tab> {
    browser.machines.create = () => Promise.reject(new ApiError({ code: "offline", retryAfterMs: null }));
    const tab = browser.tab();
    await tab.open(`#${TOKEN}`);
    await tab.start("Maya");
    return tab;
  }
});

test("keys that could not be made ahead are made with the start", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  const create = browser.machines.create.bind(browser.machines);
  browser.machines.create = () => Promise.reject(new ApiError({ code: "offline", retryAfterMs: null }));
  tab.join.warmUp();
  await settle();
  browser.machines.create = create;
  await tab.start("Maya");
  assert.equal(tab.shows, "chat");
});

test("keys made ahead for a link that is left are gone", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  const made: CryptoMachine[] = [];
  const create = browser.machines.create.bind(browser.machines);
  browser.machines.create = async (user, device) => {
    const machine = await create(user, device);
    made.push(machine);
    return machine;
  };
  tab.join.warmUp();
  tab.join.stop();
  await settle();
  assert.equal(made.length, 1);
  assert.ok(made[0] instanceof FakeMachine && made[0].freed);
});

test("neither token nor name stays in the tab after the join", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  assert.equal(tab.memory.get("token"), undefined);
  assert.doesNotMatch(JSON.stringify([...browser.shelf.kept].map(([, { chat }]) => chat)), new RegExp(TOKEN));
});

test("a name that is none is refused before anything happens", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  for (const name of ["", "   ", "x".repeat(41)]) {
    await tab.start(name);
    assert.deepEqual(tab.join.state.get(), { kind: "form", name, wrong: { field: "name" } });
  }
  await tab.start("😀".repeat(40));
  assert.equal(tab.shows, "chat");
});

test("a name that the bridge refuses can be typed again, with the same keys", async () => {
  const browser = new Browser();
  browser.bridge.joinErrors = ["bad_name"];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya");
  assert.deepEqual(tab.join.state.get(), { kind: "form", name: "Maya", wrong: { field: "name" } });
  await tab.start("Maja");
  assert.equal(tab.shows, "chat");
  const [first, second] = browser.bridge.joins;
  assert.deepEqual(first?.keys, second?.keys);
  assert.equal(second?.name, "Maja");
  assert.equal(browser.machines.created, 1);
});

for (const [code, screen] of [
  ["link_unknown", "link-unknown"], ["link_used", "link-used"], ["link_expired", "link-expired"],
  ["link_revoked", "link-revoked"],
] as const) {
  test(`${code} has its page, both when looking and when joining`, async () => {
    const browser = new Browser();
    browser.bridge.linkError = code;
    const looking = browser.tab();
    await looking.open(`#${TOKEN}`);
    assert.equal(looking.shows, screen);

    browser.bridge.linkError = null;
    browser.bridge.joinErrors = [code];
    const joining = browser.tab();
    await joining.open(`#${TOKEN}`);
    await joining.start("Maya");
    assert.equal(joining.shows, screen);
    assert.equal(browser.shelf.kept.size, 0, "keys that serve nobody are erased");
  });
}

for (const [code, screen] of [["paused", "paused"], ["too_many_tries", "too-many-tries"]] as const) {
  test(`${code} keeps the keys, and trying again goes on with them`, async () => {
    const browser = new Browser();
    browser.bridge.joinErrors = [code];
    const tab = browser.tab();
    await tab.open(`#${TOKEN}`);
    await tab.start("Maya");
    assert.equal(tab.shows, screen);
    await tab.press();
    assert.equal(tab.shows, "chat");
    assert.deepEqual(browser.bridge.joins[0]?.keys, browser.bridge.joins[1]?.keys);
    assert.equal(browser.machines.created, 1);
  });
}

test("a passcode that is none costs no request, and the right one starts the chat", async () => {
  const browser = new Browser();
  browser.bridge.passcode = "987654";
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  assert.equal(tab.join.offer.passcode, true);
  for (const typed of ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"]) {
    await tab.start("Maya", typed);
    assert.deepEqual(tab.join.state.get(), { kind: "form", name: "Maya", wrong: { field: "passcode", left: null } });
  }
  assert.equal(browser.bridge.joins.length, 0);
  await tab.start("Maya", " 987-654 ");
  assert.equal(tab.shows, "chat");
  assert.equal(browser.bridge.joins[0]?.passcode, "987654");
  assert.doesNotMatch(JSON.stringify([...browser.shelf.kept]), /987654/);
});

test("wrong passcodes are counted in words, and the last withdraws the link", async () => {
  const browser = new Browser();
  browser.bridge.passcode = "987654";
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  for (const left of [4, 3, 2, 1]) {
    await tab.start("Maya", "999999");
    assert.deepEqual(tab.join.state.get(), { kind: "form", name: "Maya", wrong: { field: "passcode", left } });
  }
  const { joins } = browser.bridge;
  assert.equal(new Set(joins.map(({ keys }) => JSON.stringify(keys))).size, 1, "the same keys");
  await tab.start("Maya", "999999");
  assert.equal(tab.shows, "passcode-spent");
  assert.equal(browser.shelf.kept.size, 0, "keys that serve nobody are erased");
});

test("after a reload the passcode is asked for again, unless it was right", async () => {
  const browser = new Browser();
  browser.bridge.passcode = "987654";
  browser.bridge.joinErrors = ["offline"];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya", "987654");
  await tab.reload();
  assert.deepEqual(tab.join.state.get(), { kind: "form", name: "Maya", wrong: { field: "passcode", left: null } });
  await tab.start("Maya", "987654");
  assert.equal(tab.shows, "chat");
  assert.equal(browser.machines.created, 1);
});

test("too many tries of one address, with a time to wait, keep a link that asks for a passcode", async () => {
  const browser = new Browser();
  browser.bridge.passcode = "987654";
  browser.bridge.joinErrors = [{ code: "too_many_tries", retryAfterMs: 1_000 }];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya", "987654");
  assert.equal(tab.shows, "too-many-tries");
  assert.equal(browser.shelf.kept.size, 1);
});

test("refused keys are thrown away, and the link can be opened once more", async () => {
  const browser = new Browser();
  browser.bridge.joinErrors = ["bad_keys"];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya");
  assert.equal(tab.shows, "join-failed");
  assert.equal(browser.shelf.kept.size, 0);
});

test("a lost answer is asked for again with the same keys, also over a reload", async () => {
  const browser = new Browser();
  browser.bridge.joinErrors = ["offline", "unavailable"];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya");
  assert.deepEqual(tab.join.state.get(), { kind: "working", troubled: true });
  await browser.clock.advance(1_000);
  assert.equal(browser.bridge.joins.length, 2);
  await tab.reload();
  assert.equal(tab.shows, "chat");
  assert.equal(browser.bridge.joins.length, 3);
  assert.equal(browser.machines.created, 1);
  const keys = browser.bridge.joins.map((join) => JSON.stringify([join.keys, join.device_id, join.token, join.name]));
  assert.equal(new Set(keys).size, 1);
});

test("the network's return ends the wait", async () => {
  const browser = new Browser();
  browser.bridge.joinErrors = ["offline"];
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.start("Maya");
  tab.tell("online");
  await settle();
  assert.equal(tab.shows, "chat");
});

test("a reload before the button was pressed shows the link again", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  await tab.reload();
  assert.equal(tab.shows, "join");
});

test("a bridge that doesn't answer has a page that tries again", async () => {
  const browser = new Browser();
  browser.bridge.linkError = "offline";
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  assert.equal(tab.shows, "unreachable");
  browser.bridge.linkError = null;
  await tab.press();
  assert.equal(tab.shows, "join");
});

test("a browser that can't store shows so, and nothing was used", async () => {
  const browser = new Browser();
  const tab = browser.tab();
  await tab.open(`#${TOKEN}`);
  browser.shelf.failing = true;
  await tab.start("Maya");
  assert.equal(tab.shows, "storage");
  assert.equal(browser.bridge.joins.length, 0);
});

test("WebAssembly that doesn't load is a matter of the connection, not of lost keys", async () => {
  const browser = new Browser();
  const tab = await browser.chatting();
  browser.machines.open = () => Promise.reject(new ApiError({ code: "offline", retryAfterMs: null }));
  await tab.reload();
  assert.equal(tab.shows, "unreachable");
  assert.equal(browser.shelf.kept.size, 1);
});

test("the same link pressed in two tabs at once makes one chat", async () => {
  const browser = new Browser();
  const [one, two] = [browser.tab(), browser.tab()];
  await one.open(`#${TOKEN}`);
  await two.open(`#${TOKEN}`);
  await one.start("Maya");
  await two.start("Maya");
  assert.equal(one.shows, "chat");
  assert.equal(two.shows, "elsewhere");
  assert.equal(browser.bridge.joins.length, 1);
});

test("a tab that still shows the form finds the chat that another tab began and closed", async () => {
  const browser = new Browser();
  const [one, two] = [browser.tab(), browser.tab()];
  await one.open(`#${TOKEN}`);
  await two.open(`#${TOKEN}`);
  await one.start("Maya");
  await one.reload();
  one.chat.view.get();
  // The first tab closes: its lock is free.
  browser.locks.take = () => Promise.resolve(() => undefined);
  await two.start("Maya");
  assert.equal(two.shows, "chat");
  assert.equal(browser.bridge.joins.length, 1);
});

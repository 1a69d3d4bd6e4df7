/**
 * The page dies at any step and is opened again, with the real machine and a disk that forgets what
 * had not reached it. `CUTS=2000 SEED=7 node tests/run.mjs kills` runs longer, and from another seed.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/clock.ts";
import { RealBridge, RealMachines, generator } from "./support/real.ts";
import { Browser, TOKEN } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

const CUTS = Number(process.env["CUTS"] ?? 240);
const SEED = Number(process.env["SEED"] ?? 1);

type RealTab = Tab<RealMachines>;

class Run {
  readonly bridge = new RealBridge();
  readonly browser = new Browser(new RealMachines(), this.bridge);
  readonly random: () => number;
  /** What the page said that it has kept. */
  readonly kept: string[] = [];
  readonly fromHost: string[] = [];
  tab: RealTab = this.browser.tab();
  cuts: string[] = [];

  constructor(readonly seed: number) {
    this.random = generator(seed);
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** The page is opened, again after each of its deaths, until it has joined. */
  async join(): Promise<void> {
    await this.tab.open(`#${TOKEN}`);
    while (this.tab.shows !== "chat") {
      if (this.tab.life.dead) await this.revive();
      if (this.tab.shows === "join" && this.tab.join.state.get().kind === "form") void this.tab.join.submit("Maya");
      await settle();
      await this.browser.clock.advance(1_000);
    }
  }

  async revive(): Promise<void> {
    this.cuts.push(`${this.tab.life.lastStep} (${this.tab.life.steps})`);
    await this.tab.reload();
    await settle();
  }

  text(): string {
    return `${this.kept.length} ${String.fromCodePoint(0x61 + this.below(500)).repeat(1 + this.below(60))} ${this.random()}`;
  }

  async say(tab = this.tab): Promise<void> {
    if (tab.shows !== "chat") return;
    const text = this.text();
    void tab.chat.say(text).then((kept) => kept && !tab.life.dead && this.kept.push(text), () => undefined);
    // Not always to its end: the next step may come in the middle.
    for (let turns = this.below(14); turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** One thing that happens. */
  async happen(): Promise<void> {
    switch (this.below(8)) {
      case 0:
        this.fromHost.push(`host ${this.fromHost.length} ${this.random()}`);
        this.bridge.hostSays(this.fromHost.at(-1) ?? "");
        return;
      case 1:
        this.bridge.deliver();
        return;
      case 2:
        if (this.below(3) === 0) this.bridge.drop();
        return;
      case 3:
        await this.browser.clock.advance(this.below(2_000));
        return;
      default:
        await this.say();
    }
  }

  /** Each tick says no more than what is true. */
  checkTicks(): void {
    if (this.tab.shows !== "chat") return;
    for (const { state, n, eventId, body } of this.tab.mine()) {
      if (state === "sent" || state === "delivered") assert.ok(n !== null && this.bridge.answered.has(n), `${body} is ${state}`);
      if (state === "delivered") assert.equal(this.bridge.told.get(n ?? 0), eventId, `${body} is delivered`);
      assert.notEqual(state, "failed", body);
    }
  }

  /** Nothing is in the way any more: everything arrives, once, in order. */
  async finish(): Promise<void> {
    if (this.tab.life.dead) await this.revive();
    for (let round = 0; round < 3; round += 1) {
      this.bridge.deliver();
      await this.browser.clock.advance(40_000);
      this.checkTicks();
    }
    const mine = this.tab.mine();
    assert.deepEqual(mine.map(({ state }) => state), mine.map(() => "delivered"));
    assert.deepEqual(this.bridge.hostRead, mine.map(({ body }) => body), "the host read what the page shows, in its order");
    assert.deepEqual(this.kept.filter((text) => !this.bridge.hostRead.includes(text)), [], "what was kept was not lost");
    const theirs = this.tab.history().flatMap((entry) => (entry.kind === "theirs" ? [entry.says.kind === "text" ? entry.says.body : entry.says.kind] : []));
    assert.deepEqual(theirs, this.fromHost);
    assert.equal(this.tab.chat.view.get().halt, null);
  }
}

/** The machine numbers its one-time keys, and a number is the key's id. */
function numbersOf(published: ReadonlyMap<string, string>): number[] {
  const ids = [...published.keys()].map((name) => Buffer.from(name.replace("signed_curve25519:", ""), "base64"));
  return ids.map((id) => id.reduce((number, byte) => number * 256 + byte, 0)).sort((a, b) => a - b);
}

/** Runs with this many cuts in all, each at another step; a failure names its seed. */
async function each(cuts: number, run: (run: Run) => Promise<void>): Promise<string[]> {
  const places: string[] = [];
  for (let seed = SEED; places.length < cuts; seed += 1) {
    const one = new Run(seed);
    try {
      await run(one);
    } catch (error) {
      throw new Error(`SEED=${seed}, cut at ${one.cuts.join(", ")}`, { cause: error });
    }
    places.push(...one.cuts);
  }
  return places;
}

/** That the steps that matter were among those cut. */
function assertEverywhere(places: readonly string[], steps: readonly string[]): void {
  // Few cuts can miss some of them by chance.
  if (places.length < 200) return;
  const seen = new Set(places.map((place) => place.replace(/ \(.*/, "")));
  assert.deepEqual(steps.filter((step) => !seen.has(step)), [], `${places.length} cuts, at ${[...seen].sort().join(", ")}`);
}

test(`${CUTS} deaths while messages go and come: no ratchet step twice, nothing lost, doubled or out of order`, async (context) => {
  const places = await each(CUTS, async (run) => {
    run.tab.life.cutAt = run.seed % 3 === 0 ? 1 + ((run.seed / 3) % 14) : Infinity;
    await run.join();
    const deaths = 1 + run.below(3);
    for (let death = 0; death < deaths; death += 1) {
      run.tab.life.cutAt = run.tab.life.steps + 1 + run.below(40);
      for (let event = 0; event < 14 && !run.tab.life.dead; event += 1) {
        await run.happen();
        run.checkTicks();
      }
      if (run.tab.life.dead) await run.revive();
    }
    run.tab.life.cutAt = Infinity;
    await run.finish();
  });
  assertEverywhere(places, [
    "add", "added", "commit", "committed", "hear challenge", "hear delivered", "hear event", "hear result", "hear welcome", "join",
    "joined", "send ack", "send hello", "send send", "send to_device", "sent ack", "sent hello", "sent send", "sent to_device",
  ]);
  context.diagnostic(`${places.length} cuts`);
});

test("another tab takes over at any step, and the first one, which doesn't notice, goes on", async () => {
  for (let seed = SEED; seed < SEED + CUTS / 4; seed += 1) {
    const run = new Run(seed);
    try {
      run.bridge.hearsAll = true;
      await run.join();
      for (let event = run.below(6); event > 0; event -= 1) await run.happen();
      const old = run.tab;
      old.frozen = true;
      run.tab = run.browser.tab();
      const opened = run.tab.open(`#${TOKEN}`);
      await run.say(old);
      await opened;
      if (run.tab.shows === "elsewhere") void run.tab.press();
      // From here on the old tab may finish what it began, in the middle of whatever the new one does.
      for (let event = 0; event < 8; event += 1) {
        await run.say(old);
        await run.happen();
        run.checkTicks();
      }
      await settle();
      assert.notEqual(old.shows, "chat", "it found out");
      await run.finish();
    } catch (error) {
      throw new Error(`SEED=${seed}`, { cause: error });
    }
  }
});

test(`${CUTS} deaths between making one-time keys and the answer of the upload: the same set goes up again`, async (context) => {
  const places = await each(CUTS, async (run) => {
    const { bridge, browser } = run;
    run.tab.life.cutAt = 1 + run.below(14);
    await run.join();
    for (let round = 0; round < 4; round += 1) {
      await browser.clock.advance(run.below(3) === 0 ? 3_700_000 : 20_000);
      // Anybody may have used them up, down to the fallback key.
      const used = bridge.available.splice(0, 26 + run.below(25));
      if (run.below(2) === 0 && bridge.fallback !== null) bridge.fallback.used = true;
      run.tab.life.cutAt = run.tab.life.steps + 1 + run.below(8);
      bridge.oneTimeKeys = bridge.available.length;
      bridge.report();
      await settle();
      assert.ok(used.every((id) => bridge.published.has(id)));
      if (run.tab.life.dead) await run.revive();
      run.tab.life.cutAt = Infinity;
      bridge.oneTimeKeys = bridge.available.length;
      bridge.report();
      await browser.clock.advance(30_000);
      assert.ok(bridge.available.length >= 25, `${bridge.available.length} left`);
      assert.deepEqual(numbersOf(bridge.published), [...bridge.published.keys()].map((_, n) => n), "no set was made and forgotten");
    }
    // The private halves are there: a host that takes one of the oldest is understood.
    run.fromHost.push("over a key of before the deaths");
    bridge.hostSays(run.fromHost[0] ?? "");
    await run.finish();
  });
  assertEverywhere(places, ["commit", "committed", "join", "joined", "send keys_upload", "sent keys_upload", "hear result"]);
  context.diagnostic(`${places.length} cuts`);
});

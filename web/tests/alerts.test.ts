import assert from "node:assert/strict";
import { test } from "node:test";
import { Alerts } from "../src/domain/alerts.ts";
import type { Attention, Permit } from "../src/domain/alerts.ts";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

class FakeAttention implements Attention {
  readonly did: string[] = [];
  away = true;
  permission: Permit = "granted";
  asked = false;
  isAway = (): boolean => this.away;
  mark = (count: number): void => void this.did.push(`mark ${count}`);
  tune = (): Promise<void> => Promise.resolve();
  chime = (): void => void this.did.push("chime");
  permit = (): Promise<Permit> => {
    this.asked = true;
    return Promise.resolve(this.permission);
  };
  mayNotify = (): boolean => this.asked && this.permission === "granted";
  notify = (silent: boolean): void => void this.did.push(silent ? "notify silently" : "notify");
  calm = (): void => void this.did.push("calm");
  /** What was done since this was asked last. */
  take(): string[] {
    return this.did.splice(0);
  }
}

async function watching(): Promise<{ tab: Tab; attention: FakeAttention; alerts: Alerts; hears: () => Promise<void> }> {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  bridge.put(bridge.key("k1"));
  await settle();
  const attention = new FakeAttention();
  const alerts = new Alerts(tab.chat, attention, clock);
  let count = 0;
  attention.take();
  return {
    tab, attention, alerts,
    hears: async () => {
      count += 1;
      bridge.put(bridge.event(`$${count}`, "k1:a secret"));
      await settle();
    },
  };
}

test("by default only the number is shown, and it goes when the guest looks", async () => {
  const { tab, attention, hears } = await watching();
  await hears();
  await hears();
  assert.deepEqual(attention.take(), ["mark 1", "mark 2"]);
  tab.chat.looking(true);
  assert.deepEqual(attention.take(), ["mark 0", "calm"]);
  assert.equal(attention.asked, false, "nobody is asked unasked");
});

test("sound and notification come when they are wanted and the guest is away, not for each of a burst", async () => {
  const { tab, attention, alerts, hears } = await watching();
  alerts.setSound(true);
  await alerts.setNotify(true);
  await settle();
  assert.deepEqual(attention.take(), ["chime"], "to hear what it is like");
  await hears();
  await hears();
  assert.deepEqual(attention.take(), ["mark 1", "notify silently", "chime", "mark 2"]);
  await tab.browser.clock.advance(4_000);
  attention.away = false;
  await hears();
  assert.deepEqual(attention.take(), ["mark 3"], "who scrolls up is here");
  alerts.setSound(false);
  attention.away = true;
  await hears();
  assert.deepEqual(attention.take(), ["mark 4", "notify"]);
  alerts.close();
  assert.deepEqual(attention.take(), ["mark 0", "calm"]);
});

test("what was chosen is there again after a reload, as far as the browser still allows it", async () => {
  const { tab, attention, alerts } = await watching();
  alerts.setSound(true);
  await alerts.setNotify(true);
  await settle();
  await tab.reload();
  assert.deepEqual(new Alerts(tab.chat, attention, tab.browser.clock).wanted.get(), { sound: true, notify: true });
  attention.permission = "denied";
  assert.deepEqual(new Alerts(tab.chat, attention, tab.browser.clock).wanted.get(), { sound: true, notify: false });
});

for (const refusal of ["denied", "unable"] as const) {
  test(`a browser that says ${refusal} is not promised to notify`, async () => {
    const { attention, alerts } = await watching();
    attention.permission = refusal;
    await alerts.setNotify(true);
    assert.equal(alerts.refused.get(), refusal);
    assert.equal(alerts.wanted.get().notify, false);
  });
}

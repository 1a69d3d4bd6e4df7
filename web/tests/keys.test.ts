/** One-time keys are refilled, and no report of the homeserver leads to a flood. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientFrame } from "../src/protocol.ts";
import { settle } from "./support/clock.ts";
import { Browser } from "./support/world.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

type Upload = Extract<ClientFrame, { type: "keys_upload" }>;

/** A chat whose last upload lies back long enough. */
async function quiet(): Promise<{ browser: Browser; uploads: () => Upload[]; report: (count: number, unused?: boolean) => Promise<void> }> {
  const browser = new Browser();
  await browser.chatting();
  await browser.clock.advance(60 * SECOND);
  const { bridge } = browser;
  return {
    browser,
    uploads: () => bridge.heard.filter((frame): frame is Upload => frame.type === "keys_upload"),
    report: async (count, unused = true) => {
      bridge.say({ type: "one_time_keys", count, fallback_unused: unused });
      await settle();
    },
  };
}

const ids = (uploads: readonly Upload[]): string[] => uploads.flatMap((upload) => Object.keys(upload.one_time_keys));

test("few keys are refilled on a welcome", async () => {
  const browser = new Browser();
  browser.bridge.oneTimeKeys = 24;
  await browser.chatting();
  assert.equal(browser.bridge.heard.filter(({ type }) => type === "keys_upload").length, 1);
});

test("a bridge that could not ask how many are left gets no keys", async () => {
  const browser = new Browser();
  browser.bridge.oneTimeKeys = null;
  await browser.chatting();
  await browser.clock.advance(HOUR);
  assert.ok(!browser.bridge.heard.some(({ type }) => type === "keys_upload"));
});

test("a count below 25 is refilled, also none at all; 25 is enough", async () => {
  const { uploads, report, browser } = await quiet();
  await report(25);
  assert.equal(uploads().length, 0);
  await report(24);
  assert.equal(uploads().length, 1);
  await browser.clock.advance(60 * SECOND);
  await report(0);
  assert.equal(uploads().length, 2);
});

test("a used fallback key is replaced, at most once an hour, and then without another report", async () => {
  const { uploads, report, browser } = await quiet();
  await browser.clock.advance(2 * HOUR);
  await report(50, false);
  assert.equal(uploads().length, 1);
  await browser.clock.advance(60 * SECOND);
  await report(50, false);
  assert.equal(uploads().length, 1);
  await browser.clock.advance(HOUR);
  assert.equal(uploads().length, 2);
});

test("few one-time keys don't wait for the hour of the fallback key", async () => {
  const { uploads, report, browser } = await quiet();
  await report(3);
  await browser.clock.advance(60 * SECOND);
  await report(50, false);
  assert.equal(uploads().length, 1);
  await report(3, false);
  assert.equal(uploads().length, 2);
});

test("a flood of reports leads to one upload in ten seconds, and the last report is not forgotten", async () => {
  const { uploads, report, browser } = await quiet();
  for (let i = 0; i < 30; i += 1) {
    await report(0);
    await browser.clock.advance(SECOND);
  }
  assert.ok(uploads().length >= 3 && uploads().length <= 4, `${uploads().length} in half a minute`);
  const before = uploads().length;
  await report(30);
  await browser.clock.advance(60 * SECOND);
  assert.equal(uploads().length, before, "the last report said that there are enough");
  assert.equal(new Set(ids(uploads())).size, before, "each upload had keys of its own");
});

test("a report that comes while an upload runs is looked at afterwards", async () => {
  const { uploads, report, browser } = await quiet();
  let held: object | null = null;
  const say = browser.bridge.say.bind(browser.bridge);
  browser.bridge.say = (frame) => {
    if ("body" in frame && held === null) held = frame;
    else say(frame);
  };
  await report(3);
  await report(40);
  await report(7);
  assert.equal(uploads().length, 1);
  browser.bridge.say(held ?? assert.fail());
  await settle();
  await browser.clock.advance(9 * SECOND);
  assert.equal(uploads().length, 1);
  await browser.clock.advance(2 * SECOND);
  assert.equal(uploads().length, 2);
});

test("keys that were drained during the upload are refilled", async () => {
  const { uploads, report, browser } = await quiet();
  browser.bridge.oneTimeKeys = 2;
  await report(3);
  await browser.clock.advance(11 * SECOND);
  assert.equal(uploads().length, 2);
  browser.bridge.oneTimeKeys = 50;
  await browser.clock.advance(60 * SECOND);
  assert.equal(uploads().length, 3);
});

for (const code of ["rate_limited", "unavailable", "bad_keys"] as const) {
  test(`an upload refused with "${code}" comes again more and more seldom, and heals`, async () => {
    const { uploads, report, browser } = await quiet();
    browser.bridge.refuseUpload = { code, retry_after_ms: 1_000 };
    await report(3);
    for (let minute = 0; minute < 60; minute += 1) {
      await browser.clock.advance(60 * SECOND);
      await report(3);
    }
    const tries = uploads().length;
    assert.ok(tries > 5 && tries < 20, `${tries} in an hour`);
    // Refused for good, these ids are taken by other keys; else the same keys must go up again.
    assert.equal(new Set(ids(uploads())).size, code === "bad_keys" ? tries : 1);
    browser.bridge.refuseUpload = null;
    await browser.clock.advance(700 * SECOND);
    assert.equal(uploads().length, tries + 1);
    await browser.clock.advance(HOUR);
    assert.equal(uploads().length, tries + 1);
  });
}

test("a rate limit is waited for as long as it says", async () => {
  const { uploads, report, browser } = await quiet();
  browser.bridge.refuseUpload = { code: "rate_limited", retry_after_ms: 45_000 };
  await report(3);
  browser.bridge.refuseUpload = null;
  await browser.clock.advance(44 * SECOND);
  assert.equal(uploads().length, 1);
  await browser.clock.advance(2 * SECOND);
  assert.equal(uploads().length, 2);
});

test("without a connection nothing is tried, and the next welcome decides", async () => {
  const { uploads, report, browser } = await quiet();
  browser.bridge.deaf = (frame) => frame.type === "keys_upload";
  await report(3);
  const first = ids(uploads());
  browser.bridge.unreachable = true;
  browser.bridge.drop();
  await browser.clock.advance(HOUR);
  assert.equal(uploads().length, 1);
  browser.bridge.deaf = () => false;
  browser.bridge.unreachable = false;
  browser.bridge.oneTimeKeys = 3;
  await browser.clock.advance(60 * SECOND);
  assert.deepEqual(ids(uploads()).slice(0, 2), [...first, ...first], "the same keys, since nobody said that they arrived");
});

// The hostile texts of `tests/hostile.json` in a real Chromium, under the bridge's policy: as message of
// either side, as both names, and as everything that an organisation may word. No script of theirs runs, nothing
// is reported, no other host is asked, and at 320 px nothing sticks out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

const entries = JSON.parse(await readFile(new URL("../hostile.json", import.meta.url), "utf8"));
const table = entries.map(({ text, times = 1 }) => text.repeat(times));
const overridable = JSON.parse(await readFile(new URL("../../src/text/overridable.json", import.meta.url), "utf8"));
/** Lone surrogates don't survive a socket: UTF-8 has none. */
const received = (text) => text.toWellFormed();

/** A tab of the narrowest phone that tells of every request and of every report. */
async function watched() {
  const tab = await browser.tab({ width: 320, height: 640, touch: true });
  const requests = [];
  await tab.send("Network.enable");
  tab.listen("Network.requestWillBeSent", ({ request }) => requests.push(request.url));
  tab.listen("Network.webSocketCreated", ({ url }) => requests.push(url.replace(/^ws/, "http")));
  await tab.early(`globalThis.reports = []; addEventListener("securitypolicyviolation", (event) => reports.push(event.violatedDirective + " " + event.blockedURI));`);
  const { origin } = new URL(bridge.base);
  return {
    tab,
    async harmless(what) {
      const seen = await tab.evaluate(`({
        owned: globalThis.owned ?? null,
        polluted: ({}).owned ?? null,
        reports,
        wide: document.documentElement.scrollWidth > innerWidth,
        foreign: document.querySelectorAll("script:not([src]), iframe, object, embed, img, video, audio, base, style, form[action], svg a, math, #root [style]").length,
        links: [...document.querySelectorAll("a")].filter((a) => !/^https?:$/.test(a.protocol) || a.rel !== "noopener noreferrer" || a.target !== "_blank").map((a) => a.outerHTML),
      })`);
      assert.deepEqual(seen, { owned: null, polluted: null, reports: [], wide: false, foreign: 0, links: [] }, what);
      // Nothing but the page itself answers here; a file of an organisation need not be there.
      assert.deepEqual(requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`)), [], what);
      assert.deepEqual(tab.problems.filter((problem) => !problem.includes("404")), [], what);
    },
  };
}

async function joined(page) {
  const token = newToken();
  const portal = bridge.portalOf(token);
  portal.answers = false;
  await page.tab.goto(`${bridge.base}#${token}`);
  await page.tab.screen("landing");
  await page.tab.focus("#name");
  await page.tab.type("Maya");
  await page.tab.click("[type=submit]");
  await page.tab.screen("chat");
  return portal;
}

test("as a message of the host", { timeout: 900_000 }, async () => {
  const page = await watched();
  const { tab } = page;
  const portal = await joined(page);
  for (const text of table) portal.say(received(text));
  await tab.until(`document.querySelectorAll("[data-from=host]").length === ${table.length}`);
  await page.harmless("all messages");
  const shown = await tab.evaluate(`[...document.querySelectorAll("[data-from=host] .body")].map((body) => body.textContent)`);
  assert.deepEqual(shown, table.map(received), "each is the text that was sent");
  const out = await tab.evaluate(`[...document.querySelectorAll("[data-from=host]")].flatMap((message, index) => {
    const { left, right } = message.getBoundingClientRect();
    const text = message.querySelector(".text");
    const sticks = left < 0 || right > innerWidth || getComputedStyle(text).overflowX !== "clip";
    return sticks ? ["bubble " + index] : text.scrollWidth > text.clientWidth + 8 ? [index] : [];
  })`);
  // Hundreds of marks on one letter can't be broken: they end at the edge of their own bubble.
  assert.deepEqual(out.filter((index) => entries[index]?.kind !== "combining"), [], "no bubble sticks out of the page, no text out of its bubble");
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=host]").length === ${table.length}`);
  await page.harmless("after a reload");
});

test("as a message of the guest, typed into the field", { timeout: 900_000 }, async () => {
  const page = await watched();
  const { tab } = page;
  await joined(page);
  const typed = await tab.evaluate(`(async () => {
    const field = document.querySelector("#message");
    const send = document.querySelector(".send");
    let count = 0;
    for (const text of ${JSON.stringify(table.filter((text) => text.length <= 4_000))}) {
      field.value = text;
      field.dispatchEvent(new Event("input"));
      if (send.disabled) continue;
      field.form.requestSubmit();
      count += 1;
      const end = Date.now() + 60000;
      while (document.querySelectorAll("[data-from=me]").length < count || field.value !== "") {
        if (Date.now() > end) throw new Error("not said: " + JSON.stringify(text).slice(0, 100));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
    return count;
  })()`);
  assert.ok(typed > 430, String(typed));
  await page.harmless("all messages");
});

test("as the name of either side", { timeout: 900_000 }, async () => {
  const page = await watched();
  const { tab } = page;
  const portal = await joined(page);
  await tab.until(`document.querySelector(".promise")`);
  for (const text of table) {
    portal.names = { host: text, guest: `${[...text].slice(0, 40).join("")} (Guest)` };
    portal.welcome();
    await tab.until(`document.querySelector(".caption").textContent.includes("(Guest)")`);
    const { head, foot } = await tab.evaluate(`({ head: document.querySelector(".head").offsetHeight, foot: document.querySelector(".foot").offsetHeight })`);
    assert.ok(head < 240 && foot < 240, `${head} and ${foot} px are left to ${JSON.stringify(text).slice(0, 80)}`);
  }
  await page.harmless("all names");
});

test("as what an organisation words, and as the host's name before the start", { timeout: 900_000 }, async () => {
  const page = await watched();
  const { tab } = page;
  const keys = Object.entries(overridable);
  for (let from = 0; from < table.length; from += keys.length) {
    const texts = Object.fromEntries(keys.map(([key, words], index) => [key, `${table[(from + index) % table.length].slice(0, 400)} ${(words.match(/\{\w+\}/g) ?? []).join(" ")}`]));
    bridge.state.organisation = { name: table[from].slice(0, 80), terms_url: table[from + 1] ?? null, texts: { en: texts } };
    const token = newToken();
    bridge.portalOf(token).names = { host: table[from], guest: null };
    // Only the fragment changes, so another address first.
    await tab.goto("about:blank");
    await tab.goto(`${bridge.base}#${token}`);
    await tab.screen("landing");
    await page.harmless(`texts from ${from}`);
  }
  bridge.state.organisation = null;
});

// The talk itself as it is seen, heard and touched: in a real Chromium against the played bridge. Part of
// `npm run try`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";
import { chatting, heardBy, reads, say, settled } from "./talk.mjs";

test("typing and reading are told and shown", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "hello");
  await settled(tab, 1);
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
  const moments = (type) => portal.moments.filter((frame) => frame.type === type);
  portal.moments.length = 0;
  portal.answers = false;
  await say(tab, "again");
  await settled(tab, 2);
  await heardBy(() => moments("typing").length === 2);
  assert.deepEqual(moments("typing").map(({ typing }) => typing), [true, false]);
  portal.of("typing", { typing: true });
  await tab.until(`document.querySelector(".typing:not([hidden])")?.innerText === "Alice Moreau is typing…"`);
  assert.equal(await tab.evaluate(`document.querySelector("header [role=status]").textContent`), "Alice Moreau is typing…");
  portal.of("typing", { typing: false });
  await tab.until(`document.querySelector(".typing[hidden]")`);
  // Aloud it is said once in a while only.
  portal.of("typing", { typing: true });
  await tab.until(`document.querySelector(".typing:not([hidden])")`);
  assert.equal(await tab.evaluate(`document.querySelector("header [role=status]").textContent`), "");
  portal.of("read", { event_id: "$guest2" });
  await tab.until(`document.querySelectorAll("[data-state=read]").length === 1`);
  portal.say("and you?");
  await heardBy(() => moments("read").length === 1);
  assert.ok(await tab.has("image", "Read"));
});

test("new messages are said aloud once, and what was there before is not", async () => {
  const { tab, portal } = await chatting();
  portal.answers = false;
  portal.say("first");
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
  const aloud = () => tab.evaluate(`[...document.querySelectorAll("[aria-live=polite][aria-relevant] p")].map((line) => line.textContent)`);
  assert.deepEqual(await aloud(), ["Alice Moreau: first"]);
  assert.equal(await tab.evaluate(`document.querySelector("[role=log]").getAttribute("aria-live")`), "off");
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
  assert.deepEqual(await aloud(), []);
  for (const text of ["2", "3", "4", "5"]) portal.say(text);
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 5`);
  const said = await aloud();
  assert.equal(said.reduce((sum, line) => sum + (/^(\d+) new/.test(line) ? parseInt(line, 10) : 1), 0), 4);
});

test("the ending is said, and the history stays readable", async () => {
  const { tab } = await chatting();
  await say(tab, "bye");
  await tab.screen("ended");
  assert.deepEqual(await reads(tab), ["bye"]);
  await tab.reload();
  await tab.screen("ended");
  assert.deepEqual(await reads(tab), ["bye"]);
});

test("on a touch screen Enter is a new line", async () => {
  const { tab, portal } = await chatting({ width: 390, height: 844, touch: true });
  await say(tab, "line one");
  await tab.type("line two");
  await tab.click(".send");
  await settled(tab, 1);
  assert.deepEqual(portal.texts, ["line one\nline two"]);
  assert.equal(await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
});

test("the names that assistive technology reads", async () => {
  const token = newToken();
  const tab = await browser.tab();
  await tab.goto(`${bridge.base}#${token}`);
  await tab.screen("landing");
  assert.ok(await tab.has("textbox", "Your name"));
  assert.ok(await tab.has("button", "Start chat"));
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.press("Enter");
  await tab.screen("chat");
  assert.ok(await tab.has("textbox", "Message"));
  assert.ok(await tab.has("button", "Send"));
  assert.ok(await tab.has("log", "Messages"));
  await say(tab, "hello");
  await settled(tab, 1);
  assert.ok(await tab.has("image", "Delivered"));
});

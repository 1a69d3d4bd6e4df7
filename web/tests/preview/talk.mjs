// What the tests in a browser do and look at in a chat.

import assert from "node:assert/strict";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

/** A chat in a new profile. */
export async function chatting(options = {}, prepare = () => undefined) {
  const token = newToken();
  const portal = bridge.portalOf(token);
  prepare(portal);
  const tab = await browser.tab(options);
  await begin(tab, token);
  return { tab, portal, token };
}

export async function begin(tab, token) {
  await tab.goto(`${bridge.base}#${token}`);
  await tab.screen("landing");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.press("Enter");
  await tab.screen("chat");
}

export async function say(tab, text) {
  await tab.focus("#message");
  await tab.type(text);
  await tab.press("Enter");
}

export const reads = (tab) => tab.evaluate(`[...document.querySelectorAll("[role=log] .body")].map((body) => body.textContent)`);
export const mine = (tab) => tab.evaluate(`[...document.querySelectorAll("[data-from=me] .body")].map((body) => body.textContent)`);
export const states = (tab) => tab.evaluate(`[...document.querySelectorAll("[data-from=me]")].map((message) => message.dataset.state)`);
export const settled = (tab, count) => tab.until(`document.querySelectorAll("[data-state=delivered]").length === ${count}`);

/** Until the played bridge has heard it. */
export async function heardBy(is) {
  const end = Date.now() + 5_000;
  while (!is()) {
    assert.ok(Date.now() < end, "not heard");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

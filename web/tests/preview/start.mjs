// What the page does until one can type, and what it leaves for later: how long each takes is measured by the
// benchmark in `tests/differential/page`. In a real Chromium against the played bridge. Part of `npm run try`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";
import { say, settled } from "./talk.mjs";

test("the landing and the name wait for no WebAssembly; without it the start waits, and goes on by itself", async () => {
  const tab = await browser.tab();
  await tab.send("Network.enable");
  await tab.send("Network.setBlockedURLs", { urls: ["*.wasm"] });
  await tab.goto(`${bridge.base}#${newToken()}`);
  await tab.screen("landing");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.press("Enter");
  await tab.until(`document.querySelector("#name-help").textContent === "No answer yet. Still trying…"`, "it says what it waits for");
  await tab.screen("starting");
  await tab.send("Network.setBlockedURLs", { urls: [] });
  await tab.screen("chat");
  await say(tab, "hello");
  await settled(tab, 1);
});

test("the words for a page that does not come are laid out when they are due, and not before", async () => {
  const tab = await browser.tab();
  await tab.send("Network.enable");
  // Nothing comes after the entry page and its styles.
  await tab.send("Network.setBlockedURLs", { urls: ["*.js"] });
  await tab.goto(bridge.base);
  const laidOut = `getComputedStyle(document.querySelector(".late")).contentVisibility`;
  await tab.until(`document.querySelector(".late").getAnimations().length === 1`);
  assert.equal(await tab.evaluate(laidOut), "hidden");
  await tab.evaluate(`document.querySelector(".late").getAnimations()[0].currentTime = 8_001`);
  assert.equal(await tab.evaluate(laidOut), "visible");
  assert.equal(await tab.evaluate(`document.querySelector(".late p").checkVisibility({ visibilityProperty: true })`), true);
});

test("keys are made a few at a time, ahead of the start, and once", async () => {
  const tab = await browser.tab();
  // Between two pieces of long work the page sends itself a message (`platform/breath.ts`).
  await tab.early(`globalThis.breaths = 0;
    const { postMessage } = MessagePort.prototype;
    MessagePort.prototype.postMessage = function (...values) {
      breaths += 1;
      return postMessage.apply(this, values);
    };`);
  await tab.goto(`${bridge.base}#${newToken()}`);
  await tab.screen("landing");
  // Fifty keys, six at a time, and a few breaths for other things.
  await tab.until("breaths >= 9 + 5", "the keys are made while one reads");
  // The focus comes after the first frame.
  await tab.until(`document.activeElement.id === "name"`);
  await tab.type("Maya");
  const before = await tab.evaluate("breaths");
  await tab.press("Enter");
  await tab.screen("chat");
  assert.ok((await tab.evaluate("breaths")) - before < 9, "they are not made again");
});

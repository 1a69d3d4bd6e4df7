// The whole of a guest's way with the keyboard alone: each key is a real one, nothing is clicked, focused
// or filled in by a script, and after each step one sees where one is. Part of `npm run try`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

/** What has the focus, and how one sees that. */
const FOCUS = `(() => {
  const element = document.activeElement;
  const { left, top, right, bottom, width, height } = element.getBoundingClientRect();
  return {
    id: element.id,
    tag: element.localName,
    text: (element.getAttribute("aria-label") ?? element.textContent ?? "").trim().slice(0, 60),
    from: element.closest("[data-from]")?.dataset.from ?? null,
    inDialog: element.closest("dialog") !== null,
    outline: getComputedStyle(element).outlineStyle !== "none" && parseFloat(getComputedStyle(element).outlineWidth) >= 2,
    inside: width > 0 && height > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight,
  };
})()`;

async function focused(tab) {
  const now = await tab.evaluate(FOCUS);
  assert.notEqual(now.tag, "body", "the focus is nowhere");
  assert.ok(now.inside, `the focus is out of sight: ${JSON.stringify(now)}`);
  // A heading or a list of messages is where a reader goes on, not what a key acts on.
  if (["h1", "h2", "dialog"].includes(now.tag)) return now;
  assert.ok(now.outline || (await marked(tab)), `one does not see the focus: ${JSON.stringify(now)}`);
  return now;
}

/** Whether the element, or what holds it, looks otherwise than it would without the focus. */
async function marked(tab) {
  return tab.evaluate(`(async () => {
    const element = document.activeElement;
    const looks = () => [element, element.parentElement, element.parentElement?.parentElement].filter((each) => each instanceof Element)
      .map((each) => { const { outline, boxShadow, borderColor } = getComputedStyle(each); return outline + boxShadow + borderColor; }).join();
    const settle = () => Promise.all(document.getAnimations().map(({ finished }) => finished.catch(() => undefined)));
    await settle();
    const before = looks();
    element.blur();
    await settle();
    const after = looks();
    element.focus();
    return before !== after;
  })()`);
}

/** Presses Tab until that has the focus; fails when it does not come within a round. */
async function tabTo(tab, is, { shift = false } = {}) {
  for (let presses = 0; presses < 25; presses += 1) {
    const now = await focused(tab).catch((error) => {
      // Between the last element and the first one the browser's own bars have it.
      if (/nowhere/.test(error.message)) return null;
      throw error;
    });
    if (now !== null && is(now)) return now;
    await tab.press("Tab", { shift });
  }
  throw new Error(`Tab does not lead there: ${is}`);
}

for (const [shape, size] of Object.entries({ phone: { width: 390, height: 844 }, desk: {} })) {
  test(`with the keyboard alone: join, talk, menu, take back, take over, end (${shape})`, async () => {
    const token = newToken();
    const portal = bridge.portalOf(token);
    portal.answers = false;
    portal.passcode = "012345";
    const tab = await browser.tab(size);
    await tab.goto(`${bridge.base}#${token}`);
    await tab.screen("landing");

    // A wrong passcode leads back to its field.
    await tabTo(tab, ({ id }) => id === "name");
    await tab.type("Maya");
    await tabTo(tab, ({ id }) => id === "passcode");
    await tab.type("999999");
    await tab.press("Enter");
    await tab.until(`document.activeElement.id === "passcode" && document.activeElement.getAttribute("aria-invalid") === "true"`);
    for (let i = 0; i < 6; i += 1) await tab.press("Backspace");
    await tab.type("012345");
    await tabTo(tab, ({ tag, text }) => tag === "button" && text === "Start chat");
    await tab.press("Enter");
    await tab.screen("chat");

    // One can write at once, and the newest is heard of without moving.
    await tab.until(`document.activeElement.id === "message"`);
    await tab.type("one");
    await tab.press("Enter");
    await tab.type("two");
    await tab.press("Enter", { shift: true });
    await tab.type("lines");
    await tab.press("Enter");
    await tab.until(`document.querySelectorAll("[data-state=delivered]").length === 2`);
    assert.deepEqual(portal.texts, ["one", "two\nlines"]);
    portal.say("hello");
    await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
    assert.equal(await tab.evaluate("document.activeElement.id"), "message");

    // Back to a message of one's own, and taken back.
    await tabTo(tab, ({ text, from }) => text === "Options for this message" && from === "me", { shift: true });
    await tab.press("Enter");
    await tabTo(tab, ({ text }) => text === "Remove for both");
    await tab.press("Enter");
    await tab.until(`document.querySelector("[data-says=removed]")`);
    await focused(tab);

    // The menu opens, closes by Escape, and gives the focus back.
    await tabTo(tab, ({ text }) => text === "Menu", { shift: true });
    await tab.press("Enter");
    await tab.until(`document.querySelector("#menu:not([hidden])")`);
    await tab.press("Escape");
    await tab.until(`document.querySelector("#menu[hidden]")`);
    assert.equal((await focused(tab)).text, "Menu");

    // The question keeps the focus inside; Escape leads back into the chat.
    await tab.press("Enter");
    await tabTo(tab, ({ text }) => text === "End and erase");
    await tab.press("Enter");
    await tab.until(`document.querySelector("dialog[open]")`);
    for (let i = 0; i < 4; i += 1) {
      const now = await tab.evaluate(FOCUS);
      assert.ok(now.inDialog || now.tag === "body", `the focus left the question: ${JSON.stringify(now)}`);
      await tab.press("Tab");
    }
    await tab.press("Escape");
    await tab.until(`document.querySelector("dialog[open]") === null`);
    await focused(tab);

    // Another tab, which takes over.
    const second = await browser.tab({ ...size, context: tab.context });
    await second.goto(bridge.base);
    await second.screen("elsewhere");
    await tabTo(second, ({ text }) => text === "Use here");
    await second.press("Enter");
    await second.screen("chat");
    await tab.screen("elsewhere");

    await tabTo(second, ({ text }) => text === "Menu", { shift: true });
    await second.press("Enter");
    await tabTo(second, ({ text }) => text === "End and erase");
    await second.press("Enter");
    await second.until(`document.querySelector("dialog[open]")`);
    await tabTo(second, ({ text, inDialog }) => inDialog && text === "End and erase");
    await second.press("Enter");
    await second.screen("erased");
    // The focus comes with the next frame.
    await second.until(`document.activeElement.localName === "h1"`);
    await focused(second);
    // The refused passcode is a failed request to the browser.
    const problems = [...tab.problems, ...second.problems].filter((problem) => !/status of 403/.test(problem));
    assert.deepEqual(problems, []);
  });
}

// What of the page reaches a guest who looks elsewhere, or takes something along: the title and the icon, the
// sound, the system's notification, the text file; and what a keyboard leaves of it. In a real Chromium, over the
// played bridge. Part of `npm run try`.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MENU, arrives, chatting } from "./scenes.mjs";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

const NOTIFY = ".options label:nth-of-type(2) input";
const SOUND = ".options label:nth-of-type(1) input";

/** A chat whose host says nothing by themselves. `early` runs before the page's scripts. */
async function chat({ early = "", ...options } = {}) {
  const tab = await browser.tab(options);
  if (early !== "") await tab.early(early);
  const portal = await chatting({ tab, bridge, newToken }, (made) => (made.answers = false));
  // It pushes aside what stands below it in the menu, and a hand would miss.
  await tab.until(`document.querySelector(".safety:not([hidden])")`);
  return { tab, portal };
}

/** As a hand presses: browsers sound and ask for nothing that no hand began. */
async function tap(tab, selector) {
  const [x, y] = await tab.evaluate(`(() => {
    const { left, top, width, height } = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  })()`);
  for (const type of ["mousePressed", "mouseReleased"]) await tab.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
}

/** Alerts are so far apart at least (`domain/alerts.ts`). */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 3_100));

/** The guest turns to another window, and back. */
const away = (tab) => tab.evaluate(`document.hasFocus = () => false; dispatchEvent(new Event("blur"))`);
const back = (tab) => tab.evaluate(`delete document.hasFocus; dispatchEvent(new Event("focus"))`);

const permission = (tab, setting) =>
  browser.call("Browser.setPermission", { permission: { name: "notifications" }, setting, origin: new URL(bridge.base).origin, browserContextId: tab.context });

test("the title, the icon and the badge count what was not seen, and nothing else", async () => {
  const { tab, portal } = await chat({
    early: `globalThis.badges = []; Navigator.prototype.setAppBadge = async (count) => void badges.push(count);`,
  });
  const seen = () => tab.evaluate(`({ title: document.title, icon: document.querySelector("link[data-unread]").href.split("/").at(-1) })`);
  const usual = await seen();
  assert.equal(usual.title, "Private chat");
  assert.match(usual.icon, /^favicon-[0-9a-f]{12}\.svg$/);
  await away(tab);
  portal.say("one");
  portal.say("two");
  await tab.until(`document.title === "(2) Private chat"`);
  const { icon } = await seen();
  assert.match(icon, /^favicon-unread-[0-9a-f]{12}\.svg$/);
  const answer = await fetch(new URL(icon, bridge.base));
  assert.equal(answer.headers.get("content-type"), "image/svg+xml");
  assert.equal(await tab.evaluate("badges.at(-1)"), 2);
  await back(tab);
  await tab.until(`document.title === "Private chat"`);
  assert.deepEqual(await seen(), usual);
  assert.equal(await tab.evaluate("badges.at(-1)"), 0);
  assert.deepEqual(tab.problems, []);
});

/** Every sound passes an ear of the test on its way out: how loud it was at its loudest. */
const EAR = `globalThis.ears = [];
  const { connect } = AudioNode.prototype;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      const ear = new AnalyserNode(this.context, { fftSize: 32768 });
      connect.call(this, ear);
      ears.push(ear);
    }
    return connect.call(this, to, ...rest);
  };
  globalThis.loudest = (ear) => {
    const wave = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(wave);
    return Math.max(...wave.map(Math.abs));
  };`;

test("there is no sound until it is switched on; then two tones for a guest who is away, at most each three seconds", async () => {
  const { tab, portal } = await chat({ early: EAR });
  const tones = () => tab.evaluate("ears.length");
  const come = async (count) => {
    portal.say(`number ${count}`);
    await tab.until(`document.querySelectorAll("[data-from=host]").length === ${count}`);
  };
  await away(tab);
  await come(1);
  assert.equal(await tones(), 0, "nobody asked for it");
  await back(tab);

  await tap(tab, MENU);
  await tap(tab, SOUND);
  await tab.until("ears.length === 2", "the sound that one switched on, to know it by");
  await tab.until("ears.some((ear) => ear.context.state === 'running' && loudest(ear) > 0.05)", "it can be heard");
  await come(2);
  assert.equal(await tones(), 2, "the guest looks on");

  await quiet();
  await away(tab);
  await come(3);
  await tab.until("ears.length === 4");
  await come(4);
  assert.equal(await tones(), 4, "more in a row are one sound");
  await tab.until("ears.slice(2).some((ear) => loudest(ear) > 0.05)", "it can be heard");
  await quiet();
  await come(5);
  await tab.until("ears.length === 6");

  // It is the guest's choice for this chat, and stays; after a reload a browser wants a hand before any sound.
  await back(tab);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 5`);
  await tap(tab, MENU);
  await tab.until(`document.querySelector(${JSON.stringify(SOUND)}).checked`);
  await away(tab);
  await come(6);
  await tab.until("ears.length === 2");
  await tap(tab, SOUND);
  await quiet();
  await come(7);
  assert.equal(await tones(), 2, "switched off");
  assert.deepEqual(tab.problems, []);
});

/** Each notification that the page makes, and whether the system took it. */
const WATCH = `globalThis.made = [];
  globalThis.Notification = class extends Notification {
    constructor(title, options) {
      super(title, options);
      const { body, tag, silent } = this;
      const seen = { title, body, tag, silent, extra: [this.icon, this.data].filter(Boolean).length, shown: false, closed: false };
      this.addEventListener("show", () => (seen.shown = true));
      this.addEventListener("close", () => (seen.closed = true));
      // The one without a title asks whether there can be any.
      if (title !== "") made.push(seen);
    }
  };`;

test("a notification comes after it was allowed, to a guest who is away, and says neither who nor what", async () => {
  const { tab, portal } = await chat({ early: WATCH });
  await permission(tab, "granted");
  await away(tab);
  portal.say("before it was asked for");
  await tab.until(`document.title.startsWith("(1)")`);
  await back(tab);
  await tab.until(`document.title === "Private chat"`);
  assert.deepEqual(await tab.evaluate("made"), [], "a permission alone is no wish");

  await tap(tab, MENU);
  await tap(tab, NOTIFY);
  await tab.until(`document.querySelector(${JSON.stringify(NOTIFY)}).checked`);
  assert.equal(await tab.evaluate(`document.querySelector(".options [role=status]").textContent`), "");
  portal.say("before your eyes");
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 2`);
  assert.deepEqual(await tab.evaluate("made"), []);

  await quiet();
  await away(tab);
  portal.say("a secret of Alice");
  await tab.until("made.length === 1 && made[0].shown");
  portal.say("another, in the same moment");
  await tab.until(`document.title.startsWith("(2)")`);
  assert.deepEqual(await tab.evaluate("made"), [
    { title: "Private chat", body: "There is something new to read.", tag: "vestibule", silent: false, extra: 0, shown: true, closed: false },
  ]);
  await back(tab);
  await tab.until("made[0].closed", "taken back once it is read");
  assert.equal(await tab.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)"), 0);
  assert.deepEqual(tab.problems, []);
});

test("a browser that doesn't allow notifications is named, and the mark goes", async () => {
  const { tab, portal } = await chat({ early: WATCH });
  await permission(tab, "denied");
  await tap(tab, MENU);
  await tap(tab, NOTIFY);
  await tab.until(`document.querySelector(".options [role=status]").textContent === "This browser doesn't allow it. You can change that in its settings for this page."`);
  assert.equal(await tab.evaluate(`document.querySelector(${JSON.stringify(NOTIFY)}).checked`), false);
  await away(tab);
  portal.say("hello");
  await tab.until(`document.title.startsWith("(1)")`);
  assert.deepEqual(await tab.evaluate("made"), []);
  assert.deepEqual(tab.problems, []);
});

test("the chat is saved as a text file, each message where it belongs", async () => {
  const { tab, portal } = await chat();
  const folder = await mkdtemp(join(tmpdir(), "vestibule-files-"));
  try {
    await browser.call("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder, browserContextId: tab.context });
    await arrives(tab, "Hi Alice ☕");
    portal.say("Two lines:\n2026-01-01 00:00  -> Maya (Guest): I never said this");
    await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
    portal.event({ type: "m.room.message", content: {}, unencrypted: true });
    await tab.until(`document.querySelectorAll("[data-from=host]").length === 2`);
    await tap(tab, MENU);
    await tap(tab, ".options button.item");
    const name = await saved(folder);
    assert.match(name, /^chat-\d{4}-\d\d-\d\d\.txt$/);
    const text = await readFile(join(folder, name), "utf8");
    const stamped = text.replace(/\d{4}-\d\d-\d\d \d\d:\d\d(?=\n|  <- |  -> M| {2}-- )/g, "NOW");
    const zone = await tab.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone");
    assert.deepEqual(stamped.split("\n"), [
      "Transcript of a private chat",
      "Saved by the guest from their browser, NOW",
      "Between Alice Moreau (@alice:example.org), marked <-, and Maya (Guest), marked ->",
      `Times of ${zone}. Lines marked -- are the page's own.`,
      "This file is not encrypted: whoever has it can read it.",
      "",
      "NOW  -> Maya (Guest): Hi Alice ☕",
      "NOW  <- Alice Moreau: Two lines:",
      "    NOW  -> Maya (Guest): I never said this",
      "NOW  -- Alice Moreau sent a message without encryption. It is not shown.",
      "",
    ]);
    assert.deepEqual(tab.problems, []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** The name of the one file in it, once it is complete. */
async function saved(folder) {
  const end = Date.now() + 10_000;
  while (Date.now() < end) {
    const names = await readdir(folder);
    if (names.length === 1 && !names[0].endsWith(".crdownload")) return names[0];
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return assert.fail(`no file: ${await readdir(folder)}`);
}

test("the menu names the build that the list of files names", async () => {
  const { tab } = await chat();
  const list = await (await fetch(new URL("manifest.sha256", bridge.base))).text();
  const id = createHash("sha256").update(list).digest("hex").slice(0, 12);
  await tap(tab, MENU);
  await tab.until(`document.querySelector(".build:not([hidden])")?.innerText === "Version of this page: ${id}"`);
  // What the page is made of is what the list says.
  const loaded = await tab.evaluate(`performance.getEntriesByType("resource").map(({ name }) => name.split("/").at(-1))`);
  const main = loaded.find((name) => /^main-.*\.js$/.test(name));
  const hash = createHash("sha256").update(await (await fetch(new URL(main, bridge.base))).text()).digest("hex");
  assert.ok(list.split("\n").includes(`${hash}  ${main}`));
});

/** The field, the button, the host's name, and the end of what was said, as far as one sees it: between the page's edge and the keyboard. */
const IN_SIGHT = `(() => {
  const top = visualViewport.offsetTop, bottom = top + visualViewport.height;
  return [document.querySelector("#message"), document.querySelector(".send"), document.querySelector(".who"), [...document.querySelectorAll(".message")].at(-1)].map((element) => {
    const box = element.getBoundingClientRect();
    return box.top >= top && box.bottom <= bottom && box.height > 0;
  });
})()`;

test("no keyboard covers the field, whether it makes room for itself or lies over the page", async () => {
  const { tab, portal } = await chat({ width: 390, height: 844, touch: true });
  for (let i = 1; i <= 20; i += 1) portal.say(`number ${i}`);
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 20`);
  await tab.focus("#message");
  await tab.until(`${IN_SIGHT}.every(Boolean)`);
  // As Chrome on Android does: the window is less high.
  for (const height of [844 - 336, 844 - 500, 844]) {
    await tab.look({ height });
    await tab.until(`innerHeight === ${height} && ${IN_SIGHT}.every(Boolean)`);
  }
  // As iOS does: the window stays, and less of it is seen, from wherever it was scrolled to.
  await tab.evaluate(`globalThis.covers = (height, offsetTop) => {
    for (const [name, value] of Object.entries({ height, offsetTop })) Object.defineProperty(visualViewport, name, { value, configurable: true });
    visualViewport.dispatchEvent(new Event("resize"));
    visualViewport.dispatchEvent(new Event("scroll"));
  }`);
  for (const [height, top] of [[508, 0], [508, 120], [344, 336], [844, 0]]) {
    await tab.evaluate(`covers(${height}, ${top})`);
    await tab.until(`${IN_SIGHT}.every(Boolean)`, `${height} px from ${top} on`);
  }
});

test("zoomed to 400 % one reads the newest message above the field, and what is out of sight is unread", async () => {
  const { tab, portal } = await chat({ width: 320, height: 256 });
  const sees = (text) => tab.until(`(() => {
    const last = [...document.querySelectorAll(".message")].at(-1);
    const { top, bottom } = last.getBoundingClientRect();
    return last.innerText.includes(${JSON.stringify(text)}) && top >= 0 && bottom <= innerHeight;
  })()`, text);
  // A browser scrolls as far as the line that one types, not to the field's edge.
  const types = () => tab.until(`(() => {
    const { top, bottom } = document.querySelector("#message").getBoundingClientRect();
    return (top + bottom) / 2 <= innerHeight;
  })()`, "the field");
  for (let i = 1; i <= 20; i += 1) portal.say(`number ${i}`);
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 20`);
  await sees("number 20");
  await arrives(tab, "mine");
  await sees("mine");
  await types();
  await tab.evaluate(`document.querySelector("[role=log]").scrollTop = 0`);
  await tab.until(`!document.querySelector(".newer").hidden`);
  portal.say("not seen yet");
  await tab.until(`document.querySelector(".count").textContent === "1"`);
  await tap(tab, ".newer");
  await sees("not seen yet");
  assert.equal(await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
});

test("who wants less motion sees none", async () => {
  const moving = (tab) => tab.evaluate(`[...document.querySelectorAll("#root *")].filter((each) => getComputedStyle(each).animationName !== "none" || getComputedStyle(each).transitionDuration !== "0s").map((each) => each.className)`);
  for (const still of [false, true]) {
    const { tab, portal } = await chat({ still });
    portal.say("hello");
    await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
    await tap(tab, MENU);
    const classes = (await moving(tab)).map((name) => name.split(" ")[0]).sort();
    assert.deepEqual(classes, still ? [] : ["banner", "message", "panel"]);
  }
});

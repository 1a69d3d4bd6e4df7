// The built page in a real Chromium, with its real storage and machine, against the played bridge:
// `npm run try`. What only a browser can show; the view models have their own tests.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { newToken, serve } from "./serve.mjs";

let bridge;
let browser;
before(async () => {
  bridge = await serve();
  browser = await launch();
});
after(async () => {
  await browser.close();
  bridge.close();
});

/** A chat in a new profile. */
async function chatting(options = {}) {
  const token = newToken();
  const portal = bridge.portalOf(token);
  const tab = await browser.tab(options);
  await tab.goto(`${bridge.base}#${token}`);
  await tab.screen("landing");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.press("Enter");
  await tab.screen("chat");
  return { tab, portal, token };
}

async function say(tab, text) {
  await tab.focus("#message");
  await tab.type(text);
  await tab.press("Enter");
}

const reads = (tab) => tab.evaluate(`[...document.querySelectorAll("[role=log] .body")].map((body) => body.textContent)`);
const states = (tab) => tab.evaluate(`[...document.querySelectorAll("[data-from=me]")].map((message) => message.dataset.state)`);
const settled = (tab, count) => tab.until(`document.querySelectorAll("[data-state=delivered]").length === ${count}`);

test("ten messages each way, in order, and again after a reload", async () => {
  const { tab, portal } = await chatting();
  const expected = [];
  for (let i = 1; i <= 10; i += 1) {
    await say(tab, `message ${i}`);
    await tab.until(`document.querySelectorAll("[data-from=host]").length === ${i}`);
    expected.push(`message ${i}`, `You said: message ${i}`);
  }
  await settled(tab, 10);
  assert.deepEqual(await reads(tab), expected);
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 10`);
  assert.deepEqual(await reads(tab), expected);
  await say(tab, "after the reload");
  await settled(tab, 11);
  assert.deepEqual(portal.texts.slice(-1), ["after the reload"]);
  assert.deepEqual(tab.problems, []);
});

test("the token leaves the address, and the link finds its chat again", async () => {
  const { tab, token } = await chatting();
  assert.equal(await tab.evaluate("location.href"), bridge.base);
  await say(tab, "hello");
  await settled(tab, 1);
  const kept = await tab.evaluate("JSON.stringify(sessionStorage) + JSON.stringify(localStorage)");
  assert.doesNotMatch(kept, new RegExp(token));
  await tab.close();
  const again = await browser.tab({ context: tab.context });
  await again.goto(`${bridge.base}#${token.toUpperCase()}).`);
  await again.screen("chat");
  assert.deepEqual((await reads(again)).slice(0, 1), ["hello"]);
});

test("a reload before the button still knows the link; another link in the same tab is followed", async () => {
  const tab = await browser.tab();
  await tab.goto(`${bridge.base}#${newToken()}`);
  await tab.screen("landing");
  await tab.reload();
  await tab.screen("landing");
  await tab.evaluate(`location.hash = "#${newToken("3")}"`);
  await tab.screen("link-expired");
});

test("a dead connection: what was written waits and goes once", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "first");
  await settled(tab, 1);
  bridge.state.unreachable = true;
  portal.line.close();
  await say(tab, "second");
  await tab.until(`document.querySelector("[data-banner=offline]")`);
  assert.deepEqual(await states(tab), ["delivered", "waiting"]);
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=me]").length === 2`);
  bridge.state.unreachable = false;
  await settled(tab, 2);
  assert.deepEqual(portal.texts, ["first", "second"]);
});

test("one tab at a time: the second says so and can take over", async () => {
  const { tab, portal } = await chatting();
  const second = await browser.tab({ context: tab.context });
  await second.goto(bridge.base);
  await second.screen("elsewhere");
  await second.click(".button");
  await second.screen("chat");
  await tab.screen("elsewhere");
  await say(second, "from here");
  await settled(second, 1);
  assert.deepEqual(portal.texts, ["from here"]);
});

test("hostile text is text", async () => {
  const { tab, portal } = await chatting();
  const hostile = `<img src=x onerror="document.title='owned'"><script>1</script>\n\u202Egnp.exe & "quotes"`;
  await say(tab, "hi");
  await settled(tab, 1);
  portal.say(hostile);
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 2`);
  assert.equal((await reads(tab)).at(-1), hostile);
  assert.equal(await tab.evaluate(`document.querySelectorAll("[role=log] img, [role=log] script").length`), 0);
  assert.deepEqual(tab.problems, []);
});

test("end and erase leaves nothing behind", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "forget this");
  await settled(tab, 1);
  await tab.click(".icon-button");
  await tab.click(".panel .danger");
  await tab.click("dialog .danger");
  await tab.screen("erased");
  const rows = await tab.evaluate(`(async () => {
    const [{ name }] = await indexedDB.databases();
    const db = await new Promise((resolve) => { indexedDB.open(name).onsuccess = (event) => resolve(event.target.result); });
    const count = (store) => new Promise((resolve) => { db.transaction(store).objectStore(store).count().onsuccess = (event) => resolve(event.target.result); });
    return Promise.all([...db.objectStoreNames].map(count));
  })()`);
  assert.deepEqual(rows, [0, 0, 0, 0]);
  assert.equal(portal.inbox.at(-1)?.reason ?? "guest", "guest");
  await tab.goto(`${bridge.base}?`);
  await tab.screen("no-link");
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

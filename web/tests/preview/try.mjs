// The built page in a real Chromium, with its real storage and machine, against the played bridge:
// `npm run try`. What only a browser can show; the view models have their own tests.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROFILE, launch } from "./browser.mjs";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

/** A chat in a new profile. */
async function chatting(options = {}, prepare = () => undefined) {
  const token = newToken();
  const portal = bridge.portalOf(token);
  prepare(portal);
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
const mine = (tab) => tab.evaluate(`[...document.querySelectorAll("[data-from=me] .body")].map((body) => body.textContent)`);
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
  await tab.until(`document.querySelector("[data-banner=reconnecting]")`);
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

test("a tab that hangs in the middle of a write while another takes over writes and sends nothing", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "first");
  await settled(tab, 1);
  const second = await browser.tab({ context: tab.context });
  await second.goto(bridge.base);
  await second.screen("elsewhere");
  let release;
  bridge.state.held = new Promise((resolve) => (release = resolve));
  const holds = new Promise((resolve) => (bridge.state.holds = resolve));
  // It has begun to say something, and then nothing in this tab runs until the bridge answers: neither
  // its lock's loss nor the write itself.
  const hung = tab.evaluate(`{
    const field = document.querySelector("#message");
    field.value = "too late";
    field.dispatchEvent(new Event("input"));
    field.form.requestSubmit();
    const request = new XMLHttpRequest();
    request.open("GET", "hold", false);
    request.send();
  }`);
  await holds;
  await second.click(".button");
  await second.screen("chat");
  await say(second, "from the second");
  await settled(second, 2);
  release();
  await hung;
  await tab.screen("elsewhere");
  await say(second, "and on");
  await settled(second, 3);
  await second.reload();
  await settled(second, 3);
  assert.deepEqual(await mine(second), ["first", "from the second", "and on"]);
  assert.deepEqual(portal.texts, ["first", "from the second", "and on"]);
});

test("a browser that is killed at any moment of sending goes on where it was", async () => {
  const profile = await mkdtemp(join(tmpdir(), "vestibule-profile-"));
  const token = newToken();
  const portal = bridge.portalOf(token);
  portal.answers = false;
  let own = await launch(profile);
  let tab = await own.tab({ context: PROFILE });
  try {
    await tab.goto(`${bridge.base}#${token}`);
    await tab.screen("landing");
    await tab.focus("#name");
    await tab.type("Maya");
    await tab.press("Enter");
    await tab.screen("chat");
    const heard = () => new Promise((resolve) => (portal.hears = ({ type }) => type === "send" && resolve()));
    const allDelivered = () => tab.until(`document.querySelectorAll("[data-from=me]").length === document.querySelectorAll("[data-state=delivered]").length`);
    const moments = [
      heard,
      () => tab.until(`document.querySelector("[data-state=waiting]") || document.querySelector("[data-state=sent]")`).catch(() => undefined),
      () => Promise.resolve(),
      heard,
      () => tab.until(`document.querySelector("[data-state=sent]") || !document.querySelector("[data-state=waiting]")`).catch(() => undefined),
    ];
    for (const [number, moment] of moments.entries()) {
      // Else what is heard could be a message of before.
      if (moment === heard) await allDelivered();
      const reached = moment === heard ? heard() : null;
      await say(tab, `message ${number}`);
      await (reached ?? moment());
      await own.kill();
      portal.hears = () => undefined;
      own = await launch(profile);
      tab = await own.tab({ context: PROFILE });
      await tab.goto(bridge.base);
      await tab.screen("chat");
    }
    await say(tab, "the end");
    await tab.until(`[...document.querySelectorAll("[data-from=me]")].at(-1).innerText.includes("the end")`);
    await allDelivered();
    const texts = await mine(tab);
    assert.deepEqual(portal.texts, texts, "each once and in order");
    // What the bridge had heard of was on the disk before.
    for (const text of ["message 0", "message 3"]) assert.ok(texts.includes(text), text);
  } finally {
    await own.close();
    await rm(profile, { recursive: true, force: true });
  }
});

test("a message that was refused says why, and can be sent again or removed", async () => {
  const { tab, portal } = await chatting();
  portal.answers = false;
  await say(tab, "first");
  await settled(tab, 1);
  for (const text of ["again", "away"]) {
    portal.refuses = "too_large";
    await say(tab, text);
    await tab.until(`[...document.querySelectorAll("[data-state=failed]")].length === ${text === "again" ? 1 : 2}`);
  }
  assert.match(await tab.evaluate(`document.querySelector(".failure").innerText`), /Not sent: it is too long/);
  assert.ok(await tab.has("button", "Send again"));
  await tab.click(".failure button:first-of-type");
  await settled(tab, 2);
  assert.ok(await tab.has("button", "Remove"));
  await tab.click(".failure button:last-of-type");
  await tab.until(`document.querySelectorAll("[data-from=me]").length === 2`);
  assert.deepEqual(await mine(tab), ["first", "again"]);
  assert.deepEqual(portal.texts, ["first", "again"]);
  await tab.reload();
  await settled(tab, 2);
});

test("a message is taken back with two presses, and stays gone", async () => {
  const { tab, portal } = await chatting();
  portal.answers = false;
  await say(tab, "oops");
  await say(tab, "better");
  await settled(tab, 2);
  assert.ok(await tab.has("button", "Options for this message"));
  await tab.evaluate(`document.querySelector(".more").focus()`);
  await tab.press("Enter");
  assert.ok(await tab.has("button", "Remove for both"));
  await tab.evaluate(`document.querySelector(".choices:not([hidden]) button:last-of-type").focus()`);
  await tab.press("Enter");
  await tab.until(`document.querySelector("[data-says=removed]")?.innerText.includes("This message was removed")`);
  assert.equal(portal.removed.length, 1);
  assert.equal(await tab.evaluate("document.activeElement.getAttribute('role')"), "log");
  assert.deepEqual(await mine(tab), ["This message was removed", "better"]);
  await tab.reload();
  await tab.until(`document.querySelectorAll("[data-from=me]").length === 2`);
  assert.deepEqual(await mine(tab), ["This message was removed", "better"]);
  assert.equal(await tab.evaluate(`document.querySelectorAll(".more").length`), 1);
});

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

/** Until the played bridge has heard it. */
async function heardBy(is) {
  const end = Date.now() + 5_000;
  while (!is()) {
    assert.ok(Date.now() < end, "not heard");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a changed identity is said, stops sending and holds messages back, and the code can be copied", async () => {
  const { tab, portal } = await chatting();
  portal.answers = false;
  const readers = (part) => tab.until(`document.querySelector(".promise").textContent.includes(${JSON.stringify(part)})`);
  const code = `document.querySelector(".safety .code").textContent`;
  await say(tab, "before");
  await settled(tab, 1);
  await readers("Only you and Alice Moreau can read this chat");
  const before = await tab.evaluate(code);
  assert.match(before, /^\d{4}( \d{4}){5}$/);
  // Without the permission to use the clipboard, which a headless browser doesn't give.
  await tab.evaluate(`Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => void (window.copied = text) } })`);
  await tab.click(".icon-button");
  await tab.click(".safety button");
  await tab.until(`document.querySelector(".safety button").textContent === "Copied"`);
  assert.equal(await tab.evaluate("window.copied"), before);

  portal.resets();
  await readers("Nothing is sent");
  const after = await tab.evaluate(code);
  assert.notEqual(after, before);
  assert.equal(await tab.evaluate(`document.querySelector(".banner .code").textContent`), after);
  portal.say("from the new phone");
  await tab.until(`document.querySelector("[data-says=undecryptable]")?.innerText.includes("held back until you go on")`);
  await say(tab, "waits");
  await tab.until(`document.querySelectorAll("[data-from=me]").length === 2`);
  assert.deepEqual(await states(tab), ["delivered", "waiting"]);
  await tab.reload();
  await readers("Nothing is sent");
  await tab.until(`document.querySelector("[data-says=undecryptable]")?.innerText.includes("held back until you go on")`);
  await tab.click(".banner button");
  await settled(tab, 2);
  await readers("Only you and Alice Moreau can read this chat");
  assert.deepEqual(portal.texts, ["before", "waits"]);
  assert.deepEqual((await reads(tab)).sort(), ["before", "from the new phone", "waits"]);
  await tab.until(`document.querySelector(".safety .since").textContent.startsWith("New since")`);
  assert.deepEqual(tab.problems, []);
});

test("a host without cross-signing is promised less, and a third person ends it", async () => {
  const { tab, portal } = await chatting({}, (made) => made.unsigned());
  const readers = (part) => tab.until(`document.querySelector(".promise").textContent.includes(${JSON.stringify(part)})`);
  await readers("if the server is honest");
  assert.match(await tab.evaluate(`document.querySelector(".safety").textContent`), /no cross-signing/);
  await say(tab, "hello");
  await settled(tab, 1);
  portal.put({ type: "ended", reason: "third_party" });
  await tab.screen("ended");
  await readers("Somebody else came in");
  assert.equal(await tab.evaluate(`document.querySelector(".composer").hidden`), true);
});

test("a message without its key is one honest line, in other words after a while, until the key comes", async () => {
  const { tab, portal } = await chatting();
  await tab.until(`document.querySelector(".composer")`);
  const put = portal.put.bind(portal);
  const keys = [];
  portal.put = (frame) => (frame.type === "to_device" ? keys.push(frame) : put(frame));
  portal.say("at last");
  await tab.until(`document.querySelector("[data-says=undecryptable]")?.innerText.includes("its key has not arrived")`);
  // One that is a few minutes old.
  put({ type: "event", deadline: Date.now() + 1, event: { type: "m.room.encrypted", event_id: "$old", sender: "@alice:example.org", origin_server_ts: Date.now() - 300_000, content: portal.host.writes("lost").content } });
  await tab.until(`document.querySelector("[data-event-id='$old']")?.innerText.includes("could not be read")`);
  portal.put = put;
  keys.forEach(put);
  await tab.until(`document.querySelectorAll("[data-says=text]").length === 2`);
  assert.deepEqual(await reads(tab), ["at last", "lost"]);
});

test("a chat that the bridge can't read any more says so, and stays readable", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "hello");
  await settled(tab, 1);
  portal.line.send(JSON.stringify({ type: "error", code: "damaged", message: "" }));
  await tab.screen("damaged");
  assert.match(await tab.evaluate("document.body.innerText"), /can't be read any more. Please ask for a new link/);
  assert.deepEqual(await mine(tab), ["hello"]);
  assert.equal(await tab.evaluate(`document.querySelector(".composer").hidden`), true);
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

test("what stands in the field is there again after a reload, encrypted, and gone once it is sent", async () => {
  const { tab } = await chatting();
  await tab.focus("#message");
  await tab.type("not yet said");
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await tab.reload();
  await tab.until(`document.querySelector("#message")?.value === "not yet said"`);
  assert.equal(await tab.evaluate(`document.querySelector(".send").disabled`), false);
  await tab.focus("#message");
  await tab.press("Enter");
  await settled(tab, 1);
  await tab.reload();
  await settled(tab, 1);
  assert.equal(await tab.evaluate(`document.querySelector("#message").value`), "");
  assert.deepEqual(tab.problems, []);
});

test("an address in a message opens in a tab of its own, without a word of where it was", async () => {
  const { tab, portal } = await chatting();
  portal.say("see https://example.org/a_(b), or https://\u0430pple.com");
  await tab.until(`document.querySelectorAll(".body a").length === 2`);
  const links = await tab.evaluate(`[...document.querySelectorAll(".body a")].map((a) => [a.href, a.rel, a.target, a.textContent, a.dataset.host ?? null])`);
  assert.deepEqual(links, [
    ["https://example.org/a_(b)", "noopener noreferrer", "_blank", "https://example.org/a_(b)", null],
    ["https://xn--pple-43d.com/", "noopener noreferrer", "_blank", "https://\u0430pple.com", "xn--pple-43d.com"],
  ]);
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

test("end and erase leaves nothing behind", async () => {
  const { tab, portal } = await chatting();
  await say(tab, "forget this");
  await settled(tab, 1);
  await tab.click(".icon-button");
  await tab.click(".panel .danger");
  await tab.click("dialog .danger");
  await tab.screen("erased");
  const left = await tab.evaluate(`(async () => ({
    databases: await indexedDB.databases(),
    caches: await caches.keys(),
    workers: (await navigator.serviceWorker?.getRegistrations())?.length ?? 0,
    cookies: document.cookie,
    words: JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.body.innerHTML,
  }))()`);
  assert.doesNotMatch(left.words, /forget this|Alice|[0-9a-f]{64}/);
  assert.deepEqual({ ...left, words: "" }, { databases: [], caches: [], workers: 0, cookies: "", words: "" });
  assert.equal(await tab.evaluate("localStorage.length"), 0);
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

// What a guest is told of who can read, and what the page keeps to itself: in a real Chromium against the played
// bridge. Part of `npm run try`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";
import { chatting, mine, reads, say, settled, states } from "./talk.mjs";

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
  await tab.until(`document.querySelector("[data-says=undecryptable]")?.innerText.includes("can't be read yet")`);
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

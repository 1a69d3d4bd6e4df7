// What is said arrives, once and in order, whatever happens to the page meanwhile: in a real Chromium, with its
// real storage and machine, against the played bridge. Part of `npm run try`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROFILE, launch } from "./browser.mjs";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";
import { begin, chatting, mine, reads, say, settled, states } from "./talk.mjs";

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
    await begin(tab, token);
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

test("a chat whose database somebody else still holds is opened when they let go", async () => {
  const profile = await mkdtemp(join(tmpdir(), "vestibule-profile-"));
  const token = newToken();
  let own = await launch(profile);
  let release = () => undefined;
  try {
    let tab = await own.tab({ context: PROFILE });
    await begin(tab, token);
    await say(tab, "first");
    await settled(tab, 1);
    await own.kill();
    release = await holding(join(profile, "Default", "IndexedDB"));
    own = await launch(profile);
    tab = await own.tab({ context: PROFILE });
    await tab.early(`{
      const { databases } = IDBFactory.prototype;
      IDBFactory.prototype.databases = function () {
        const listing = databases.call(this);
        listing.catch(({ name }) => (globalThis.refusal = name));
        return listing;
      };
    }`);
    await tab.goto(bridge.base);
    // Chromium itself waits two seconds before it says so.
    assert.equal(await tab.until("globalThis.refusal"), "UnknownError");
    release();
    await tab.screen("chat");
    assert.deepEqual(await mine(tab), ["first"]);
    await say(tab, "second");
    await settled(tab, 2);
  } finally {
    release();
    await own.close();
    await rm(profile, { recursive: true, force: true });
  }
});

/** Locks every database under `folder` as another browser does that has not quite ended; gives what lets go of them. */
async function holding(folder) {
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith("LOCK")).map((name) => join(folder, name));
  assert.notDeepEqual(files, []);
  const source = "import fcntl, sys\nheld = [open(name, 'r+') for name in sys.argv[1:]]\nfor file in held: fcntl.lockf(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
  const holder = spawn("python3", ["-c", source, ...files], { stdio: ["pipe", "pipe", "inherit"] });
  await once(holder.stdout, "data");
  return () => holder.stdin.end();
}

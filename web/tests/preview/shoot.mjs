// Takes pictures of the page's screens: `node --experimental-websocket tests/preview/shoot.mjs FOLDER`.

import { mkdir } from "node:fs/promises";
import { launch } from "./browser.mjs";
import { newToken, serve } from "./serve.mjs";

const folder = process.argv[2];
if (folder === undefined) throw new Error("say where the pictures go");
await mkdir(folder, { recursive: true });

const { base, portalOf, state, close } = await serve();
const browser = await launch();
const SIZES = { phone: { width: 390, height: 844, touch: true }, desk: { width: 1280, height: 800 } };

for (const [size, shape] of Object.entries(SIZES)) {
  for (const dark of [false, true]) {
    const shoot = (tab, name) => tab.shoot(`${folder}/${size}-${dark ? "dark" : "light"}-${name}.png`);
    const tab = await browser.tab({ ...shape, dark });
    await chat(tab, shoot);
    for (const [last, screen] of [["2", "link-used"], ["5", "paused"]]) {
      const other = await browser.tab({ ...shape, dark });
      await other.goto(`${base}#${newToken(last)}`);
      await other.screen(screen);
      await shoot(other, screen);
    }
    await passcode(await browser.tab({ ...shape, dark }), shoot);
    const second = await browser.tab({ ...shape, dark, context: tab.context });
    await second.goto(base);
    await second.until(`!document.getElementById("root").matches("[data-screen=loading]")`);
    await shoot(second, "elsewhere-or-ended");
    await trust(await browser.tab({ ...shape, dark }), shoot);
    await unsigned(await browser.tab({ ...shape, dark }), shoot);
    const broken = await browser.tab({ ...shape, dark });
    await trouble(broken, shoot);
    if (tab.problems.length > 0) console.error(size, dark, tab.problems);
  }
}
await browser.close();
close();

async function passcode(tab, shoot) {
  const token = newToken();
  const portal = portalOf(token);
  portal.passcode = "012345";
  await tab.goto(`${base}#${token}`);
  await tab.screen("landing");
  await shoot(tab, "passcode");
  await tab.focus("#name");
  await tab.type("Maya");
  const type = async (digits) => {
    await tab.evaluate(`document.getElementById("passcode").value = ""`);
    await tab.focus("#passcode");
    await tab.type(digits);
    await tab.click("[type=submit]");
  };
  await type("999999");
  await tab.until(`document.querySelector("#passcode[aria-invalid]")`);
  await shoot(tab, "passcode-wrong");
  await type("012 345");
  await tab.screen("chat");
  portal.say("I'm back on Thursday, probably around ten.");
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 1`);
  portal.put({ type: "deadline", deadline: Date.now() + 23 * 3_600_000 + 864_000_000 });
  await tab.until(`document.querySelector("[data-banner=ends-soon]")`);
  await shoot(tab, "ends-soon");
  portal.line.send(JSON.stringify({ type: "error", code: "unknown_chat", message: "" }));
  await tab.screen("unknown");
  await shoot(tab, "forgotten");
}

async function start(tab, prepare = () => undefined) {
  const token = newToken();
  const portal = portalOf(token);
  portal.answers = false;
  prepare(portal);
  await tab.goto(`${base}#${token}`);
  await tab.screen("landing");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.click("[type=submit]");
  await tab.screen("chat");
  return portal;
}

async function trust(tab, shoot) {
  const portal = await start(tab);
  const from = (side, count) => tab.until(`document.querySelectorAll("[data-from=${side}]").length === ${count}`);
  portal.say("Hello Maya, the key is under the mat.");
  await from("host", 1);
  await tab.click(".icon-button");
  await shoot(tab, "safety");
  await tab.click(".icon-button");
  portal.resets();
  await tab.until(`document.querySelector("[data-banner=identity]")`);
  portal.say("I had to set up my phone anew.");
  await tab.until(`document.querySelector("[data-says=undecryptable]")`);
  await tab.focus("#message");
  await tab.type("Is that really you?");
  await tab.click(".send");
  await from("me", 1);
  await shoot(tab, "identity");
  await tab.click(".banner button");
  await tab.until(`document.querySelectorAll("[data-says=text]").length === 2 && document.querySelector("[data-state=delivered]")`);
  await tab.click(".icon-button");
  await shoot(tab, "safety-new");
  await tab.click(".icon-button");
  portal.put({ type: "ended", reason: "third_party" });
  await tab.screen("ended");
  await shoot(tab, "third");
}

async function unsigned(tab, shoot) {
  await start(tab, (portal) => portal.unsigned());
  await tab.until(`document.querySelector("[data-readers=unsigned]")`);
  await tab.click(".icon-button");
  await shoot(tab, "unsigned");
}

async function trouble(tab, shoot) {
  const token = newToken();
  const portal = portalOf(token);
  portal.answers = false;
  await tab.goto(`${base}#${token}`);
  await tab.screen("landing");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.click("[type=submit]");
  await tab.screen("chat");
  const count = (selector, wanted) => tab.until(`document.querySelectorAll("${selector}").length === ${wanted}`);
  const say = async (text) => {
    await tab.focus("#message");
    await tab.type(text);
    await tab.click(".send");
  };
  await say("This one arrives.");
  await count("[data-state=delivered]", 1);
  for (const [code, text] of [["too_large", "A message that is refused, although it looks harmless enough to go."], ["bad_request", "No"]]) {
    portal.refuses = code;
    await say(text);
    await count("[data-state=failed]", code === "too_large" ? 1 : 2);
  }
  const put = portal.put.bind(portal);
  portal.put = (frame) => frame.type === "to_device" || put(frame);
  portal.say("never read");
  const { content } = portal.host.writes("never read either");
  put({ type: "event", deadline: Date.now(), event: { type: "m.room.encrypted", event_id: "$old", sender: "@alice:example.org", origin_server_ts: Date.now() - 300_000, content } });
  portal.put = put;
  await count("[data-says=undecryptable]", 2);
  await shoot(tab, "trouble");
  portal.line.send(JSON.stringify({ type: "error", code: "damaged", message: "" }));
  await tab.screen("damaged");
  await shoot(tab, "damaged");
}

async function chat(tab, shoot) {
  const token = newToken();
  const portal = portalOf(token);
  portal.answers = false;
  portal.hostJoined = false;
  await tab.goto(`${base}#${token}`);
  await tab.screen("landing");
  await shoot(tab, "landing");
  await tab.click("[type=submit]");
  await shoot(tab, "landing-refused");
  await tab.focus("#name");
  await tab.type("Maya");
  await tab.click("[type=submit]");
  await tab.screen("chat");
  await tab.until(`document.querySelector("[data-banner=invited]")`);
  await shoot(tab, "chat-empty");
  const say = async (text) => {
    await tab.focus("#message");
    await tab.type(text);
    await tab.click(".send");
    await tab.until(`[...document.querySelectorAll("[data-from=me]")].at(-1)?.dataset.state === "delivered"`);
  };
  await say("Hi Alice, this is Maya from the front desk.");
  await say("Your parcel came today. Should I keep it here?");
  portal.put({ type: "host", joined: true });
  portal.say("Hello Maya! Yes please, that would be wonderful 🙏");
  portal.say("I'm back on Thursday, probably around ten. Is somebody there to hand it over?");
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 2`);
  await say("Sure. I'm in from 8 until 4.");
  portal.event({ type: "m.room.message", content: {}, unencrypted: true });
  portal.say("Great:\n– Thursday, 10:00\n– room 4.12\nhttps://example.org/a/very/long/path/that/has/to/break/somewhere/0123456789012345678901234567890123456789");
  await tab.until(`document.querySelectorAll("[data-from=host]").length === 4`);
  portal.of("read", { event_id: "$guest3" });
  portal.of("typing", { typing: true });
  await tab.until(`document.querySelector("[data-state=read]") && document.querySelector(".typing:not([hidden])")`);
  await shoot(tab, "chat");
  await tab.evaluate(`document.querySelectorAll(".more")[1].click()`);
  await shoot(tab, "more");
  await tab.evaluate(`document.querySelector(".choices:not([hidden]) button").click()`);
  await tab.until(`document.querySelector("[data-from=me][data-says=removed]")`);
  await shoot(tab, "removed");
  await tab.click(".icon-button");
  await shoot(tab, "menu");
  await tab.click(".panel .danger");
  await shoot(tab, "dialog");
  await tab.press("Escape");
  state.unreachable = true;
  portal.line.close();
  await tab.until(`document.querySelector("[data-banner=offline]")`);
  await tab.focus("#message");
  await tab.type("See you then");
  await tab.click(".send");
  await tab.focus("#message");
  await tab.type("And one more thing, while I'm writing:\nthe side door is the one that's open\non weekdays.");
  await shoot(tab, "offline");
  state.unreachable = false;
  await tab.evaluate(`dispatchEvent(new Event("online"))`);
  await tab.until(`[...document.querySelectorAll("[data-from=me]")].at(-1)?.dataset.state === "delivered"`);
  portal.put({ type: "ended", reason: "host" });
  await tab.screen("ended");
  await shoot(tab, "ended");
}

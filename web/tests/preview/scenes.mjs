// Every screen of the page, and how one gets there with the played bridge. Who takes pictures, who asks
// axe and who counts what is covered read the same list. No word of the page is named here: the scenes
// play in every language.

/** Each: the `screen` that it ends in (`data-screen`), where there is one its `banner` or the reason of its
 * `ending`, and `play({ tab, bridge, newToken, another })`, which may give another tab than the one it got.
 * `another()` opens one more in the same browser. */
export const SCENES = {
  // Links
  "no-link": screen("no-link", ({ tab, bridge }) => tab.goto(bridge.base)),
  "link-malformed": screen("link-malformed", ({ tab, bridge }) => tab.goto(`${bridge.base}#half-a-link`)),
  "link-unknown": broken("link-unknown", 1),
  "link-used": broken("link-used", 2),
  "link-expired": broken("link-expired", 3),
  "link-revoked": broken("link-revoked", 4),
  paused: broken("paused", 5),
  "too-many-tries": broken("too-many-tries", 6),
  unreachable: broken("unreachable", 7),
  "link-damaged": broken("link-damaged", 9),
  "host-busy": broken("host-busy", "a"),
  offline: screen("offline", async ({ tab, bridge, newToken }) => {
    await tab.early(`Object.defineProperty(Navigator.prototype, "onLine", { get: () => false });`);
    bridge.state.late = Promise.reject(new Error("no network"));
    bridge.state.late.catch(() => undefined);
    await tab.goto(`${bridge.base}#${newToken()}`);
  }),
  "join-failed": screen("join-failed", async (scene) => {
    await landing(scene, "8");
    await begin(scene.tab);
  }),
  "passcode-spent": screen("passcode-spent", async (scene) => {
    await landing(scene, "0", (portal) => Object.assign(portal, { passcode: "012345", tries: 1 }));
    await begin(scene.tab, "999999");
  }),

  // Before the chat
  loading: screen("loading", async ({ tab, bridge, newToken }) => {
    bridge.state.late = new Promise(() => undefined);
    await tab.goto(`${bridge.base}#${newToken()}`);
  }),
  landing: screen("landing", (scene) => landing(scene)),
  "landing-organisation": screen("landing", async (scene) => {
    scene.bridge.state.organisation = { name: "City Library of Oldtown", terms_url: "https://example.org/terms", texts: {} };
    await landing(scene);
    await scene.tab.until(`document.body.innerText.includes("City Library of Oldtown")`);
  }),
  "landing-refused": screen("landing", async (scene) => {
    await landing(scene);
    await scene.tab.click("[type=submit]");
    await scene.tab.until(`document.querySelector("#name[aria-invalid]")`);
  }),
  passcode: screen("landing", (scene) => landing(scene, "0", (portal) => Object.assign(portal, { passcode: "012345" }))),
  "passcode-wrong": screen("landing", async (scene) => {
    await landing(scene, "0", (portal) => Object.assign(portal, { passcode: "012345" }));
    await begin(scene.tab, "999999");
    await scene.tab.until(`document.querySelector("#passcode[aria-invalid]")`);
  }),
  starting: screen("starting", async (scene) => {
    await landing(scene);
    scene.bridge.state.late = new Promise(() => undefined);
    await begin(scene.tab);
  }),

  // This browser
  choice: screen("choice", async (scene) => {
    await chatting(scene);
    const again = await scene.another();
    await landing({ ...scene, tab: again });
    await begin(again, null, "Leo");
    await again.screen("chat");
    const third = await scene.another();
    await third.goto(scene.bridge.base);
    return third;
  }),
  elsewhere: screen("elsewhere", async (scene) => {
    await chatting(scene);
    const second = await scene.another();
    await second.goto(scene.bridge.base);
    return second;
  }),
  lost: screen("lost", async (scene) => {
    await chatting(scene);
    await scene.tab.evaluate(LOSE_KEYS);
    await scene.tab.reload();
  }),
  storage: screen("storage", async ({ tab, bridge, newToken }) => {
    await tab.early(`for (const name of ["open", "databases"]) IDBFactory.prototype[name] = () => { throw new DOMException("no", "SecurityError"); };`);
    await tab.goto(`${bridge.base}#${newToken()}`);
  }),
  "too-old": screen("too-old", async ({ tab, bridge, newToken }) => {
    await tab.early(`delete Navigator.prototype.locks;`);
    await tab.goto(`${bridge.base}#${newToken()}`);
  }),
  "not-secure": screen("not-secure", async ({ tab, bridge, newToken }) => {
    await tab.early(`Object.defineProperty(window, "isSecureContext", { value: false });`);
    await tab.goto(`${bridge.base}#${newToken()}`);
  }),
  "page-older": screen("page-older", (scene) => said(scene, "older")),
  "page-newer": screen("page-newer", (scene) => said(scene, "newer")),
  erased: screen("erased", async (scene) => {
    await chatting(scene);
    await confirmEnd(scene.tab);
  }),
  "not-erased": screen("not-erased", async (scene) => {
    // A browser that doesn't let go of a row.
    await scene.tab.early(`const letGo = IDBObjectStore.prototype.delete; IDBObjectStore.prototype.delete = function (key) { return this.name === "chats" ? this.get(key) : letGo.call(this, key); };`);
    await chatting(scene);
    await confirmEnd(scene.tab);
  }),

  // In the chat
  connecting: banner("connecting", async (scene) => {
    await chatting(scene);
    scene.bridge.state.silent = true;
    await scene.tab.reload();
  }),
  opening: banner("opening", (scene) => chatting(scene, (portal) => (portal.isOpening = true))),
  invited: banner("invited", (scene) => chatting(scene, (portal) => (portal.hostJoined = false))),
  "ends-soon": banner("ends-soon", async (scene) => {
    const portal = await talk(scene, (portal) => (portal.idle = 23 * 3_600_000));
    portal.put({ type: "deadline", deadline: portal.deadline() });
  }),
  "no-devices": banner("no-devices", async (scene) => {
    await chatting(scene, (portal) => portal.without());
    await say(scene.tab, "Hello?");
  }),
  "without-network": banner("offline", async (scene) => {
    await talk(scene);
    scene.bridge.state.unreachable = true;
    await scene.tab.send("Network.enable");
    await scene.tab.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }),
  reconnecting: banner("reconnecting", async (scene) => {
    const portal = await talk(scene);
    scene.bridge.state.unreachable = true;
    portal.line.close();
    await scene.tab.until(`document.querySelector("[data-banner=reconnecting]")`);
    await say(scene.tab, "See you then");
    await scene.tab.focus("#message");
    await scene.tab.type("And one more thing, while I'm writing:\nthe side door is the one that's open\non weekdays.");
  }),
  identity: banner("identity", async (scene) => {
    const portal = await talk(scene);
    portal.resets();
    await scene.tab.until(`document.querySelector("[data-banner=identity]")`);
    portal.say("I had to set up my phone anew.");
    await scene.tab.until(`document.querySelector("[data-says=undecryptable]")`);
    await say(scene.tab, "Is that really you?");
  }),
  chat: screen("chat", async (scene) => {
    const portal = await talk(scene);
    portal.of("read", { event_id: "$guest3" });
    portal.of("typing", { typing: true });
    await scene.tab.until(`document.querySelector("[data-state=read]") && document.querySelector(".typing:not([hidden])")`);
  }),
  // The README's.
  conversation: screen("chat", async (scene) => {
    const portal = await chatting(scene, (portal) => (portal.names.host = "Alice"));
    const { tab } = scene;
    await arrives(tab, "Hi Alice! I'm at the door, but nobody answers the bell.");
    portal.say("Oh no, the bell is broken. Which door are you at?");
    await hears(tab, 1);
    await arrives(tab, "The blue one, next to the bakery.");
    portal.say("Perfect. Come in and take the stairs to the left.");
    portal.say("Third floor, the coffee is ready ☕");
    await hears(tab, 3);
    await arrives(tab, "You're a star, see you in a minute!");
    portal.say("🎉");
    await hears(tab, 4);
    portal.of("read", { event_id: `$guest${portal.lastN}` });
    await tab.until(`document.querySelectorAll("[data-state=read]").length === 3`);
  }),
  links: screen("chat", async (scene) => {
    const portal = await talk(scene);
    for (const text of ["The form is at https://example.org/forms/2026 (page 2).", "👍", "Not the one at https://\u0430pple.com/login!", "\u0645\u0631\u062d\u0628\u0627 https://example.org/\u0645 \u0623\u0647\u0644\u0627", "Z\u0351\u036b\u0343\u036a\u0302\u036b".repeat(8)]) portal.say(text);
    await scene.tab.until(`document.querySelectorAll(".body a").length >= 3`);
  }),
  unread: screen("chat", async (scene) => {
    const portal = await talk(scene);
    await scene.tab.until(`[...document.querySelectorAll("[data-from=host]")].length > 1`);
    await scene.tab.evaluate(`document.hasFocus = () => false; dispatchEvent(new Event("blur"))`);
    for (let i = 1; i <= 14; i += 1) portal.say(`While you were away, number ${i}`);
    await scene.tab.until(`document.querySelector(".unread") && !document.querySelector(".count").hidden`);
  }),
  "near-limit": screen("chat", async (scene) => {
    await talk(scene);
    await scene.tab.focus("#message");
    await scene.tab.type("word ".repeat(790));
    await scene.tab.until(`document.querySelector("#message-help").textContent !== ""`);
  }),
  unsigned: screen("chat", async (scene) => {
    await chatting(scene, (portal) => portal.unsigned());
    await scene.tab.until(`document.querySelector("[data-readers=unsigned]")`);
    await scene.tab.click(MENU);
  }),
  trouble: screen("chat", (scene) => trouble(scene)),
  "message-menu": screen("chat", async (scene) => {
    await talk(scene);
    await scene.tab.evaluate(`document.querySelectorAll(".more")[1].click()`);
    await scene.tab.until(`document.querySelector(".choices:not([hidden])")`);
  }),
  removed: screen("chat", async (scene) => {
    await talk(scene);
    await scene.tab.evaluate(`document.querySelectorAll(".more")[1].click()`);
    await scene.tab.evaluate(`document.querySelector(".choices:not([hidden]) button:last-of-type").click()`);
    await scene.tab.until(`document.querySelector("[data-from=me][data-says=removed]")`);
  }),
  menu: screen("chat", async (scene) => {
    await talk(scene);
    await scene.tab.click(MENU);
    await scene.tab.until(`document.querySelector("#menu:not([hidden])")`);
  }),
  dialog: screen("chat", async (scene) => {
    await talk(scene);
    await scene.tab.click(MENU);
    await scene.tab.click(".panel .danger");
    await scene.tab.until(`document.querySelector("dialog[open]")`);
  }),

  // Its end
  leaving: screen("leaving", async (scene) => {
    const portal = await talk(scene);
    scene.bridge.state.unreachable = true;
    portal.line.close();
    await confirmEnd(scene.tab);
  }),
  "ended-empty": screen("ended", async (scene) => (await chatting(scene)).put({ type: "ended", reason: "expired" })),
  ...Object.fromEntries(["host", "guest", "expired", "failed", "third_party", "admin"].map((reason) => [`ended-${reason}`, ended(reason)])),
  unknown: halted("unknown", "error unknown_chat"),
  damaged: halted("damaged", "error damaged"),
  "set-back": halted("set_back", "ahead"),
  "out-of-step": halted("out_of_step", "behind"),
};

/** What opens the menu of the chat. */
export const MENU = ".head .icon-button[aria-controls=menu]";

/** Plays a scene in a tab of its own; gives the tab to look at. */
export async function play(name, { browser, bridge, newToken }, options = {}) {
  const { screen: wanted, play: act } = SCENES[name];
  Object.assign(bridge.state, { unreachable: false, silent: false, organisation: null, protocols: [], late: Promise.resolve() });
  const tab = await browser.tab(options);
  const opened = [tab];
  const another = async () => {
    opened.push(await browser.tab({ ...options, context: tab.context }));
    return opened.at(-1);
  };
  const given = await act({ tab, bridge, newToken, another });
  const shown = opened.includes(given) ? given : tab;
  await shown.screen(wanted);
  return { tab: shown, close: () => Promise.all(opened.map((each) => each.close())) };
}

function screen(name, act) {
  return { screen: name, play: act };
}

function broken(name, last) {
  return screen(name, ({ tab, bridge, newToken }) => tab.goto(`${bridge.base}#${newToken(String(last))}`));
}

function banner(name, act) {
  const play = async (scene) => {
    await act(scene);
    await scene.tab.until(`document.querySelector("[data-banner=${name}]")`);
  };
  return { ...screen("chat", play), banner: name };
}

function ended(reason) {
  return { ...screen("ended", async (scene) => (await talk(scene)).put({ type: "ended", reason })), ending: reason };
}

function halted(why, word) {
  return { ...screen(why.replaceAll("_", "-"), (scene) => said(scene, word)), ending: why };
}

async function said(scene, word) {
  await talk(scene);
  await say(scene.tab, word);
}

async function landing({ tab, bridge, newToken }, last = "0", prepare = () => undefined) {
  const token = newToken(last);
  const portal = bridge.portalOf(token);
  portal.answers = false;
  prepare(portal);
  await tab.goto(`${bridge.base}#${token}`);
  await tab.screen("landing");
  return portal;
}

async function begin(tab, passcode = null, name = "Maya") {
  await tab.focus("#name");
  await tab.type(name);
  if (passcode !== null) {
    await tab.focus("#passcode");
    await tab.type(passcode);
  }
  await tab.click("[type=submit]");
}

export async function chatting(scene, prepare = () => undefined) {
  const portal = await landing(scene, "0", prepare);
  await begin(scene.tab);
  await scene.tab.screen("chat");
  return portal;
}

export async function say(tab, text) {
  const before = await tab.evaluate(`document.querySelectorAll("[data-from=me]").length`);
  await tab.focus("#message");
  await tab.type(text);
  await tab.click(".send");
  await tab.until(`document.querySelectorAll("[data-from=me]").length > ${before}`);
}

export async function arrives(tab, text) {
  await say(tab, text);
  await tab.until(`[...document.querySelectorAll("[data-from=me]")].at(-1)?.dataset.state === "delivered"`);
}

async function hears(tab, count) {
  await tab.until(`document.querySelectorAll("[data-from=host]").length === ${count}`);
}

/** As two people talk. */
async function talk(scene, prepare = () => undefined) {
  const portal = await chatting(scene, prepare);
  const { tab } = scene;
  await arrives(tab, "Hi Alice, this is Maya from the front desk.");
  await arrives(tab, "Your parcel came today. Should I keep it here?");
  portal.say("Hello Maya! Yes please, that would be wonderful 🙏");
  portal.say("I'm back on Thursday, probably around ten. Is somebody there to hand it over?");
  await hears(tab, 2);
  await arrives(tab, "Sure. I'm in from 8 until 4.");
  portal.event({ type: "m.room.message", content: {}, unencrypted: true });
  portal.say("Great:\n– Thursday, 10:00\n– room 4.12\nhttps://example.org/a/very/long/path/that/has/to/break/somewhere/0123456789012345678901234567890123456789");
  await hears(tab, 4);
  return portal;
}

async function trouble(scene) {
  const portal = await chatting(scene);
  const { tab } = scene;
  const count = (selector, wanted) => tab.until(`document.querySelectorAll("${selector}").length === ${wanted}`);
  await arrives(tab, "This one arrives.");
  for (const [code, text] of [["too_large", "A message that is refused, although it looks harmless enough to go."], ["bad_request", "No"]]) {
    portal.refuses = code;
    await say(tab, text);
    await count("[data-state=failed]", code === "too_large" ? 1 : 2);
  }
  const put = portal.put.bind(portal);
  portal.put = (frame) => frame.type === "to_device" || put(frame);
  portal.say("never read");
  const { content } = portal.host.writes("never read either");
  put({ type: "event", deadline: Date.now(), event: { type: "m.room.encrypted", event_id: "$old", sender: "@alice:example.org", origin_server_ts: Date.now() - 300_000, content } });
  portal.put = put;
  await count("[data-says=undecryptable]", 2);
}

async function confirmEnd(tab) {
  await tab.click(MENU);
  await tab.click(".panel .danger");
  await tab.click("dialog .danger");
}

/** The rows of the machine are gone, and the chat's own are there, as after a cleaning by half. */
const LOSE_KEYS = `(async () => {
  const [{ name }] = await indexedDB.databases();
  const db = await new Promise((resolve) => { indexedDB.open(name).onsuccess = (event) => resolve(event.target.result); });
  const transaction = db.transaction("records", "readwrite");
  transaction.objectStore("records").clear();
  await new Promise((resolve) => { transaction.oncomplete = resolve; });
  db.close();
})()`;

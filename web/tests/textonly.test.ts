import assert from "node:assert/strict";
import { test } from "node:test";
import { UNSUPPORTED } from "../src/domain/machine.ts";
import type { Ring } from "../src/domain/machine.ts";
import { splitReply, shorten } from "../src/domain/reply.ts";
import { catalogue as english } from "../src/text/en.ts";
import { numbersFor } from "../src/text/numbers.ts";
import { settle } from "./support/clock.ts";
import { FakeMachine } from "./support/machine.ts";
import { Browser } from "./support/world.ts";
import type { Tab } from "./support/world.ts";

const MINUTE = 60_000;

const { counted } = numbersFor("en");

/** The host has sent this much under other ids before. */
let events = 0;

async function sends(tab: Tab, item: object, extra: object = {}): Promise<string> {
  const { bridge } = tab.browser;
  events += 1;
  const id = `$event${events}`;
  bridge.put(bridge.event(id, `k1:${JSON.stringify(item)}`, extra));
  await settle();
  return id;
}

const named = (what: string, ring?: Ring): object => ({ kind: "unsupported", what, ...(ring === undefined ? {} : { ring }) });

async function chatting(): Promise<Tab> {
  const tab = await new Browser().chatting();
  tab.browser.bridge.put(tab.browser.bridge.key("k1"));
  await settle();
  return tab;
}

test("what is no text is named, and the host is told once for a burst", async () => {
  const tab = await chatting();
  const { bridge, clock } = tab.browser;
  for (let i = 0; i < 3; i += 1) await sends(tab, named("image"));
  await sends(tab, named("voice"));
  assert.deepEqual(tab.reads(), ["<unsupported>", "<unsupported>", "<unsupported>", "<unsupported>"]);
  assert.deepEqual(bridge.texts(), ["(notice Maya (Guest) missed image)"]);
  await clock.advance(9 * MINUTE);
  await sends(tab, named("file"));
  assert.equal(bridge.texts().length, 1);
  await clock.advance(2 * MINUTE);
  await sends(tab, named("file"));
  assert.deepEqual(bridge.texts().slice(1), ["(notice Maya (Guest) missed file)"]);
});

test("a notice that waits names several things as such, and is one all the same", async () => {
  const tab = await chatting();
  const { bridge, clock } = tab.browser;
  FakeMachine.hostDevices = 0;
  await sends(tab, named("image"));
  await sends(tab, named("image"));
  await sends(tab, named("poll"));
  await clock.advance(11 * MINUTE);
  await sends(tab, named("file"));
  assert.deepEqual(bridge.texts(), []);
  FakeMachine.hostDevices = 1;
  bridge.say({ type: "keys_changed" });
  await settle();
  assert.deepEqual(bridge.texts(), ["(notice Maya (Guest) missed several)"]);
});

test("a notice is no message of the guest: it is not shown, and not told twice over reloads and repetitions", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  bridge.deaf = (frame) => frame.type === "send" || frame.type === "ack";
  await sends(tab, named("image"));
  assert.equal(tab.mine().length, 0);
  await tab.reload();
  bridge.deaf = () => false;
  bridge.drop();
  await tab.browser.clock.advance(2_000);
  assert.deepEqual(bridge.texts(), ["(notice Maya (Guest) missed image)"]);
  bridge.put({ type: "delivered", n: bridge.lastN, event_id: "$notice" });
  await settle();
  // The bridge's store was restored from a backup: it tells all of it again.
  bridge.storeId = "second";
  bridge.seq = 0;
  bridge.inbox = [];
  bridge.put(bridge.key("k1"));
  bridge.put(bridge.event(`$event${events}`, `k1:${JSON.stringify(named("image"))}`));
  await tab.browser.clock.advance(20 * MINUTE);
  bridge.drop();
  await tab.browser.clock.advance(2_000);
  assert.deepEqual(tab.reads(), ["<unsupported>"]);
  assert.equal(bridge.texts().length, 1);
  assert.equal(tab.browser.machines.ledger.size, 1, "encrypted once");
});

test("a changed identity holds a notice back like any message, and the end drops it", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  FakeMachine.hostIdentity = "changed";
  bridge.say({ type: "keys_changed" });
  await sends(tab, named("video"));
  assert.deepEqual(bridge.texts(), []);
  assert.equal(tab.chat.view.get().blocked, "identity_changed");
  bridge.end("host");
  await settle();
  assert.deepEqual(tab.reads(), ["<unsupported>"]);
  assert.equal([...tab.browser.shelf.only().entries.values()].some((entry) => entry.kind === "mine"), false);
});

test("a notice that is refused is forgotten, and the chat goes on", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  await tab.say("first");
  bridge.refuseNext = { code: "bad_request" };
  await sends(tab, named("file"));
  await tab.say("second");
  assert.deepEqual(bridge.texts(), ["first", "second"]);
  assert.deepEqual(tab.reads(), ["first/sent", "<unsupported>", "second/sent"]);
});

test("of what came without encryption the bridge tells the host, not the guest", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  bridge.put(bridge.event("$plain", "", { type: "m.room.message", content: {}, unencrypted: true }));
  await settle();
  assert.deepEqual(tab.reads(), ["<unsupported>"]);
  assert.deepEqual(bridge.texts(), []);
});

test("parts of what was named get no line, and a late key takes their placeholder away", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  await sends(tab, named("part"));
  assert.deepEqual(tab.reads(), []);
  bridge.put(bridge.event("$late", `k2:${JSON.stringify(named("part"))}`));
  await settle();
  assert.deepEqual(tab.reads(), ["<undecryptable>"]);
  const gone: number[] = [];
  tab.chat.gone.subscribe((places) => gone.push(...places));
  bridge.put(bridge.key("k2"));
  await settle();
  assert.deepEqual(tab.reads(), []);
  assert.equal(gone.length, 1);
  await tab.reload();
  assert.deepEqual(tab.reads(), []);
  assert.deepEqual(bridge.texts(), []);
});

test("a call is turned down once, while it rings", async () => {
  const tab = await chatting();
  const { bridge, clock } = tab.browser;
  const ring = (call_id: string, until = clock.now() + MINUTE): Ring => ({ call_id, hangup: false, until });
  await sends(tab, named("call", ring("c1")));
  await sends(tab, named("call", ring("c1")));
  assert.deepEqual(bridge.texts(), ["(reject c1 false)", "(notice Maya (Guest) missed call)"]);
  await sends(tab, named("call", { ...ring("c2"), hangup: true }));
  await sends(tab, named("call", ring("c3", clock.now() - 1)));
  const rtc = await sends(tab, named("call", { hangup: false, until: clock.now() + MINUTE }));
  assert.deepEqual(bridge.texts().slice(2), ["(reject c2 true)", `(decline ${rtc})`]);
  await tab.reload();
  await sends(tab, named("call", ring("c2")));
  assert.equal(bridge.texts().length, 4);
});

test("a reply keeps what it answers: from the history if it is there, else in its author's words", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  await tab.say("Thursday?");
  bridge.put({ type: "delivered", n: bridge.lastN, event_id: "$mine" });
  await sends(tab, { body: "> <@g:example.org> Thursday?\n\nYes", reply_to: "$mine" });
  await sends(tab, { body: "> <@g:example.org> from before\n> two lines\n\nAnd that", reply_to: "$unknown" });
  await sends(tab, { body: "new clients quote nothing", reply_to: "$mine" });
  assert.deepEqual(tab.reads(), ["Thursday?/delivered", "Yes", "And that", "new clients quote nothing"]);
  const says = tab.history().flatMap((entry) => (entry.kind === "theirs" && entry.says.kind === "text" ? [entry.says] : []));
  assert.deepEqual(says.map(({ replyTo, quote }) => [replyTo, quote]), [
    ["$mine", undefined],
    ["$unknown", "from before\ntwo lines"],
    ["$mine", undefined],
  ]);
  const answered = tab.chat.answered("$mine");
  assert.ok(answered?.kind === "mine" && answered.body === "Thursday?");
  assert.equal(tab.chat.answered("$unknown"), null);
});

test("what quotes a removed message loses the words too", async () => {
  const tab = await chatting();
  const { bridge } = tab.browser;
  await sends(tab, { body: "> <@g:example.org> the secret\n\nAnd that", reply_to: "$gone" });
  bridge.put(bridge.event("$r", "", { type: "m.room.redaction", content: {}, redacts: "$gone" }));
  await settle();
  assert.deepEqual(tab.reads(), ["And that"]);
  assert.doesNotMatch(JSON.stringify([...tab.browser.shelf.only().entries]), /the secret/);
});

test("what was taken back before it came leaves no line", async () => {
  const tab = await chatting();
  await sends(tab, { kind: "redaction", redacts: `$event${events + 1}` });
  await sends(tab, { body: "hello" });
  assert.deepEqual(tab.reads(), ["hello"]);
  assert.equal(tab.browser.bridge.acked, 3);
});

test("a quotation is only taken out where clients put one", () => {
  const table: [string, string | null, string][] = [
    ["> <@a:b> hi\n\nyes", "hi", "yes"],
    ["> * <@a:b> waves\n\nhello", "waves", "hello"],
    ["> <@a:b> one\n> two\n>\n> four\n\nyes\n\n> mine", "one\ntwo\n\nfour", "yes\n\n> mine"],
    ["> <@a:b> hi\nno empty line", "hi", "no empty line"],
    ["> a saying\n\nthat I like", null, "> a saying\n\nthat I like"],
    ["> <@a:b> nothing under it", null, "> <@a:b> nothing under it"],
    ["> <@a:b> nothing under it\n\n", null, "> <@a:b> nothing under it\n\n"],
    ["plain\n> <@a:b> x\n\ny", null, "plain\n> <@a:b> x\n\ny"],
    ["", null, ""],
  ];
  for (const [body, quote, text] of table) assert.deepEqual(splitReply(body), { quote, text }, body);
  assert.equal(shorten("🙂".repeat(160)), "🙂".repeat(160));
  assert.equal(shorten("🙂".repeat(161)), `${"🙂".repeat(159)}…`);
});

test("every kind has its words, for the guest and for the host", () => {
  const lines = new Set<string>();
  for (const what of UNSUPPORTED) {
    const [one, many] = [english.chat.unsupported("Alice", what, counted(1)), english.chat.unsupported("Alice", what, counted(12))];
    assert.match(one, /^Alice (?!.*#)[^.]+\. [A-Z][^.]+\.$/, what);
    assert.match(many, /^Alice (?!.*#).*12.*\. [A-Z][^.]+\.$/, what);
    lines.add(one);
    const notice = english.notice(what, "Maya (Guest)");
    assert.match(notice, /^Guest chats .*Maya \(Guest\) .*\.$/, what);
  }
  assert.equal(lines.size, UNSUPPORTED.length);
  assert.equal(english.chat.unsupported("Alice", "image", counted(1)), "Alice sent a photo. Guest chats carry text only.");
  assert.equal(english.notice("image", "Maya (Guest)"), "Guest chats carry text only, so Maya (Guest) could not see your photo.");
  assert.equal(english.notice(null, "Maya (Guest)"), "Guest chats carry text only, so Maya (Guest) could not see all of what you sent.");
});

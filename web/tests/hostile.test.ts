import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange } from "../src/domain/arrange.ts";
import { isOnlyEmoji } from "../src/domain/emoji.ts";
import { splitReply, shorten } from "../src/domain/reply.ts";
import { cleanName, lengthOf, room, shownName, tidy } from "../src/domain/text.ts";
import { datesFor } from "../src/text/dates.ts";
import { catalogue as english } from "../src/text/en.ts";
import { numbersFor } from "../src/text/numbers.ts";
import { inTheirWords, readOrganisation } from "../src/text/organisation.ts";
import { OVERRIDABLE } from "../src/text/overridable.ts";
import { parseJoinAnswer, parseServerFrame } from "../src/protocol.ts";
import { transcript } from "../src/ui/transcript.ts";
import { settle } from "./support/clock.ts";
import { HOSTILE } from "./support/hostile.ts";
import { Browser } from "./support/world.ts";

const context = { words: english, dates: datesFor(english, "en"), numbers: numbersFor("en") };

test("the table is as long as it is to be, and no text stands in it twice", () => {
  assert.ok(HOSTILE.length >= 300, String(HOSTILE.length));
  assert.equal(new Set(HOSTILE.map(({ text }) => text)).size, HOSTILE.length);
});

test("as a message of either side it is stored and shown as it was written", async () => {
  const tab = await new Browser().chatting();
  const { bridge } = tab.browser;
  bridge.put(bridge.key("k1"));
  await settle();
  const expected: string[] = [];
  for (const [index, { text }] of HOSTILE.entries()) {
    const body = tidy(text);
    const isSaid = await tab.chat.say(text);
    assert.equal(isSaid, body !== "" && room(body) >= 0);
    if (isSaid) expected.push(body);
    const item = { kind: "text", msgtype: index % 3 === 0 ? "m.emote" : "m.text", body: text, ...(index % 5 === 0 ? { reply_to: "$unknown" } : {}) };
    bridge.put(bridge.event(`$${index}`, `k1:${JSON.stringify(item)}`));
  }
  await settle();
  assert.deepEqual(tab.mine().map(({ body }) => body), expected);
  const theirs = tab.history().flatMap((entry) => (entry.kind === "theirs" ? [entry] : []));
  assert.equal(theirs.length, HOSTILE.length);
  for (const [index, { says }] of theirs.entries()) {
    const text = HOSTILE[index]?.text ?? "";
    assert.equal(says.kind, "text");
    if (says.kind === "text") assert.equal(says.body, index % 5 === 0 ? splitReply(text).text : text);
  }
  assert.equal(arrange(tab.history(), null, context.dates.dayKey).filter(({ kind }) => kind === "entry").length, tab.history().length);
  await tab.reload();
  assert.deepEqual(tab.mine().map(({ body }) => body), expected);
  assert.equal(({} as Record<string, unknown>)["owned"], undefined);
});

test("as a draft it is there after a reload", async () => {
  const tab = await new Browser().chatting();
  for (const { text } of HOSTILE.slice(0, 60)) {
    tab.chat.keepDraft(text);
    await tab.browser.clock.advance(1_000);
    assert.equal(tab.browser.shelf.only().chat.stage === "joined" && tab.chat.view.get().chat.draft, text.slice(0, 16_000));
  }
});

test("as a name it is one line that can't turn, hide or tower over the words around it", () => {
  for (const { text } of HOSTILE) {
    const name = shownName(text, "@alice:example.org");
    assert.ok(name !== "" && lengthOf(name) <= 64, JSON.stringify(name));
    assert.doesNotMatch(name, /[\n\r\t\v\f\u0085\u2028\u2029\u202A-\u202E\u2066-\u2069\u200B\u200E\u200F\uFEFF\0]|\p{M}{5}|\p{Cs}/u);
    assert.equal(shownName(name, "?"), name, "what is clean stays so");
    const answer = parseJoinAnswer(JSON.stringify({ portal: "p", name: `${[...text].slice(0, 40).join("")} (Guest)`, host: { user_id: text, display_name: text } }));
    assert.match(answer.name, /\(Guest\)$/, "the label stays");
    assert.ok(lengthOf(answer.host.displayName) <= 64);
    const typed = cleanName(text);
    assert.ok(typed === null || (lengthOf(typed) <= 40 && !typed.includes("\n")));
  }
});

test("as an organisation's text it stays out or is text, and no address but the web's is taken", () => {
  for (const { text } of HOSTILE) {
    const texts = Object.fromEntries(Object.entries(OVERRIDABLE).map(([key, names]) => [key, text + names.map((name) => `{${name}}`).join("")]));
    const read = readOrganisation(JSON.stringify({ name: text, terms_url: text, texts: { en: texts, [text]: texts } }));
    assert.ok(read.termsUrl === null || /^https?:\/\//.test(read.termsUrl));
    assert.ok(read.name === null || lengthOf(read.name) <= 80);
    const words = inTheirWords(english, read);
    assert.equal(typeof words.join.start, "string");
    assert.equal(words.chat.readers.pair("Alice"), english.chat.readers.pair("Alice"));
    assert.equal(words.problems["no-link"].title.length > 0, true);
  }
  assert.equal(({} as Record<string, unknown>)["owned"], undefined);
});

test("as a frame of the bridge it is read or refused, and nothing else", () => {
  for (const { text } of HOSTILE) {
    for (const frame of [text, JSON.stringify({ type: text }), JSON.stringify({ type: "read", event_id: text }), JSON.stringify({ type: "error", code: text, [text]: text })]) {
      try {
        assert.equal(typeof parseServerFrame(frame).type, "string");
      } catch (error) {
        assert.equal((error as Error).name, "ShapeError");
      }
    }
  }
});

test("nothing but emoji is shown big, and no text takes long to look at", () => {
  for (const { text } of HOSTILE) {
    assert.ok(lengthOf(shorten(text)) <= 160);
    if (isOnlyEmoji(text)) assert.match(text, /^[\p{Emoji}\p{RI}\u200D\uFE0F\u20E3\u{E0020}-\u{E007F}\s]+$/u);
  }
});

test("in the transcript it can't look like another message", async () => {
  const tab = await new Browser().chatting();
  const { bridge, clock } = tab.browser;
  bridge.put(bridge.key("k1"));
  for (const [index, { text }] of HOSTILE.entries()) {
    bridge.put(bridge.event(`$${index}`, `k1:${JSON.stringify({ kind: "text", msgtype: "m.text", body: text })}`));
    await tab.chat.say(text);
  }
  await settle();
  for (const name of ["Alice", "x\n2026-01-01 00:00  <- Alice: y", "\u202eAlice"]) {
    const { chat } = tab.chat.view.get();
    const file = transcript(context, { ...chat, host: { userId: name, displayName: name }, name }, tab.history(), clock.now());
    const [head = "", body = ""] = file.split(/\n\n/, 2);
    assert.equal(head.split("\n").length, 5);
    assert.ok(body.length > 0);
    const lines = file.slice(head.length + 2).split("\n");
    const begun = lines.filter((line) => /^\d{4}-\d\d-\d\d \d\d:\d\d {2}(->|<-|--) /.test(line));
    assert.equal(begun.length, tab.history().length, "as many as there are messages");
    for (const line of lines) assert.ok(line === "" || begun.includes(line) || line.startsWith("    "), JSON.stringify(line));
    assert.doesNotMatch(file, /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200b\ufeff]|\p{Cs}/u);
  }
});

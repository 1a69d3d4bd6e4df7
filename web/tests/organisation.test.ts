import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { catalogue as english } from "../src/text/en.ts";
import { NOBODY, inTheirWords, readOrganisation } from "../src/text/organisation.ts";
import { OVERRIDABLE } from "../src/text/overridable.ts";

declare const REPOSITORY: string;

const file = join(REPOSITORY, "web/src/text/overridable.json");

/** The text of a key, with its placeholders in it. */
function template(words: typeof english, key: string, parameters: readonly string[]): string {
  let leaf: unknown = words;
  for (const part of key.split(".")) leaf = (leaf as Record<string, unknown>)[part];
  if (typeof leaf === "string") {
    assert.equal(parameters.length, 0, `${key} has no placeholders`);
    return leaf;
  }
  assert.equal(typeof leaf, "function", `there is no text ${key}`);
  return (leaf as (...values: string[]) => string)(...parameters.map((name) => `{${name}}`));
}

const all = (words: typeof english): Record<string, string> =>
  Object.fromEntries(Object.entries(OVERRIDABLE).map(([key, parameters]) => [key, template(words, key, parameters)]));

const texts = all(english);

test("overridable.json has the English text of each key that an organisation may word", () => {
  const wanted = `${JSON.stringify(texts, null, 2)}\n`;
  // `UPDATE=1 npm test organisation` writes it anew.
  if (process.env["UPDATE"] !== undefined) writeFileSync(file, wanted);
  assert.equal(readFileSync(file, "utf8"), wanted);
});

test("each text that may be worded speaks of just what its key says", () => {
  for (const [key, parameters] of Object.entries(OVERRIDABLE)) {
    const found = [...(texts[key] ?? "").matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    assert.deepEqual([...new Set(found)].sort(), [...parameters].sort(), key);
  }
});

test("what is about safety can't be worded by anybody else", () => {
  for (const key of Object.keys(OVERRIDABLE)) {
    assert.doesNotMatch(key, /promise|readers|safety|identity|third_party|erased|lost|not-secure|unencrypted|^end\./, key);
  }
});

function theirs(texts: unknown, language = "en"): typeof english {
  return inTheirWords(english, readOrganisation(JSON.stringify({ name: null, terms_url: null, texts: { [language]: texts } })));
}

test("an organisation's own texts stand where the page's stood", () => {
  const words = theirs({ "join.start": "Begin", "join.invites": "{host} of the library writes to you, {host}!", "endings.host.text": "Bye from {host}." });
  assert.equal(words.join.start, "Begin");
  assert.equal(words.join.invites("Alice"), "Alice of the library writes to you, Alice!");
  assert.equal(words.endings.host.text("Alice"), "Bye from Alice.");
  assert.equal(words.endings.host.title, english.endings.host.title);
  assert.equal(english.join.start, "Start chat", "the page's own are not touched");
});

test("a name in the place of a placeholder is never read as one", () => {
  const words = theirs({ "join.invites": "{host} invites" });
  assert.equal(words.join.invites("{host} $& $1 {time}"), "{host} $& $1 {time} invites");
});

test("texts of another language, for other keys, or of another shape change nothing", () => {
  assert.equal(theirs({ "join.start": "Los" }, "de").join.start, english.join.start);
  for (const unfit of [
    { "join.promise": "Everybody can read it, {host}." },
    { "join.start": "" },
    { "join.start": " " },
    { "join.start": 7 },
    { "join.start": null },
    { "join.start": ["a"] },
    { "join.start": "x".repeat(601) },
    { "join.start": "one\ntwo" },
    { "join.start": "turned \u202Earound" },
    { "join.start": "for {host}" },
    { "join.invites": "nobody invites" },
    { "join.invites": "{host} and {constructor}" },
    { "__proto__": { "join.start": "owned" } },
    { constructor: "x", toString: "y", "join.__proto__": "z" },
    null,
    "text",
    [1],
  ]) {
    const words = theirs(unfit);
    assert.deepEqual(all(words), texts);
    assert.equal(words.join.promise("A"), english.join.promise("A"));
  }
  assert.equal(({} as { owned?: unknown }).owned, undefined);
});

test("what an organisation says of itself is read with care", () => {
  const read = (name: unknown, terms_url: unknown): unknown => {
    const { name: shown, termsUrl } = readOrganisation(JSON.stringify({ name, terms_url, texts: {} }));
    return [shown, termsUrl];
  };
  assert.deepEqual(read(" City Library ", "https://library.example/terms"), ["City Library", "https://library.example/terms"]);
  assert.deepEqual(read("<b>x</b>", "http://library.example/"), ["<b>x</b>", "http://library.example/"]);
  for (const url of ["javascript:alert(1)", " JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://x/y", "file:///x", "//x", "/terms", "", 7, null, {}]) {
    assert.deepEqual(read(null, url), [null, null]);
  }
  for (const name of ["", "  ", "x".repeat(81), "a\u202Eb", "a\u0000b", "a\nb", 7, null, {}, []]) assert.deepEqual(read(name, null), [null, null]);
});

test("an answer that can't be read says nothing", () => {
  for (const json of ["", "<!doctype html>", "null", "[]", "7", "\"x\"", "{", "{}", '{"texts":7,"name":{},"terms_url":[]}']) {
    const organisation = readOrganisation(json);
    assert.deepEqual([organisation.name, organisation.termsUrl], [null, null]);
    assert.equal(inTheirWords(english, organisation), english);
  }
  assert.equal(inTheirWords(english, NOBODY), english);
});

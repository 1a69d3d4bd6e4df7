import assert from "node:assert/strict";
import { test } from "node:test";
import { findLinks } from "../src/domain/links.ts";
import type { Link } from "../src/domain/links.ts";
import { HOSTILE, seeded } from "./support/hostile.ts";

const linksOf = (text: string): readonly Link[] => findLinks(text).filter((piece): piece is Link => typeof piece !== "string");

function holds(text: string): void {
  const pieces = findLinks(text);
  assert.equal(pieces.map((piece) => (typeof piece === "string" ? piece : piece.text)).join(""), text, "the text is unchanged");
  for (const { text: written, href, host } of linksOf(text)) {
    assert.match(href, /^https?:\/\//);
    const url = new URL(href);
    assert.equal(url.href, href);
    assert.equal(url.username + url.password, "", "nothing stands before an @");
    assert.doesNotMatch(written, /[\s<>"\\\p{C}]/u);
    // What one reads is what opens, or what opens is said beside it.
    const read = (/^(?:https?:\/\/)?([^/?#]*)/i.exec(written)?.[1] ?? "").replace(/:\d*$/, "").toLowerCase();
    assert.ok(host === url.hostname || read === url.hostname || url.hostname.includes("xn--"), `${JSON.stringify(written)} opens ${url.hostname}`);
    assert.ok(host === null || /^[\x21-\x7e]+$/.test(host));
  }
}

const FOUND: readonly (readonly [string, string | null])[] = [
  ["see https://example.org.", "https://example.org"],
  ["(https://en.example.org/wiki/A_(b))", "https://en.example.org/wiki/A_(b)"],
  ["https://example.org/a), so", "https://example.org/a"],
  ["“https://example.org”", "https://example.org"],
  ["HTTPS://EXAMPLE.ORG/X!", "HTTPS://EXAMPLE.ORG/X"],
  ["www.example.org, too", "www.example.org"],
  ["见https://example.org。好", "https://example.org"],
  ["http://localhost:8000/?a=1&b[]=2", "http://localhost:8000/?a=1&b[]=2"],
  ["https://example.org/@name", "https://example.org/@name"],
  ["mail www.a@example.org", null],
  ["javascript:alert(1)", null],
  ["data:text/html,x", null],
  ["ftp://example.org", null],
  ["example.org", null],
  ["https://", null],
  ["https:///example.org", null],
  ["https://good.example@bad.example", null],
  ["https://@bad.example", null],
  ["https://good.example\\@bad.example", null],
  ["https://good.example\u200b.bad.example", null],
  ["git+https://example.org", null],
];
for (const [text, found] of FOUND) {
  test(`${JSON.stringify(text)} has ${found === null ? "no link" : JSON.stringify(found)}`, () => {
    assert.deepEqual(linksOf(text).map((link) => link.text), found === null ? [] : [found]);
    holds(text);
  });
}

const HOSTS: readonly (readonly [string, string | null])[] = [
  ["https://example.org", null],
  ["https://müller.example", null],
  ["https://日本.jp", null],
  ["https://пример.рф", null],
  ["https://xn--pple-43d.com", null],
  ["https://\u0430pple.com", "xn--pple-43d.com"],
  ["https://\u0430\u0440\u0440\u04cf\u0435.com", "xn--80ak6aa92e.com"],
  ["https://b\u0131tcoin.example", "xn--btcoin-q4a.example"],
  ["https://paypa\uff4c.com", "paypal.com"],
  ["https://PayPaI.com", "paypai.com"],
  ["http://0x7f.1", "127.0.0.1"],
  ["https://example.org\u2044x.bad.example", "example.xn--orgx-0t0a.bad.example"],
  ["https://\u05d0\u05d1.example/\u05d2", "xn--4dbc.example"],
];
for (const [text, host] of HOSTS) {
  test(`beside ${JSON.stringify(text)} stands ${host ?? "nothing"}`, () => {
    const expected = host === null ? null : new URL(text).hostname;
    assert.deepEqual(linksOf(text).map((link) => link.host), [expected]);
    if (host !== null) assert.match(expected ?? "", /^[\x21-\x7e]+$/);
  });
}

test("no hostile text is changed, none makes a link to anything but the web", () => {
  for (const { text } of HOSTILE) holds(text);
});

test("random texts are unchanged, and only the web is linked", () => {
  const random = seeded(20_260_101);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const parts = [
    ..."abcXYZI019 .,:;!?'\"()[]{}<>/\\@#%&=+-_~*|^`\n\t", "https://", "http://", "HTTP://", "www.", "javascript:", "data:", "://", "example.org", ".com", "xn--", "%40", "%00", "\u0430", "é", "日", "א",
    "ー", "\u200b", "\u202e", "\u2028", "\u00ad", "\ud800", "\udc00", "\ud83d\ude00", "\0", "。", "」", "\uff0f", "\u2044", "user:pw@", ":8080", "?q=", "https://example.org/(", "٣", "ß", "\u0301", "1", "0x7f",
  ];
  for (let round = 0; round < 20_000; round += 1) {
    let text = "";
    for (let length = Math.floor(random() * 14); length >= 0; length -= 1) text += random() < 0.1 ? String.fromCharCode(Math.floor(random() * 65_536)) : pick(parts);
    holds(text);
  }
});

test("long texts take no longer than they are", () => {
  const begin = performance.now();
  for (const text of ["https://a/" + ")".repeat(60_000), "(".repeat(60_000), "https://".repeat(8_000), "www.".repeat(16_000), `https://${"a.".repeat(30_000)}`, "a@".repeat(30_000), "\u200b".repeat(60_000), "https://a.b ".repeat(5_000)]) holds(text);
  assert.ok(performance.now() - begin < 20_000, "not in the square of their length");
});

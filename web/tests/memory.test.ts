import assert from "node:assert/strict";
import { test } from "node:test";
import type { Memory } from "../src/domain/ports.ts";
import { memoryOf } from "../src/platform/capable.ts";

const APPLE = "Apple Computer, Inc.";
const KIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)";

const cases: readonly (readonly [what: string, userAgent: string, vendor: string, expected: Memory])[] = [
  ["Chrome", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", "Google Inc.", "well"],
  ["Chrome on Android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36", "Google Inc.", "well"],
  ["Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "", "well"],
  ["Safari", `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${KIT} Version/18.0 Safari/605.1.15`, APPLE, "week"],
  ["Safari on a phone", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} Version/18.0 Mobile/15E148 Safari/604.1`, APPLE, "week"],
  ["Chrome on iOS, whose engine is Apple's", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} CriOS/131.0.0.0 Mobile/15E148 Safari/604.1`, APPLE, "week"],
  ["some app's own window on iOS", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} Mobile/15E148`, APPLE, "app"],
  ["Android's WebView", "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36", "Google Inc.", "app"],
  ["Facebook", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} Mobile/15E148 [FBAN/FBIOS;FBAV/485.0;FBBV/1]`, APPLE, "app"],
  ["Instagram", `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} Mobile/15E148 Instagram 300.0.0`, APPLE, "app"],
];

for (const [what, userAgent, vendor, expected] of cases) {
  test(`how well it remembers: ${what}`, () => {
    assert.equal(memoryOf({ userAgent, vendor }, false), expected);
  });
}

test("a page on the home screen is not deleted after a week", () => {
  const userAgent = `Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) ${KIT} Mobile/15E148`;
  assert.equal(memoryOf({ userAgent, vendor: APPLE }, true), "well");
});

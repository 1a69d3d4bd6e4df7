import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

declare const REPOSITORY: string;

const css = readFileSync(join(REPOSITORY, "web/src/styles/base.css"), "utf8");

/** The colours of the first `:root` after `from`. */
function colours(from: string): ReadonlyMap<string, string> {
  const start = css.indexOf(":root", css.indexOf(from));
  const block = css.slice(start, css.indexOf("}", start));
  return new Map([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g)].map(([, name = "", value = ""]) => [name, value]));
}

const light = colours(":root");
const dark = new Map([...light, ...colours("prefers-color-scheme: dark")]);

/** Relative luminance (WCAG 2.2). */
function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Which text stands on what (WCAG 1.4.3: 4.5 to 1). */
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  text: ["ground", "surface", "raised", "theirs", "tint"],
  soft: ["ground", "surface", "raised", "theirs"],
  "accent-strong": ["ground", "surface", "tint"],
  "on-accent": ["accent", "accent-strong"],
  "mine-text": ["mine"],
  "mine-soft": ["mine"],
  danger: ["ground", "surface", "raised", "mine"],
  surface: ["danger"],
  "warn-text": ["warn"],
};

/** Edges and signs that one must see (1.4.11 and 2.4.13: 3 to 1). */
const SIGNS: Readonly<Record<string, readonly string[]>> = {
  soft: ["ground", "surface"],
  accent: ["ground", "surface", "raised", "tint", "mine", "theirs"],
  read: ["mine"],
};

for (const [theme, palette] of [["light", light], ["dark", dark]] as const) {
  for (const [least, pairs] of [[4.5, TEXTS], [3, SIGNS]] as const) {
    test(`${theme}: what must be told apart has a contrast of ${least}`, () => {
      for (const [front, backs] of Object.entries(pairs)) {
        for (const back of backs) {
          const ratio = contrast(palette.get(front) ?? "", palette.get(back) ?? "");
          assert.ok(ratio >= least, `${front} on ${back}: ${ratio.toFixed(2)}`);
        }
      }
    });
  }
}

test("the dark theme has each colour of the light one", () => {
  assert.deepEqual([...colours("prefers-color-scheme: dark").keys()], [...light.keys()]);
});

test("contrast is computed as the standard says", () => {
  assert.equal(contrast("#000000", "#ffffff"), 21);
  assert.ok(Math.abs(contrast("#777777", "#ffffff") - 4.48) < 0.01);
});

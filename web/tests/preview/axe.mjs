// Asks axe about every screen, in both themes, on a phone and on a desk, and about what has the most in it
// from right to left: `npm run axe`, or some of them by `SCENES="a part of a name" npm run axe`.
// axe runs beside the page, in a world that the page's policy doesn't bind, so the policy needs no hole.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { SCENES, play } from "./scenes.mjs";
import { newToken } from "./serve.mjs";
import { bridge, browser } from "./stage.mjs";

const SHAPES = { phone: { width: 390, height: 844, mobile: true }, desk: { width: 1280, height: 800, mobile: false } };
/** Colours and sizes are the same in every language; what the other direction changes shows in one look at these. */
const MIRRORED = ["landing-organisation", "passcode-wrong", "identity", "near-limit", "trouble", "message-menu", "menu", "dialog"];
const LOOKS = {
  en: Object.keys(SHAPES).flatMap((shape) => [{ shape, dark: false }, { shape, dark: true }]),
  ar: [{ shape: "phone", dark: false }],
};
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const ASK = `axe.run(document, { runOnly: ${JSON.stringify(RULES)}, resultTypes: ["violations", "incomplete"] }).then(({ violations, incomplete }) => {
  const brief = ({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ": " + target.join(" ") + ": " + failureSummary.replace(/\\s+/g, " "));
  return { violations: violations.flatMap(brief), incomplete: incomplete.flatMap(brief) };
})`;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const wanted = process.env.SCENES?.split(" ") ?? [];

const chosen = Object.keys(SCENES).filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
for (const [language, looks] of Object.entries(LOOKS)) {
  for (const name of chosen.filter((name) => language === "en" || MIRRORED.includes(name))) {
    test(`axe finds nothing on ${name} (${language})`, async (context) => {
      const { tab, close } = await play(name, { browser, bridge, newToken }, { ...SHAPES.phone, touch: true, language });
      const found = [];
      for (const { shape, dark } of looks) {
        await tab.look({ ...SHAPES[shape], dark, still: true });
        const { violations, incomplete } = await tab.aside(ASK, axe);
        const where = `${shape}, ${dark ? "dark" : "light"}`;
        found.push(...violations.map((what) => `${where}: ${what}`));
        // What axe could not decide, for whoever looks.
        if (process.env.VERBOSE) incomplete.forEach((what) => context.diagnostic(`${where}: undecided: ${what}`));
      }
      await close();
      assert.deepEqual(found, []);
    });
  }
}

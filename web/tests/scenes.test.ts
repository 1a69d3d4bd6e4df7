/** Every face that the page can show has a scene: a picture, and axe's word on it. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { catalogue } from "../src/text/en.ts";
import { SCENES } from "./preview/scenes.mjs";

declare const REPOSITORY: string;

const scenes: readonly { readonly screen: string; readonly banner?: string; readonly ending?: string }[] = Object.values(SCENES);
const ui = `${REPOSITORY}/web/src/ui`;
const sources = readdirSync(ui).map((file) => readFileSync(`${ui}/${file}`, "utf8"));

function missing(wanted: Iterable<string>, have: readonly (string | undefined)[]): string[] {
  return [...wanted].filter((name) => !have.includes(name));
}

test("each problem has a scene", () => {
  assert.deepEqual(missing(Object.keys(catalogue.problems), scenes.map(({ screen }) => screen)), []);
});

test("each ending has a scene", () => {
  assert.deepEqual(missing(Object.keys(catalogue.endings), scenes.map(({ ending }) => ending)), []);
});

test("each banner has a scene", () => {
  const type = sources.map((source) => /type Banner = ([^;]+);/.exec(source)?.[1]).find((found) => found !== undefined);
  const names = [...(type ?? "").matchAll(/"([a-z-]+)"/g)].map(([, name]) => name ?? "").filter((name) => name !== "none");
  assert.ok(names.length > 5, "the list of banners was not found");
  assert.deepEqual(missing(names, scenes.map(({ banner }) => banner)), []);
});

test("each name that a screen gives itself has a scene", () => {
  const calls = sources.flatMap((source) => [...source.matchAll(/named\(([^;]*)\);/g)].map(([, argument]) => argument ?? ""));
  const names = calls.flatMap((argument) => [...argument.matchAll(/"([a-z]+(?:-[a-z]+)*)"/g)].map(([, name]) => name ?? ""));
  assert.ok(names.includes("landing") && names.includes("chat"), "the names were not found");
  assert.deepEqual(missing(names, scenes.map(({ screen }) => screen)), []);
});

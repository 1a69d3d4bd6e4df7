import assert from "node:assert/strict";
import { test } from "node:test";
import { readFragment } from "../src/domain/token.ts";

const TOKEN = "0123456789abcdefghjkmnpqrs";

test("a token is read as it was made", () => {
  assert.deepEqual(readFragment(`#${TOKEN}`), { kind: "token", token: TOKEN });
  assert.deepEqual(readFragment("#tvwxyz0123456789abcdefghjk"), { kind: "token", token: "tvwxyz0123456789abcdefghjk" });
});

test("capitals and what messengers glue on are forgiven", () => {
  for (const tail of ["", ".", ",", ")", "!", "?)", "%2E", "…", ">", "%20", "*_"]) {
    assert.deepEqual(readFragment(`#${TOKEN.toUpperCase()}${tail}`), { kind: "token", token: TOKEN }, tail);
  }
});

test("anything else is malformed, not guessed at", () => {
  const wrong = [TOKEN.slice(1), `${TOKEN}9`, `${TOKEN}.html`, TOKEN.replace("a", "i"), TOKEN.replace("a", "u"), `.${TOKEN}`, "%E0%A4%A"];
  for (const hash of wrong) assert.deepEqual(readFragment(`#${hash}`), { kind: "malformed" }, hash);
});

test("no fragment is no link", () => {
  for (const hash of ["", "#", "#%20"]) assert.deepEqual(readFragment(hash), { kind: "none" });
});

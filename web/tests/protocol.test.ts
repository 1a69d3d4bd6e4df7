import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseHttpError, parseJoinAnswer, parseLinkInfo, parseServerFrame } from "../src/protocol.ts";
import { ShapeError } from "../src/shape.ts";

declare const REPOSITORY: string;

type Sample = Record<string, unknown> & { type: string };
const samples = JSON.parse(readFileSync(`${REPOSITORY}/docs/frames.json`, "utf8")) as { to_page: Sample[]; to_bridge: Sample[] };

test("every frame of the bridge's samples is read", () => {
  assert.ok(samples.to_page.length > 0);
  for (const sample of samples.to_page) {
    const frame = parseServerFrame(JSON.stringify(sample));
    assert.equal(frame.type, sample.type);
    if ("seq" in sample) assert.equal((frame as { seq?: number }).seq, sample["seq"]);
  }
});

test("the samples hold every type of frame that the page knows", () => {
  const known = [
    "challenge", "opening", "welcome", "event", "to_device", "delivered", "undelivered", "host", "deadline", "ended", "result",
    "keys_changed", "one_time_keys", "typing", "read", "error",
  ];
  assert.deepEqual([...new Set(samples.to_page.map(({ type }) => type))].sort(), known.sort());
});

/** Optional for the page: it lives without them. */
const OPTIONAL = new Set(["challenge.store_id", "welcome.one_time_keys", "welcome.fallback_unused", "welcome.ghost", "welcome.host_read", "welcome.typing", "welcome.receipts", "result.deadline", "result.body", "error.message"]);

test("a frame that lacks a member is refused", () => {
  for (const sample of samples.to_page) {
    for (const member of Object.keys(sample)) {
      if (OPTIONAL.has(`${sample.type}.${member}`)) continue;
      const { [member]: _, ...rest } = sample;
      assert.throws(() => parseServerFrame(JSON.stringify(rest)), ShapeError, `${sample.type} without ${member}`);
    }
  }
});

test("a member of another type is refused", () => {
  for (const sample of samples.to_page) {
    for (const member of Object.keys(sample)) {
      if (["welcome.ghost", "error.message"].includes(`${sample.type}.${member}`)) continue;
      const wrong = JSON.stringify({ ...sample, [member]: [null] });
      assert.throws(() => parseServerFrame(wrong), ShapeError, `${sample.type}.${member}`);
    }
  }
});

test("what is no frame is refused", () => {
  const wrong = ["", "null", "[]", "7", '"x"', "{", '{"type":"unheard"}', '{"type":"__proto__","seq":1}', '{"type":"host","seq":-1,"joined":true}', '{"type":"host","seq":1.5,"joined":true}', '{"type":"ended","seq":1,"reason":"boredom"}'];
  for (const text of wrong) assert.throws(() => parseServerFrame(text), ShapeError, text);
});

test("a refusal never repeats what it was given", () => {
  try {
    parseServerFrame('{"type":"event","seq":1,"event":"a secret"}');
    assert.fail("accepted");
  } catch (error) {
    assert.ok(error instanceof ShapeError);
    assert.doesNotMatch(error.message, /secret/);
  }
});

test("the answers of the requests are read, and refused when they are something else", () => {
  const host = { user_id: "@alice:example.org", display_name: "Alice" };
  const link = { host, ghost: "@_vestibule_1:example.org", expires_at: 5, idle_limit_ms: 6, passcode: true };
  assert.equal(parseLinkInfo(JSON.stringify(link)).host.displayName, "Alice");
  assert.equal(parseLinkInfo(JSON.stringify(link)).passcode, true);
  assert.equal(parseJoinAnswer(JSON.stringify({ portal: "p", name: "Maya (Guest)", host })).portal, "p");
  const error = { error: { code: "paused", message: "", retry_after_ms: 1000 } };
  assert.deepEqual(parseHttpError(JSON.stringify(error)), { code: "paused", retryAfterMs: 1000, triesLeft: null });
  const wrong = { error: { code: "passcode_wrong", message: "", tries_left: 4 } };
  assert.equal(parseHttpError(JSON.stringify(wrong)).triesLeft, 4);
  assert.throws(() => parseLinkInfo(JSON.stringify({ ...link, passcode: 1 })), ShapeError);
  assert.throws(() => parseLinkInfo("<html>"), ShapeError);
  assert.throws(() => parseJoinAnswer(JSON.stringify({ portal: 1, name: "", host })), ShapeError);
  assert.throws(() => parseHttpError("{}"), ShapeError);
});

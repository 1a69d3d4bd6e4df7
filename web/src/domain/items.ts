/** What the machine made of events becomes history: shown, named, taken away or answered. */

import { nameToHost, turnDown } from "./errands.ts";
import type { Draft } from "./journal.ts";
import type { Item } from "./machine.ts";
import { applyRead } from "./receipts.ts";
import type { Mine, Says, Theirs } from "./records.ts";
import { splitReply } from "./reply.ts";

type Shown = Exclude<Item, { kind: "redaction" }>;

/** Puts what the machine made readable into the history. */
export function applyItems(draft: Draft, items: readonly Item[], now: number, before?: number): void {
  for (const item of items) {
    if (item.kind === "redaction") redact(draft, item.redacts);
    else show(draft, item, now, before);
  }
}

function show(draft: Draft, item: Shown, now: number, before: number | undefined): void {
  const says = read(draft, item);
  const known = draft.theirsByEvent(item.event_id);
  // What was readable or removed already stays as it is.
  if (known !== null && known.says.kind !== "undecryptable") return;
  if (says === null) {
    if (known !== null) draft.remove(known.pos);
    return;
  }
  // Its key came late.
  if (known !== null) draft.put({ ...known, says });
  else addTheirs(draft, { eventId: item.event_id, ts: item.ts, says }, now, before);
  if (item.kind === "unsupported") {
    if (item.ring !== undefined) turnDown(draft, item.ring, item.event_id, now);
    nameToHost(draft, item.what, now);
  }
}

/** The homeserver's clock may be so much ahead of ours; what claims more would stand at the end for ever, or be no date at all. */
const AHEAD_MS = 86_400_000;

export function addTheirs(draft: Draft, { eventId, ts, says }: Pick<Theirs, "eventId" | "ts" | "says">, now: number, before: number | undefined): void {
  // One that was found in the room's past came at a moment that nobody knows.
  const place = before === undefined ? { order: draft.tell() } : { before };
  draft.add({ kind: "theirs", eventId, ts: Math.min(ts, now + AHEAD_MS), says, ...place });
  // The mark may have come first.
  if (draft.chat.hostRead === eventId) applyRead(draft, eventId);
}

/** `null`: nothing of its own, but a part of what has its line already. */
function read(draft: Draft, item: Shown): Says | null {
  switch (item.kind) {
    case "text":
      return readText(draft, item);
    case "unsupported":
      return item.what === "part" ? null : { kind: "unsupported", what: item.what };
    case "undecryptable":
      return { kind: "undecryptable", reason: item.reason };
  }
}

function readText(draft: Draft, { msgtype: style, body, reply_to: replyTo }: Extract<Shown, { kind: "text" }>): Says {
  if (replyTo === undefined) return { kind: "text", style, body };
  const { quote, text } = splitReply(body);
  const isKnown = draft.mineByEvent(replyTo) !== null || draft.theirsByEvent(replyTo) !== null;
  return { kind: "text", style, body: text, replyTo, ...(quote === null || isKnown ? {} : { quote }) };
}

/** The homeserver lets the host remove every message here. */
function redact(draft: Draft, eventId: string): void {
  const theirs = draft.theirsByEvent(eventId);
  if (theirs !== null) draft.put({ ...theirs, says: { kind: "removed" } });
  const mine = draft.mineByEvent(eventId);
  if (mine !== null) draft.put({ ...mine, body: "", removal: "done" });
  forgetQuotes(draft, eventId);
}

/** The guest takes a message back: out of the queue, or from both sides. */
export function takeBack(draft: Draft, pos: number, now: number): void {
  const entry = draft.mine(pos);
  if (entry === null || entry.errand !== undefined) return;
  const isHere = entry.state === "failed" || (entry.state === "waiting" && entry.n === null);
  if (isHere) {
    draft.remove(pos);
    return;
  }
  if (entry.removal === "asked" || entry.removal === "done") return;
  // Its text goes at once: whoever presses the button may be about to hand the telephone on.
  draft.put({ ...entry, body: "", removal: "asked" });
  if (entry.eventId !== null) forgetQuotes(draft, entry.eventId);
  const errand: Mine["errand"] = { kind: "redact", pos };
  draft.add({ kind: "mine", errand, body: "", state: "waiting", n: null, eventId: null, ts: now });
}

/** What quotes a removed message holds its words, or shows them. */
function forgetQuotes(draft: Draft, eventId: string): void {
  for (const entry of draft.all()) {
    if (entry.kind !== "theirs" || entry.says.kind !== "text" || entry.says.replyTo !== eventId) continue;
    const { quote: _, ...says } = entry.says;
    draft.put({ ...entry, says });
  }
}

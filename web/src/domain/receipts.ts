/** What became of one's own messages: delivered, failed, read. */

import type { Draft } from "./journal.ts";
import type { Mine, Why } from "./records.ts";

/** The homeserver has what went as frame `n`. */
export function delivered(draft: Draft, n: number, eventId: string): void {
  draft.settle(n);
  const entry = draft.mineByNumber(n);
  if (entry === null) return;
  // The bridge tells all of it again after its store was restored.
  if (entry.order === undefined) draft.put({ ...entry, state: "delivered", eventId, order: draft.tell() });
  if (entry.errand?.kind === "redact") {
    const message = draft.mine(entry.errand.pos);
    if (message !== null) draft.put({ ...message, removal: "done" });
  }
  // The mark may have come first.
  if (draft.chat.hostRead === eventId) applyRead(draft, eventId);
}

/** The homeserver refused it for good. The bridge performs one after the other, so all before it are done. */
export function undelivered(draft: Draft, n: number): void {
  draft.settle(n);
  const entry = draft.mineByNumber(n);
  if (entry !== null) fail(draft, entry, "undelivered");
}

/** It will never arrive. Nobody waits for what the page wanted to say by itself. */
export function fail(draft: Draft, entry: Mine, why: Why): void {
  const { errand } = entry;
  // Nothing of a message that is to be taken back came to anybody.
  if (errand === undefined && entry.removal === undefined) {
    draft.put({ ...entry, state: "failed", why });
    return;
  }
  draft.remove(entry.pos);
  const message = errand?.kind === "redact" ? draft.mine(errand.pos) : null;
  if (message?.removal === "asked") draft.put({ ...message, removal: "failed" });
}

/** The host has read everything up to this event; one that isn't known here yet is remembered. */
export function applyRead(draft: Draft, eventId: string): void {
  if (draft.chat.hostRead !== eventId) draft.update({ hostRead: eventId });
  const upTo = (draft.mineByEvent(eventId) ?? draft.theirsByEvent(eventId))?.order;
  if (upTo === undefined) return;
  for (const entry of draft.all()) {
    if (entry.kind !== "mine" || entry.state !== "delivered" || (entry.order ?? Infinity) > upTo) continue;
    draft.put({ ...entry, state: "read" });
  }
}

/** What the page sends by itself: that something could not be seen, and no to calls. */

import type { Draft } from "./journal.ts";
import type { Outgoing, Ring, UnsupportedKind } from "./machine.ts";
import type { Errand, Mine } from "./records.ts";

/** What comes so soon after a notice is taken as part of the same burst. */
const BURST_MS = 10 * 60_000;
/** How many calls are remembered; nobody is called by more at once. */
const CALLS = 8;

/** The words of a notice, in which `null` is several things. */
export type NoticeWords = (what: UnsupportedKind | null, guest: string) => string;

/** Tells the host once for a burst what the guest can't see. */
export function nameToHost(draft: Draft, what: UnsupportedKind | "part", now: number): void {
  // Of what came without encryption the bridge tells them, since it can see it.
  if (what === "unencrypted" || what === "part") return;
  const pending = draft.allWaiting().find((entry) => entry.errand?.kind === "notice" && entry.n === null);
  if (pending?.errand?.kind === "notice") {
    if (pending.errand.what !== what) draft.put({ ...pending, errand: { kind: "notice", what: null } });
    return;
  }
  const { noticedAt } = draft.chat;
  // A clock that was set back must not silence it for long.
  if (noticedAt !== undefined && Math.abs(now - noticedAt) < BURST_MS) return;
  draft.update({ noticedAt: now });
  send(draft, { kind: "notice", what }, now);
}

/** Says no to a call, once, and only while it rings. */
export function turnDown(draft: Draft, ring: Ring, eventId: string, now: number): void {
  const { call_id: callId, hangup, until } = ring;
  const known = draft.chat.calls ?? [];
  const call = callId ?? eventId;
  if (until < now || known.includes(call)) return;
  draft.update({ calls: [...known, call].slice(-CALLS) });
  send(draft, callId === undefined ? { kind: "decline", eventId } : { kind: "reject", callId, hangup }, now);
}

function send(draft: Draft, errand: Errand, ts: number): void {
  draft.add({ kind: "mine", errand, body: "", state: "waiting", n: null, eventId: null, ts });
}

/** What is encrypted for an entry; a removal is not. */
export function outgoing({ body, errand }: Mine, guest: string, words: NoticeWords): Outgoing | null {
  switch (errand?.kind) {
    case undefined:
      return { kind: "text", body };
    case "notice":
      return { kind: "notice", body: words(errand.what, guest) };
    case "reject":
      return { kind: "reject", call_id: errand.callId, hangup: errand.hangup };
    case "decline":
      return { kind: "decline", event_id: errand.eventId };
    case "redact":
      return null;
  }
}

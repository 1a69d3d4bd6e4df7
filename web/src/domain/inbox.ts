/** What comes from the other side: stored first, then shown and acknowledged. */

import type { EndReason, InboxFrame } from "../protocol.ts";
import type { Draft, Journal } from "./journal.ts";
import { readItems } from "./machine.ts";
import type { Item } from "./machine.ts";
import { StoreError } from "./ports.ts";
import type { Clock } from "./ports.ts";
import type { Says, SendState } from "./records.ts";

export interface InboxEvents {
  /** Everything up to here is on disk. */
  stored(seq: number): void;
  /** A frame is missing before this one: only a new hello brings it. */
  gap(): void;
  ended(reason: EndReason): void;
}

interface Outcome {
  readonly stored: number | null;
  readonly gap: boolean;
  readonly ended: EndReason | null;
}

export class Inbox {
  private queue: InboxFrame[] = [];
  private working = false;
  private connection = 0;
  private firstOfConnection = true;

  constructor(
    private readonly journal: Journal,
    private readonly clock: Clock,
    private readonly events: InboxEvents,
  ) {}

  /** A new connection repeats what was not acknowledged. */
  connected(): void {
    this.queue = [];
    this.connection += 1;
    this.firstOfConnection = true;
  }

  push(frame: InboxFrame): void {
    this.queue.push(frame);
    if (!this.working) void this.work();
  }

  private async work(): Promise<void> {
    this.working = true;
    try {
      while (this.queue.length > 0) {
        const frames = this.queue;
        this.queue = [];
        await this.store(frames);
      }
    } catch (error) {
      // Nothing was acknowledged, so the next connection brings it again. A broken journal has told
      // everybody that there will be none.
      this.queue = [];
      if (!(error instanceof StoreError)) this.events.gap();
    } finally {
      this.working = false;
    }
  }

  /** Many frames are one transaction: somebody who was away for long is not kept waiting. */
  private async store(frames: readonly InboxFrame[]): Promise<void> {
    const { connection } = this;
    const outcome = await this.journal.write((draft) => this.apply(draft, frames, connection));
    if (outcome.stored !== null) this.events.stored(outcome.stored);
    if (outcome.gap) this.events.gap();
    if (outcome.ended !== null) this.events.ended(outcome.ended);
  }

  private apply(draft: Draft, frames: readonly InboxFrame[], connection: number): Outcome {
    let stored: number | null = null;
    let ended: EndReason | null = null;
    for (const frame of frames) {
      const { lastSeq } = draft.chat;
      // The bridge repeats in order from what we said, so a hole behind the first frame is the
      // bridge's last word, and one later on is a frame that was lost on the way.
      const first = this.firstOfConnection && connection === this.connection;
      if (frame.seq > lastSeq + 1 && !first) return { stored, gap: true, ended };
      if (first) this.firstOfConnection = false;
      stored = Math.max(stored ?? 0, frame.seq);
      if (frame.seq <= lastSeq) continue;
      draft.update({ lastSeq: frame.seq });
      applyFrame(draft, frame, this.clock.now());
      if (frame.type === "ended") ended = frame.reason;
    }
    return { stored: stored === null ? null : Math.max(stored, draft.chat.lastSeq), gap: false, ended };
  }
}

function applyFrame(draft: Draft, frame: InboxFrame, now: number): void {
  // A guest who has left has erased what was there; nothing new is written after it.
  if (draft.chat.ending !== null) return;
  switch (frame.type) {
    case "event":
      draft.update({ deadline: frame.deadline });
      applyEvent(draft, frame, now);
      return;
    case "to_device":
      applyItems(draft, orNothing(() => draft.machine.receiveToDevice(JSON.stringify(frame.event), now)) ?? []);
      return;
    case "delivered":
      moveOn(draft, frame.n, "delivered", frame.eventId);
      return;
    case "undelivered":
      moveOn(draft, frame.n, "failed", null);
      return;
    case "host":
      if (frame.joined && !draft.chat.hostJoined) draft.add({ kind: "note", what: "host_joined", ts: now });
      draft.update({ hostJoined: frame.joined });
      return;
    case "ended":
      end(draft, frame.reason);
      return;
  }
}

function applyEvent(draft: Draft, frame: Extract<InboxFrame, { type: "event" }>, now: number): void {
  const { event } = frame;
  const items = orNothing(() => draft.machine.receiveEvent(draft.chat.roomId ?? "", JSON.stringify(event), now));
  if (items !== null) {
    applyItems(draft, items);
  } else if (draft.theirsByEvent(event.event_id) === null) {
    // Never silently lost: something came, even though the machine could make nothing of it.
    const says: Says = { kind: "undecryptable", reason: "malformed" };
    draft.add({ kind: "theirs", eventId: event.event_id, ts: event.origin_server_ts, says });
  }
}

/** Junk makes the machine throw and leaves it as it was. It must not stop the chat. */
function orNothing(call: () => string): readonly Item[] | null {
  try {
    return readItems(call());
  } catch {
    return null;
  }
}

/** Puts what the machine made readable into the history. */
export function applyItems(draft: Draft, items: readonly Item[]): void {
  for (const item of items) {
    if (item.kind === "redaction") redact(draft, item.redacts);
    else show(draft, item);
  }
}

function show(draft: Draft, item: Exclude<Item, { kind: "redaction" }>): void {
  const says = read(item);
  const known = draft.theirsByEvent(item.event_id);
  if (known === null) {
    draft.add({ kind: "theirs", eventId: item.event_id, ts: item.ts, says });
  } else if (known.says.kind === "undecryptable") {
    // Its key came late. What was readable or removed already stays as it is.
    draft.put({ ...known, says });
  }
}

function read(item: Exclude<Item, { kind: "redaction" }>): Says {
  switch (item.kind) {
    case "text":
      return { kind: "text", style: item.msgtype, body: item.body };
    case "unsupported":
      return { kind: "unsupported", what: item.what };
    case "undecryptable":
      return { kind: "undecryptable", reason: item.reason };
  }
}

/** Only the host's own messages can be meant: the homeserver lets nobody here remove another's. */
function redact(draft: Draft, eventId: string): void {
  const entry = draft.theirsByEvent(eventId);
  if (entry !== null) draft.put({ ...entry, says: { kind: "removed" } });
}

function moveOn(draft: Draft, n: number, state: SendState, eventId: string | null): void {
  const entry = draft.mineByNumber(n);
  if (entry !== null) draft.put({ ...entry, state, eventId });
}

/** Ends a chat for good: what never left is marked so, and its keys are thrown away. */
export function end(draft: Draft, reason: EndReason | "unknown"): void {
  draft.update({ ending: { kind: "ended", reason } });
  draft.stage(null);
  for (const entry of draft.allWaiting()) draft.put({ ...entry, state: "failed" });
  draft.dropRecords();
}

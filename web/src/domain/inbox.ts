/** What comes from the other side: stored first, then shown and acknowledged. */

import type { EndReason, InboxFrame } from "../protocol.ts";
import { addTheirs, applyItems } from "./items.ts";
import type { Draft, Journal } from "./journal.ts";
import { readItems } from "./machine.ts";
import type { Item } from "./machine.ts";
import { StoreError } from "./ports.ts";
import type { Clock } from "./ports.ts";
import { delivered, fail, undelivered } from "./receipts.ts";

export interface InboxEvents {
  /** Everything up to here is on disk. */
  stored(seq: number): void;
  /** A frame is missing before this one: only a new hello brings it. */
  gap(): void;
  /** No hello brings it: it was acknowledged, and is not stored here any more. */
  missing(): void;
  ended(reason: EndReason): void;
}

interface Outcome {
  stored: number | null;
  hole: "gap" | "missing" | null;
  ended: EndReason | null;
}

/** So many connections that begin behind what is stored here are no accident. */
const HOLES = 5;

export class Inbox {
  private queue: InboxFrame[] = [];
  private working = false;
  private connection = 0;
  /** Nothing came on this connection yet. */
  private fresh = false;
  /** How many connections in a row began with a hole. */
  private holes = 0;
  /** This connection repeats everything that the bridge has. */
  private anew = false;

  constructor(
    private readonly journal: Journal,
    private readonly clock: Clock,
    private readonly events: InboxEvents,
  ) {}

  /** What is not stored yet comes again on the next connection. */
  disconnected(): void {
    this.queue = [];
    this.connection += 1;
    this.fresh = false;
  }

  /** The hello says from where on frames are to be repeated; `anew`: all of them. */
  greeted(anew: boolean): void {
    this.fresh = true;
    this.anew = anew;
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
    if (outcome.hole !== null) this.events[outcome.hole]();
    if (outcome.ended !== null) this.events.ended(outcome.ended);
  }

  private apply(draft: Draft, frames: readonly InboxFrame[], connection: number): Outcome {
    const outcome: Outcome = { stored: null, hole: null, ended: null };
    for (const frame of frames) {
      const { lastSeq } = draft.chat;
      // Of a connection that is over or will be: its hello counted otherwise.
      if (connection !== this.connection || (lastSeq === null && !this.anew)) break;
      const first = this.fresh;
      this.fresh = false;
      if (lastSeq !== null && frame.seq > lastSeq + 1 && frame.type !== "ended") {
        if (first) this.holes += 1;
        outcome.hole = this.holes < HOLES ? "gap" : "missing";
        break;
      }
      this.holes = 0;
      outcome.stored = Math.max(frame.seq, lastSeq ?? 0);
      if (frame.seq <= (lastSeq ?? 0)) continue;
      draft.update({ lastSeq: frame.seq });
      applyFrame(draft, frame, this.clock.now());
      if (frame.type === "ended") outcome.ended = frame.reason;
    }
    return outcome;
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
      applyItems(draft, orNothing(() => draft.machine.receiveToDevice(JSON.stringify(frame.event), now)) ?? [], now);
      return;
    case "delivered":
      delivered(draft, frame.n, frame.eventId);
      return;
    case "undelivered":
      undelivered(draft, frame.n);
      return;
    case "host":
      if (frame.joined && !draft.chat.hostJoined) draft.add({ kind: "note", what: "host_joined", ts: now });
      if (frame.joined !== draft.chat.hostJoined && draft.chat.roomId !== null) draft.machine.membershipChanged(draft.chat.roomId);
      draft.update({ hostJoined: frame.joined });
      return;
    case "deadline":
      // One that comes a second time, to a store that asked for everything, may be older than a message.
      if (frame.deadline >= (draft.chat.deadline ?? 0)) draft.update({ deadline: frame.deadline, warnedOf: frame.deadline });
      return;
    case "ended":
      end(draft, frame.reason);
      return;
  }
}

function applyEvent(draft: Draft, frame: Extract<InboxFrame, { type: "event" }>, now: number): void {
  const { event } = frame;
  const items = orNothing(() => draft.machine.receiveEvent(draft.chat.roomId ?? "", JSON.stringify(event), now));
  // One that was found in the room's past stands where it was written.
  const before = event.late ? draft.placeBefore(event.origin_server_ts) : undefined;
  if (items !== null) {
    applyItems(draft, items, now, before);
  } else if (draft.theirsByEvent(event.event_id) === null) {
    // Never silently lost: something came, even though the machine could make nothing of it.
    const says = { kind: "undecryptable", reason: "malformed" } as const;
    addTheirs(draft, { eventId: event.event_id, ts: event.origin_server_ts, says }, now, before);
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

/** Ends a chat for good: what never left is marked so, and its keys are thrown away. */
export function end(draft: Draft, reason: EndReason): void {
  draft.update({ ending: { kind: "ended", reason } });
  draft.stage(null);
  draft.settle(draft.chat.lastN);
  for (const entry of draft.allWaiting()) fail(draft, entry, "ended");
  draft.dropRecords();
}

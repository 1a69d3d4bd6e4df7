/**
 * What goes to the other side: one numbered frame at a time.
 *
 * A message is encrypted once. Its frame, the machine's new state and the message's number go to
 * disk together, and only then does the frame leave; until the bridge answers, every connection
 * sends the same frame again.
 */

import type { NumberedFrame } from "../protocol.ts";
import { outgoing } from "./errands.ts";
import type { NoticeWords } from "./errands.ts";
import type { Draft, Journal } from "./journal.ts";
import { learnHostKeys } from "./keys.ts";
import { readNeed, readObject } from "./machine.ts";
import type { Blocked, Need } from "./machine.ts";
import { Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import { StoreError } from "./ports.ts";
import type { Clock } from "./ports.ts";
import { fail } from "./receipts.ts";
import type { Mine, Staged, Why } from "./records.ts";
import { Disconnected, Refused } from "./requests.ts";
import type { Answer, Question, Requests } from "./requests.ts";
import type { Json } from "../shape.ts";

export interface OutboxEvents {
  /** The bridge's count and ours don't fit together; sending on would hide a loss. */
  outOfStep(): void;
  /** Only a new hello can tell how things stand. */
  reconnect(): void;
  /** The host's keys came. */
  learned(): void;
}

type Turn = "again" | "idle" | { readonly againAfterMs: number };

const RETRY_MS = 5_000;
/** How the machine names what begins a device's new session. */
const CURE = "heal.";

export class Outbox {
  /** Why nothing can be encrypted, or `null`. */
  readonly blocked = new Value<Blocked | null>(null);

  private open = false;
  private counted = 0;
  private working = false;
  private nudged = false;
  /** The host's keys changed, and the new ones are not here yet. */
  private outdated = false;
  /** Set while the bridge wants to be left alone. */
  private timer: Cancel | null = null;

  constructor(
    private readonly journal: Journal,
    private readonly requests: Requests,
    private readonly clock: Clock,
    private readonly words: NoticeWords,
    private readonly events: OutboxEvents,
  ) {}

  /** After a welcome, which said up to which number the bridge has counted. */
  connected(lastN: number): void {
    this.counted = lastN;
    this.open = true;
    // The welcome brought them.
    this.outdated = false;
    this.stopWaiting();
    this.nudge();
  }

  disconnected(): void {
    this.open = false;
    this.stopWaiting();
  }

  /** Something may have become possible. */
  nudge(): void {
    this.nudged = true;
    if (!this.working && this.timer === null) void this.work();
  }

  /** Asks for the host's keys at once: what the page says of who can read is to be true now, not after the next message. */
  lookAtKeys(): void {
    this.outdated = true;
    this.nudge();
  }

  private async work(): Promise<void> {
    this.working = true;
    try {
      while (this.nudged && this.open && this.timer === null) {
        this.nudged = false;
        let turn: Turn = "again";
        while (turn === "again" && this.open) turn = await this.turn();
        if (typeof turn === "object") this.pause(turn.againAfterMs);
      }
    } catch (error) {
      // With a broken journal nothing may leave, and everybody was told. Anything else may pass.
      if (!(error instanceof StoreError)) this.pause(RETRY_MS);
    } finally {
      this.working = false;
    }
  }

  private pause(ms: number): void {
    this.stopWaiting();
    this.timer = this.clock.after(ms, () => {
      this.stopWaiting();
      this.nudge();
    });
  }

  private stopWaiting(): void {
    this.timer?.();
    this.timer = null;
  }

  private async turn(): Promise<Turn> {
    if (this.journal.chat.ending !== null) return "idle";
    try {
      const frame = this.journal.frameAfter(this.counted);
      if (frame !== null) return await this.deliver(frame);
      if (this.outdated || this.journal.wantsKeys()) return await this.askKeys();
      if (this.journal.nextWaiting() === null && !this.journal.wantsHealing(this.clock.now())) return "idle";
      return await this.advance();
    } catch (error) {
      if (error instanceof Disconnected) return "idle";
      if (error instanceof Refused) return this.askRefused(error);
      throw error;
    }
  }

  /** One step towards a stored frame for the oldest waiting message. */
  private async advance(): Promise<Turn> {
    const need = await this.journal.write((draft) => this.encryptNext(draft));
    if (need === "again" || need === "idle") return need;
    this.blocked.set(need.kind === "blocked" ? need.reason : null);
    switch (need.kind) {
      case "ready":
      case "to_device":
        return "again";
      case "blocked":
        return "idle";
      case "keys_query":
        return this.askKeys();
      case "keys_claim":
        return this.learn({ type: "keys_claim", devices: need.devices }, (draft, body) => {
          draft.machine.receiveClaim(JSON.stringify(body), this.clock.now());
        });
    }
  }

  private async askKeys(): Promise<Turn> {
    // Another change may come while the answer is on its way.
    this.outdated = false;
    let turn: Turn | null = null;
    try {
      turn = await this.learn({ type: "keys_query" }, (draft, body) => learnHostKeys(draft, body, this.clock.now()));
    } finally {
      if (turn !== "again") this.outdated = true;
    }
    this.events.learned();
    return turn;
  }

  private async learn(question: Question, apply: (draft: Draft, body: Json) => void): Promise<Turn> {
    const body = await this.requests.ask(question);
    const understood = await this.journal.write((draft) => {
      try {
        apply(draft, body);
        return true;
      } catch {
        return false;
      }
    });
    return understood ? "again" : { againAfterMs: RETRY_MS };
  }

  /** `idle`: there is nothing to encrypt any more. `again`: that message can't be, so on to the next. */
  private encryptNext(draft: Draft): Need | "idle" | "again" {
    const { chat, machine } = draft;
    if (draft.staged !== null || chat.ending !== null || chat.roomId === null) return "idle";
    const now = this.clock.now();
    const n = chat.lastN + 1;
    const cure = readNeed(machine.heal(now));
    if (cure.kind === "to_device") stageKeys(draft, cure, n);
    if (cure.kind !== "ready") return cure;
    const waiting = this.journal.nextWaiting();
    if (waiting === null) return "idle";
    const message = outgoing(waiting, chat.name, this.words);
    if (message === null) return stageRemoval(draft, waiting, n);
    const need = readNeed(machine.prepare(chat.roomId, now));
    if (need.kind === "to_device") stageKeys(draft, need, n);
    if (need.kind === "ready") {
      const content = encrypt(() => machine.encrypt(chat.roomId ?? "", JSON.stringify(message), now));
      if (content === null) {
        fail(draft, waiting, "too_large");
        return "again";
      }
      draft.update({ lastN: n });
      draft.stage({ kind: "send", n, content, pos: waiting.pos });
      draft.put({ ...waiting, n });
    }
    return need;
  }

  private async deliver(frame: Staged): Promise<Turn> {
    let answer: Answer;
    try {
      answer = await this.requests.deliver(onWire(frame));
    } catch (error) {
      if (error instanceof Refused) return this.refused(frame, error);
      throw error;
    }
    this.counted = frame.n;
    await this.journal.write((draft) => accepted(draft, frame, answer.deadline));
    return "again";
  }

  private async refused(frame: Staged, { body }: Refused): Promise<Turn> {
    switch (body.code) {
      case "gap":
      case "ended":
      case "unknown_chat":
        this.events.reconnect();
        return "idle";
      case "too_large":
      case "bad_request":
      case "not_encrypted":
        // Those that were taken once are followed by others, whose numbers would leave a gap.
        if (this.journal.staged?.n !== frame.n) {
          this.events.outOfStep();
          return "idle";
        }
        // Final, and not counted: the number is free again, the ciphertext is never used again.
        await this.journal.write((draft) => giveUp(draft, frame, body.code === "too_large" ? "too_large" : "refused"));
        return "again";
      default:
        return { againAfterMs: body.retryAfterMs ?? RETRY_MS };
    }
  }

  private askRefused({ body }: Refused): Turn {
    if (body.code === "ended" || body.code === "unknown_chat") {
      this.events.reconnect();
      return "idle";
    }
    return { againAfterMs: body.retryAfterMs ?? RETRY_MS };
  }
}

function accepted(draft: Draft, frame: Staged, deadline: number | null): void {
  // A frame that the bridge had taken and forgotten is kept already.
  const repeated = draft.staged?.n !== frame.n;
  if (!repeated) draft.stage(null);
  if (frame.kind === "to_device") {
    if (repeated) return;
    draft.machine.toDeviceStored(frame.id);
    draft.keep(frame);
    return;
  }
  if (deadline !== null) draft.update({ deadline });
  const entry = draft.mine(frame.pos);
  // "Delivered" may have come first, over the inbox.
  if (entry === null || entry.state !== "waiting") return;
  draft.put({ ...entry, state: "sent" });
  if (!repeated) draft.keep(frame);
}

function giveUp(draft: Draft, frame: Staged, why: Why): void {
  draft.stage(null);
  draft.update({ lastN: frame.n - 1 });
  // No message waits for a device's new session.
  if (frame.kind === "to_device" && frame.id.startsWith(CURE)) {
    draft.machine.toDeviceStored(frame.id);
    return;
  }
  // Without its room key nobody could read the message that the key was for.
  const entry = frame.kind === "to_device" ? (draft.allWaiting()[0] ?? null) : draft.mine(frame.pos);
  if (entry !== null) fail(draft, { ...entry, n: null }, why);
}

function stageKeys(draft: Draft, need: Extract<Need, { kind: "to_device" }>, n: number): void {
  draft.update({ lastN: n });
  draft.stage({ kind: "to_device", n, eventType: need.event_type, messages: need.messages, id: need.id });
}

/** A removal says nothing that would have to be encrypted. */
function stageRemoval(draft: Draft, waiting: Mine, n: number): "again" {
  const eventId = waiting.errand?.kind === "redact" ? draft.mine(waiting.errand.pos)?.eventId : null;
  if (typeof eventId !== "string") {
    // The message never came to anybody, so there is nothing left to take back.
    draft.remove(waiting.pos);
    return "again";
  }
  draft.update({ lastN: n });
  draft.stage({ kind: "redact", n, eventId, pos: waiting.pos });
  draft.put({ ...waiting, n });
  return "again";
}

function encrypt(call: () => string): Json | null {
  try {
    return readObject(call());
  } catch {
    return null;
  }
}

function onWire(staged: Staged): NumberedFrame {
  const { n } = staged;
  switch (staged.kind) {
    case "send":
      return { type: "send", n, content: staged.content };
    case "to_device":
      return { type: "to_device", n, event_type: staged.eventType, messages: staged.messages };
    case "redact":
      return { type: "redact", n, event_id: staged.eventId };
  }
}

/** What passes in the moment: who is typing, and how far each has read. None of it is a message. */

import type { MomentFrame, WelcomeFrame } from "../protocol.ts";
import { Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import type { Clock } from "./ports.ts";

/** Said again so often while the guest goes on. */
const REPEAT_MS = 4_000;
/** The host is taken to have stopped, should nobody say so. */
const FORGET_MS = 60_000;

export class Presence {
  /** The host is typing. */
  readonly typing = new Value(false);

  private allowed: Pick<WelcomeFrame, "typing" | "receipts"> | null = null;
  private forget: Cancel = () => undefined;
  /** When the bridge was told that the guest is typing; `null`: that they aren't. */
  private saidAt: number | null = null;
  private isLooking = false;
  /** What was told as read on this connection. */
  private told: string | null = null;

  constructor(
    private readonly clock: Clock,
    private readonly send: (frame: MomentFrame) => boolean,
    /** The newest event of the host. */
    private readonly newest: () => string | null,
  ) {}

  connected(welcome: WelcomeFrame): void {
    this.allowed = welcome;
    this.look();
  }

  disconnected(): void {
    this.allowed = null;
    this.told = null;
    this.saidAt = null;
    this.hear(false);
  }

  hear(typing: boolean): void {
    this.forget();
    this.typing.set(typing);
    if (typing) this.forget = this.clock.after(FORGET_MS, () => this.typing.set(false));
  }

  /** After each key stroke: whether something stands in the field. False too when it was sent or left. */
  compose(typing: boolean): void {
    const { saidAt } = this;
    const now = this.clock.now();
    const isNews = typing ? saidAt === null || now - saidAt >= REPEAT_MS : saidAt !== null;
    if (!isNews || this.allowed?.typing !== true) return;
    if (this.send({ type: "typing", typing })) this.saidAt = typing ? now : null;
  }

  /** Whether the guest sees the end of the messages. */
  looking(isLooking: boolean): void {
    this.isLooking = isLooking;
    this.look();
  }

  private look(): void {
    const event_id = this.newest();
    if (!this.isLooking || this.allowed?.receipts !== true || event_id === null || event_id === this.told) return;
    if (this.send({ type: "read", event_id })) this.told = event_id;
  }
}

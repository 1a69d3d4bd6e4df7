/** What of the host's messages the guest has not had before their eyes. */

import { Value } from "./observe.ts";
import type { Entry } from "./records.ts";

export interface Unread {
  readonly count: number;
  /**
   * Above which place the line stands that says from where on it is new; `null`: nowhere. It stays when
   * the guest comes back, so that they find it, until they answer or something comes while they are away.
   */
  readonly line: number | null;
}

export class Reading {
  readonly unread: Value<Unread>;
  private isLooking = false;

  /** `seen`: the place of the newest entry that was looked at, as it is stored; `keep` stores the next. */
  constructor(
    private seen: number,
    private readonly history: () => readonly Entry[],
    private readonly keep: (seen: number) => void,
  ) {
    const fresh = this.fresh();
    this.unread = new Value<Unread>({ count: fresh.length, line: fresh[0]?.pos ?? null });
  }

  /** Whether the guest sees the end of the messages. */
  looking(isLooking: boolean): void {
    this.isLooking = isLooking;
    this.changed();
  }

  /** Messages came, changed or went. */
  changed(): void {
    const fresh = this.fresh();
    if (!this.isLooking) {
      this.set(fresh.length, fresh[0]?.pos ?? this.unread.get().line);
      return;
    }
    const newest = this.history().reduce((pos, entry) => Math.max(pos, entry.pos), 0);
    if (newest > this.seen) {
      this.seen = newest;
      this.keep(newest);
    }
    this.set(0, this.unread.get().line);
  }

  /** The guest answered: what is above has been read. */
  said(): void {
    if (this.unread.get().count === 0) this.set(0, null);
  }

  private fresh(): readonly Entry[] {
    return this.history().filter(({ kind, pos }) => kind === "theirs" && pos > this.seen);
  }

  private set(count: number, line: number | null): void {
    const now = this.unread.get();
    if (now.count !== count || now.line !== line) this.unread.set({ count, line });
  }
}

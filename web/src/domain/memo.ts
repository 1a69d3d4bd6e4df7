/** What a chat remembers for the guest beside messages. It is written a little later, because it changes with each key. */

import type { Cancel } from "./observe.ts";
import type { Clock } from "./ports.ts";
import type { JoinedChat } from "./records.ts";

export type Remembered = Partial<Pick<JoinedChat, "draft" | "seen" | "alerts">>;

const DELAY_MS = 700;
/** So much of a draft is kept, in UTF-16 units: a few times what can be sent. More could fill the disk. */
const DRAFT_UNITS = 16_000;

export class Memo {
  private pending: Remembered = {};
  private cancel: Cancel | null = null;

  constructor(
    private readonly clock: Clock,
    private readonly write: (changes: Remembered) => void,
  ) {}

  keep(changes: Remembered): void {
    const { draft } = changes;
    this.pending = { ...this.pending, ...changes, ...(draft === undefined ? {} : { draft: draft.slice(0, DRAFT_UNITS) }) };
    this.cancel ??= this.clock.after(DELAY_MS, () => this.flush());
  }

  /** What waits to be written is so already. */
  drop(name: keyof Remembered): void {
    const { [name]: _, ...others } = this.pending;
    this.pending = others;
  }

  /** Writes at once what waits: the page may be about to go. */
  flush(): void {
    const changes = this.take();
    if (Object.keys(changes).length > 0) this.write(changes);
  }

  /** What waits, for whoever writes it together with something else. */
  take(): Remembered {
    this.cancel?.();
    this.cancel = null;
    const changes = this.pending;
    this.pending = {};
    return changes;
  }
}

/** What draws the guest's attention to a message while they look elsewhere. Nothing of it says who wrote or what. */

import type { ChatModel } from "./model.ts";
import { Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import type { Clock } from "./ports.ts";
import type { Alerts as Wanted } from "./records.ts";

/** `unable`: this browser shows none from a page, as on most phones. */
export type Permit = "granted" | "denied" | "unable";

/** What a browser has to draw attention with. */
export interface Attention {
  /** Whether the guest looks at another tab or window. */
  isAway(): boolean;
  /** Shows how many are unread: in the tab's title and icon, and at the icon of an installed page. */
  mark(count: number): void;
  /** Makes the sound possible. Browsers want a tap or a key before; resolves when there was one. */
  tune(): Promise<void>;
  chime(): void;
  /** Asks the guest, if nobody has yet. Only after a tap. */
  permit(): Promise<Permit>;
  /** Whether it was permitted and still is. */
  mayNotify(): boolean;
  notify(silent: boolean): void;
  /** Takes back what `notify` shows. */
  calm(): void;
}

/** Ten messages in a row are one sound. */
const QUIET_MS = 3_000;

export class Alerts {
  readonly wanted: Value<Wanted>;
  /** Why the guest's wish to be notified can't be met. */
  readonly refused = new Value<Exclude<Permit, "granted"> | null>(null);

  private last: number;
  private soundedAt = -Infinity;
  private readonly cancel: Cancel;

  constructor(
    private readonly chat: ChatModel,
    private readonly attention: Attention,
    private readonly clock: Clock,
  ) {
    const { sound, notify } = chat.view.get().chat.alerts ?? { sound: false, notify: false };
    this.wanted = new Value<Wanted>({ sound, notify: notify && attention.mayNotify() });
    if (sound) void attention.tune();
    this.last = chat.unread.get().count;
    this.cancel = chat.unread.bind(({ count }) => this.changed(count));
  }

  setSound(sound: boolean): void {
    this.set({ ...this.wanted.get(), sound });
    // So that one knows what to listen for.
    if (sound) void this.attention.tune().then(() => this.attention.chime());
  }

  async setNotify(notify: boolean): Promise<void> {
    this.refused.set(null);
    const permit = notify ? await this.attention.permit() : "granted";
    if (permit !== "granted") this.refused.set(permit);
    this.set({ ...this.wanted.get(), notify: notify && permit === "granted" });
  }

  /** The chat is left: nothing of it stays at the tab. */
  close(): void {
    this.cancel();
    this.attention.mark(0);
    this.attention.calm();
  }

  private set(wanted: Wanted): void {
    this.wanted.set(wanted);
    this.chat.setAlerts(wanted);
  }

  private changed(count: number): void {
    const isNews = count > this.last;
    this.last = count;
    this.attention.mark(count);
    if (count === 0) this.attention.calm();
    if (!isNews || !this.attention.isAway()) return;
    const { sound, notify } = this.wanted.get();
    const now = this.clock.now();
    if (now - this.soundedAt < QUIET_MS) return;
    this.soundedAt = now;
    if (notify) this.attention.notify(sound);
    if (sound) this.attention.chime();
  }
}

/** Keys that are fetched and published apart from any message. */

import { applyItems } from "./items.ts";
import type { Draft, Journal } from "./journal.ts";
import { readKeysReport, readUpload } from "./machine.ts";
import type { Upload } from "./machine.ts";
import type { Cancel } from "./observe.ts";
import { StoreError } from "./ports.ts";
import type { Clock } from "./ports.ts";
import { Disconnected, Refused } from "./requests.ts";
import type { Requests } from "./requests.ts";
import type { Json } from "../shape.ts";

/** Takes in a `/keys/query` answer. Throws what the machine throws. */
export function learnHostKeys(draft: Draft, body: Json, now: number): void {
  const report = readKeysReport(draft.machine.receiveKeys(JSON.stringify(body), now));
  applyItems(draft, report.items, now);
  noteSafety(draft, report.identity === "changed", now);
}

/** Keeps beside the history who the host is, as the machine knows it now. */
export function noteSafety(draft: Draft, doubted: boolean, now: number): void {
  const { safety } = draft.chat;
  const code = draft.machine.safetyCode() ?? null;
  const since = safety === undefined || safety.code === code ? safety?.since : now;
  draft.update({ safety: { code, ...(since !== undefined && { since }), ...(doubted && { doubted }) } });
}

/** What the homeserver has left. */
interface Report {
  readonly count: number;
  readonly fallbackUnused: boolean;
}

/** More than any machine wants. */
const ENOUGH = 1_000;
/** Anybody at the homeserver can use keys up, so uploads are at least this far apart. */
const EVERY_MS = 10_000;
/** Uploads that fail come further and further apart, up to this many doublings: ten minutes. */
const DOUBLINGS = 6;

/**
 * Keeps one-time keys at the homeserver, so that the host's client can start Olm sessions with us.
 *
 * Only what the homeserver said counts: without a report nothing is uploaded. Of the reports that
 * come while one is worked on, or too soon after an upload, the last one is looked at afterwards.
 */
export class KeySupply {
  private latest: Report | null = null;
  private busy = false;
  private failures = 0;
  private timer: Cancel | null = null;
  /** The timer only waits for what another report may make due sooner. */
  private patient = false;

  constructor(
    private readonly journal: Journal,
    private readonly requests: Requests,
    private readonly clock: Clock,
  ) {}

  /** What the homeserver has left, as the bridge reported it. The machine decides whether that is enough. */
  report(count: number, fallbackUnused: boolean): void {
    this.latest = { count, fallbackUnused };
    if (this.patient) this.stopWaiting();
    void this.look();
  }

  /** The next connection begins with a report of its own. */
  disconnected(): void {
    this.latest = null;
    this.stopWaiting();
  }

  private async look(): Promise<void> {
    const report = this.latest;
    if (this.busy || this.timer !== null || report === null) return;
    this.busy = true;
    this.latest = null;
    try {
      await this.supply(report);
    } catch (error) {
      // A broken journal told everybody, and without a connection there is nobody to send keys to.
      if (!(error instanceof StoreError || error instanceof Disconnected)) throw error;
    } finally {
      this.busy = false;
    }
    void this.look();
  }

  private async supply(report: Report): Promise<void> {
    const { count, fallbackUnused } = report;
    // On disk before they are public: a key that somebody used must not be forgotten by a crash. What
    // a crash left without an answer is given out again, the same keys under the same ids.
    const { upload, dueAt } = await this.journal.write(({ machine }) => ({
      upload: readUpload(machine.oneTimeKeys(count, fallbackUnused, this.clock.now())),
      dueAt: machine.oneTimeKeysAt(count, fallbackUnused),
    }));
    if (upload !== null) await this.publish(report, upload);
    else if (dueAt !== undefined) {
      this.later(report, dueAt - this.clock.now());
      this.patient = true;
    }
  }

  private async publish(report: Report, { one_time_keys, fallback_keys }: Upload): Promise<void> {
    try {
      const { one_time_keys: left } = await this.requests.ask({ type: "keys_upload", one_time_keys, fallback_keys });
      await this.journal.write(({ machine }) => machine.markPublished());
      this.failures = 0;
      // Somebody may have used keys up meanwhile.
      this.later({ count: typeof left === "number" ? left : ENOUGH, fallbackUnused: true }, EVERY_MS);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // The homeserver holds other keys under these ids, as after this browser's storage was set back.
      // They can never be published, so the next ones get ids of their own.
      if (error.body.code === "bad_keys") await this.journal.write(({ machine }) => machine.markPublished());
      const wait = EVERY_MS * 2 ** Math.min(this.failures, DOUBLINGS);
      this.failures += 1;
      this.later(report, Math.max(wait, error.body.retryAfterMs ?? 0));
    }
  }

  /** Looks at this report, or at one that comes until then. */
  private later(report: Report, ms: number): void {
    this.latest ??= report;
    this.timer = this.clock.after(Math.max(ms, 0), () => {
      this.stopWaiting();
      void this.look();
    });
  }

  private stopWaiting(): void {
    this.timer?.();
    this.timer = null;
    this.patient = false;
  }
}

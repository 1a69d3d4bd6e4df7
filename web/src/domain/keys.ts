/** Keys that are fetched and published apart from any message. */

import { applyItems } from "./inbox.ts";
import type { Draft, Journal } from "./journal.ts";
import { readKeysReport, readUpload } from "./machine.ts";
import type { Clock } from "./ports.ts";
import { Disconnected, Refused } from "./requests.ts";
import type { Requests } from "./requests.ts";
import type { Json } from "../shape.ts";

/** Takes in a `/keys/query` answer. `changed`: the host is not who they were. Throws what the machine throws. */
export function learnHostKeys(draft: Draft, body: Json, now: number): { readonly changed: boolean } {
  const report = readKeysReport(draft.machine.receiveKeys(JSON.stringify(body), now));
  applyItems(draft, report.items);
  return { changed: report.identity === "changed" };
}

/** Keeps one-time keys at the homeserver, so that the host's client can start Olm sessions with us. */
export class KeySupply {
  private uploading = false;

  constructor(
    private readonly journal: Journal,
    private readonly requests: Requests,
    private readonly clock: Clock,
  ) {}

  /** What the homeserver has left, as the bridge reported it. The machine decides whether that is enough. */
  async report(count: number, fallbackUnused: boolean): Promise<void> {
    if (this.uploading) return;
    this.uploading = true;
    try {
      // On disk before they are public: a key that somebody used must not be forgotten by a crash.
      const keys = await this.journal.write((draft) =>
        readUpload(draft.machine.oneTimeKeys(count, fallbackUnused, this.clock.now())),
      );
      if (keys === null) return;
      await this.requests.ask({ type: "keys_upload", one_time_keys: keys.one_time_keys, fallback_keys: keys.fallback_keys });
      await this.journal.write((draft) => draft.machine.markPublished());
    } catch (error) {
      // The next report offers the same keys again.
      if (!(error instanceof Disconnected || error instanceof Refused)) throw error;
    } finally {
      this.uploading = false;
    }
  }
}

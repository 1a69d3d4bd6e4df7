import type { Attention } from "../domain/alerts.ts";
import type { Value } from "../domain/observe.ts";
import type { Clock, Memory } from "../domain/ports.ts";
import type { Catalogue, Dates, Numbers } from "../text/index.ts";
import type { Organisation } from "../text/organisation.ts";

/** What every view needs. */
export interface Context {
  readonly words: Catalogue;
  readonly dates: Dates;
  readonly numbers: Numbers;
  readonly clock: Clock;
  readonly attention: Attention;
  /** `null` until it is known. */
  readonly organisation: Value<Organisation | null>;
  /** Of the page, without a link's secret. */
  readonly address: string;
  /** Tells one build of the page from another; `null` when it can't be found out. */
  build(): Promise<string | null>;
  /** How well this browser remembers a chat. */
  readonly memory: Memory;
}

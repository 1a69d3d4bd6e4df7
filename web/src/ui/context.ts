import type { Attention } from "../domain/alerts.ts";
import type { Clock } from "../domain/ports.ts";
import type { Catalogue, Dates } from "../text/index.ts";

/** What every view needs. */
export interface Context {
  readonly words: Catalogue;
  readonly dates: Dates;
  readonly clock: Clock;
  readonly attention: Attention;
}

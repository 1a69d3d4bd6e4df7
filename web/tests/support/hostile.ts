import { readFileSync } from "node:fs";
import { join } from "node:path";

declare const REPOSITORY: string;

export interface Hostile {
  readonly kind: string;
  readonly text: string;
}

/** The table of `hostile.json`; what stands there once with a number is repeated so often. */
export const HOSTILE: readonly Hostile[] = (JSON.parse(readFileSync(join(REPOSITORY, "web/tests/hostile.json"), "utf8")) as (Hostile & { times?: number })[]).map(
  ({ kind, text, times = 1 }) => ({ kind, text: text.repeat(times) }),
);

/** Repeatable random numbers from 0 up to, but not including, 1 (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

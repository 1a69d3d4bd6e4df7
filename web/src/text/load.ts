import { pause } from "../domain/ports.ts";
import type { Clock } from "../domain/ports.ts";
import type { Catalogue } from "./en.ts";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/**
 * Asks for a catalogue until it is there: without words there is nothing to show. `troubled` is called when
 * the first try fails. `attempt` counts from 0.
 */
export async function loadWords(
  load: (attempt: number) => Promise<Catalogue>,
  clock: Pick<Clock, "after">,
  troubled: () => void,
): Promise<Catalogue> {
  for (let attempt = 0, delay = FIRST_DELAY_MS; ; attempt += 1, delay = Math.min(delay * 2, LONGEST_DELAY_MS)) {
    try {
      return await load(attempt);
    } catch {
      if (attempt === 0) troubled();
    }
    await pause(clock, delay);
  }
}

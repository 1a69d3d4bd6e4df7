import type { Clock, Random } from "../domain/ports.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/** The largest multiple of 26 in a byte: bytes from here on would make some letters likelier. */
const FAIR = 26 * 9;

export const systemRandom: Random = {
  fraction: () => Math.random(),
  letters(count) {
    let letters = "";
    while (letters.length < count) {
      for (const byte of crypto.getRandomValues(new Uint8Array(count))) {
        if (byte < FAIR && letters.length < count) letters += LETTERS.charAt(byte % LETTERS.length);
      }
    }
    return letters;
  },
};

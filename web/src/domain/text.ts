/** Limits of what a guest writes. */

/** Characters (code points) of one message. */
export const MESSAGE_LENGTH = 4_000;

/**
 * Bytes of one message inside the encryption. With padding, base64 and the envelope this stays
 * below the 16 KiB that the bridge takes.
 */
export const MESSAGE_BYTES = 10_000;

/** Characters (code points) of a name, after trimming. */
export const NAME_LENGTH = 40;

const utf8 = new TextEncoder();

export function lengthOf(text: string): number {
  return [...text].length;
}

/** As it is sent. */
export function tidy(typed: string): string {
  return typed.replace(/\r\n?/g, "\n").trim();
}

export function isTooLong(message: string): boolean {
  return room(message) < 0;
}

/** How many characters more there is room for; below zero, how many there are too many. Scripts with long codes have less room. */
export function room(message: string): number {
  const length = lengthOf(message);
  // As JSON, because that is what gets encrypted and a quote or a line break takes two bytes there.
  const bytes = utf8.encode(JSON.stringify(message)).length;
  const perCharacter = Math.max(1, bytes / Math.max(1, length));
  return Math.min(MESSAGE_LENGTH - length, Math.floor((MESSAGE_BYTES - bytes) / perCharacter));
}

/** What a guest typed as their name, or `null` if that can't be one. The bridge looks closer. */
export function cleanName(typed: string): string | null {
  const name = typed.trim().replace(/\s+/g, " ");
  return name !== "" && lengthOf(name) <= NAME_LENGTH ? name : null;
}

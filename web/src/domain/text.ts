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

export function isTooLong(message: string): boolean {
  // As JSON, because that is what gets encrypted and a quote or a line break takes two bytes there.
  return lengthOf(message) > MESSAGE_LENGTH || utf8.encode(JSON.stringify(message)).length > MESSAGE_BYTES;
}

/** What a guest typed as their name, or `null` if that can't be one. The bridge looks closer. */
export function cleanName(typed: string): string | null {
  const name = typed.trim().replace(/\s+/g, " ");
  return name !== "" && lengthOf(name) <= NAME_LENGTH ? name : null;
}

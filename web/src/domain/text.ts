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

/** As it is sent. Half of a surrogate pair is no character: nothing can encode it. */
export function tidy(typed: string): string {
  return typed.replace(/\r\n?/g, "\n").replace(/\p{Cs}/gu, "\uFFFD").trim();
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

/** Code points of another person's name, beyond which it would push the words around it away. */
const SHOWN_LENGTH = 64;
/** A guest's name has up to 120, and its label must stay (`bridge/src/guest.rs`). */
export const LABELLED_LENGTH = 132;

/**
 * A name that somebody else chose, fit to stand in a sentence: one line, nothing in it that turns or hides
 * text, no towers of marks. `otherwise`: if nothing visible is left.
 */
export function shownName(chosen: string, otherwise: string, length = SHOWN_LENGTH): string {
  const name = chosen
    .replace(/[\s\p{Z}\u2800\u3164\u115F\u1160\uFFA0]/gu, " ")
    .replace(/(?![\u200C\u200D])[\p{C}\u034F\u180B-\u180F]/gu, "")
    .replace(/(\p{M}{4})\p{M}+/gu, "$1")
    .replace(/ +/g, " ")
    .trim();
  if (!/[\p{L}\p{N}\p{P}\p{S}]/u.test(name)) return otherwise;
  const letters = [...name];
  return letters.length <= length ? name : `${letters.slice(0, length - 1).join("")}…`;
}

/** What a guest typed as their name, or `null` if that can't be one. The bridge looks closer. */
export function cleanName(typed: string): string | null {
  const name = typed.replace(/\p{Cs}/gu, "").trim().replace(/\s+/g, " ");
  return name !== "" && lengthOf(name) <= NAME_LENGTH ? name : null;
}

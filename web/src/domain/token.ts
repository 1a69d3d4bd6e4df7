/** The secret in a link's fragment. */

/** Crockford's base32 in small letters; 26 of them are 130 random bits. */
const TOKEN = /^[0-9a-hjkmnp-tv-z]{26}/;

export type Fragment =
  | { readonly kind: "none" }
  | { readonly kind: "malformed" }
  | { readonly kind: "token"; readonly token: string };

/**
 * Reads `location.hash`. Messengers glue the sentence's punctuation or a bracket to a link, and some
 * keyboards write capitals: both are forgiven. A longer run of letters is not, since it isn't known
 * which of them belong to the token.
 */
export function readFragment(hash: string): Fragment {
  const text = decode(hash.replace(/^#/, "")).trim().toLowerCase();
  if (text === "") return { kind: "none" };
  const token = TOKEN.exec(text)?.[0];
  if (token === undefined || /[\p{L}\p{N}]/u.test(text.slice(token.length))) return { kind: "malformed" };
  return { kind: "token", token };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Encryption of what is stored: AES-GCM with a key that no script can read out. */

export interface Wrapped {
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly data: ArrayBuffer;
}

const utf8 = new TextEncoder();

/** One for each chat, so that erasing the chat's row makes everything else of it unreadable. */
export function newWrappingKey(): Promise<CryptoKey> {
  return crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** `place` is authenticated: what was stored for one row can't be passed off as another's. */
export async function wrap(key: CryptoKey, place: string, value: unknown): Promise<Wrapped> {
  // Random and 96 bits: safe for 2^32 values under one key (NIST SP 800-38D, 8.3).
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const parameters = { name: "AES-GCM", iv, additionalData: utf8.encode(place) };
  const data = await crypto.subtle.encrypt(parameters, key, utf8.encode(JSON.stringify(value)));
  return { iv, data };
}

/** Throws when the value is not what was wrapped for this place. */
export async function unwrap(key: CryptoKey, place: string, { iv, data }: Wrapped): Promise<unknown> {
  const parameters = { name: "AES-GCM", iv, additionalData: utf8.encode(place) };
  return JSON.parse(new TextDecoder().decode(await crypto.subtle.decrypt(parameters, key, data)));
}

/** SHA-256 in hexadecimal digits. */
export async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Readers for JSON that came from elsewhere: each takes an unknown value and gives it back with
 * its type, or throws a `ShapeError` that names the place and never the value.
 */

export class ShapeError extends Error {
  override readonly name = "ShapeError";
  constructor(place: string, expected: string) {
    super(`${place}: expected ${expected}`);
  }
}

export type Json = Readonly<Record<string, unknown>>;

export function object(value: unknown, place: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ShapeError(place, "an object");
  return value as Json;
}

export function string(value: unknown, place: string): string {
  if (typeof value !== "string") throw new ShapeError(place, "a string");
  return value;
}

export function boolean(value: unknown, place: string): boolean {
  if (typeof value !== "boolean") throw new ShapeError(place, "true or false");
  return value;
}

/** A count, a sequence number or a time: whole, not negative, exact in a double. */
export function whole(value: unknown, place: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new ShapeError(place, "a whole number");
  return value;
}

/** `null` and "not there" both mean: not known. */
export function optional<T>(value: unknown, place: string, read: (value: unknown, place: string) => T): T | null {
  return value === undefined || value === null ? null : read(value, place);
}

/** JSON text of an object. */
export function parseObject(text: string, place: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ShapeError(place, "JSON");
  }
  return object(value, place);
}

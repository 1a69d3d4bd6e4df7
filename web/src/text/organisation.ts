/** Who runs this service: their name, their terms, and texts in their own words (`docs/protocol.md`). */

import type { Catalogue } from "./en.ts";
import { OVERRIDABLE } from "./overridable.ts";
import type { OverridableKey } from "./overridable.ts";

export interface Organisation {
  readonly name: string | null;
  /** An absolute address; http or https. */
  readonly termsUrl: string | null;
  /** By language, then by the key of `OVERRIDABLE`; not checked yet. */
  readonly texts: Readonly<Record<string, unknown>>;
}

export const NOBODY: Organisation = { name: null, termsUrl: null, texts: {} };

const NAME_LENGTH = 80;
const TEXT_LENGTH = 600;
/** What could turn or hide the words around it, or break the line. */
const UNFIT = /[\p{Cc}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;

/** Reads `organisation.json`. What is not as it should be is left out: the page says it in its own words then. */
export function readOrganisation(json: string): Organisation {
  const root = object(parse(json));
  return { name: readName(root["name"]), termsUrl: readUrl(root["terms_url"]), texts: object(root["texts"]) };
}

function readName(value: unknown): string | null {
  if (typeof value !== "string" || UNFIT.test(value)) return null;
  const name = value.trim();
  return name === "" || [...name].length > NAME_LENGTH ? null : name;
}

function readUrl(value: unknown): string | null {
  try {
    const { href, protocol } = new URL(typeof value === "string" ? value : "");
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null;
  }
}

/** The page's words, with the organisation's own where they have any. */
export function inTheirWords(words: Catalogue, { texts }: Organisation): Catalogue {
  const own = object(member(texts, words.language));
  let result: object = words;
  for (const key of Object.keys(OVERRIDABLE) as OverridableKey[]) {
    const text = member(own, key);
    if (isFit(text, OVERRIDABLE[key])) result = replaced(result, key.split("."), filler(text, OVERRIDABLE[key]));
  }
  return result as Catalogue;
}

/** The same placeholders as the page's own text, each at least once, and no others. */
function isFit(text: unknown, parameters: readonly string[]): text is string {
  if (typeof text !== "string" || text.trim() === "" || text.length > TEXT_LENGTH || UNFIT.test(text)) return false;
  const found = new Set([...text.matchAll(/\{([^{}]*)\}/g)].map(([, name]) => name));
  return found.size === parameters.length && parameters.every((name) => found.has(name));
}

function filler(text: string, parameters: readonly string[]): string | ((...values: readonly string[]) => string) {
  if (parameters.length === 0) return text;
  return (...values) => text.replace(/\{([^{}]*)\}/g, (_, name: string) => values[parameters.indexOf(name)] ?? "");
}

function replaced(node: object, [key = "", ...rest]: readonly string[], leaf: unknown): object {
  return { ...node, [key]: rest.length === 0 ? leaf : replaced(object(member(node, key)), rest, leaf) };
}

/** Nothing that every object has by itself. */
function member(node: object, key: string): unknown {
  return Object.hasOwn(node, key) ? (node as Readonly<Record<string, unknown>>)[key] : undefined;
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

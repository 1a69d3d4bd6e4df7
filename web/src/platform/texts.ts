/** Fetches what the page says: one language, and what the organisation adds. */

import type { Catalogue, Language } from "../text/index.ts";
import { NOBODY, readOrganisation } from "../text/organisation.ts";
import type { Organisation } from "../text/organisation.ts";
import { pageBase } from "./address.ts";
import { digest } from "./wrapping.ts";

/** Put in by the build: the file of each language. */
declare const TEXT_FILES: Readonly<Record<Language, string>>;

const PATIENCE_MS = 10_000;

export async function fetchWords(language: Language, attempt: number): Promise<Catalogue> {
  // A browser that failed to load a module may remember that under its address.
  const again = attempt === 0 ? "" : `?${attempt}`;
  const loaded: unknown = await import(new URL(TEXT_FILES[language] + again, pageBase()).href);
  return (loaded as { readonly catalogue: Catalogue }).catalogue;
}

/** Nobody, when there is no answer or none that can be read. */
export async function fetchOrganisation(): Promise<Organisation> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
  try {
    const response = await fetch(new URL("organisation.json", pageBase()), {
      cache: "no-cache",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
      signal: abort.signal,
    });
    return response.ok ? readOrganisation(await response.text()) : NOBODY;
  } catch {
    return NOBODY;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The first 12 hexadecimal digits of SHA-256 over the list of the page's files and their hashes, which tells one
 * build from another (`docs/protocol.md`). `null`: the list didn't come.
 */
export async function fetchBuildId(): Promise<string | null> {
  try {
    const response = await fetch(new URL("manifest.sha256", pageBase()), { cache: "no-cache", credentials: "omit", redirect: "error" });
    return response.ok ? (await digest(await response.text())).slice(0, 12) : null;
  } catch {
    return null;
  }
}

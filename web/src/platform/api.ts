import { ApiError } from "../domain/ports.ts";
import type { Api } from "../domain/ports.ts";
import { parseHttpError, parseJoinAnswer, parseLinkInfo } from "../protocol.ts";
import { apiUrl } from "./address.ts";

const PATIENCE_MS = 20_000;

export const httpApi: Api = {
  link: async (token) => parse(parseLinkInfo, await post("link", { token })),
  join: async (request) => parse(parseJoinAnswer, await post("join", request)),
};

async function post(name: "link" | "join", body: object): Promise<string> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
  try {
    const response = await fetch(apiUrl(name), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
      signal: abort.signal,
    });
    const text = await response.text();
    if (response.ok) return text;
    throw new ApiError(parse(parseHttpError, text));
  } catch (error) {
    throw error instanceof ApiError ? error : offline();
  } finally {
    clearTimeout(timer);
  }
}

/** What isn't an answer of the bridge came from something between: a proxy's error page, say. */
function parse<T>(read: (text: string) => T, text: string): T {
  try {
    return read(text);
  } catch {
    throw offline();
  }
}

function offline(): ApiError {
  return new ApiError({ code: "offline", retryAfterMs: null });
}

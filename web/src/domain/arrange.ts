/** How the messages of a chat lie on the page: under which day, in which group, below which line. */

import type { Entry } from "./records.ts";

export type Row =
  | { readonly kind: "day"; readonly key: string; readonly ts: number }
  /** Above it everything was read. */
  | { readonly kind: "unread"; readonly key: "unread" }
  | {
      readonly kind: "entry"; readonly key: string; readonly entry: Entry;
      /** It begins what one person says in a row. */
      readonly first: boolean;
      /** So many of its kind, it and those after it, are said in its one line. */
      readonly times: number;
      /** It is said in the line of one before it. */
      readonly folded: boolean;
    };

/** After a pause as long as this one begins anew. */
const PAUSE_MS = 5 * 60_000;

/** `dayKey` is the same for two moments of one day where the reader is; `unread` the place of the first unread entry. */
export function arrange(entries: readonly Entry[], unread: number | null, dayKey: (ts: number) => string): readonly Row[] {
  const rows: Row[] = [];
  let lastDay: { readonly key: string; readonly ts: number } | null = null;
  let last: Entry | null = null;
  /** Where the line stands that says how many of its kind there are. */
  let line = 0;
  for (const entry of entries) {
    const key = dayKey(entry.ts);
    // The clocks of both sides differ, so around midnight they may be at odds; a day comes only once.
    if (lastDay === null || (key !== lastDay.key && entry.ts > lastDay.ts)) {
      rows.push({ kind: "day", key, ts: entry.ts });
      lastDay = { key, ts: entry.ts };
      last = null;
    }
    if (entry.pos === unread) {
      rows.push({ kind: "unread", key: "unread" });
      last = null;
    }
    const folded = last !== null && sameLine(last, entry);
    const first = last === null || last.kind !== entry.kind || Math.abs(entry.ts - last.ts) > PAUSE_MS;
    const said = rows[line];
    if (!folded) line = rows.length;
    else if (said?.kind === "entry") rows[line] = { ...said, times: said.times + 1 };
    rows.push({ kind: "entry", key: String(entry.pos), entry, first, times: 1, folded });
    last = entry;
  }
  return rows;
}

/** Ten photos in a row are one line. */
function sameLine(a: Entry, b: Entry): boolean {
  if (a.kind !== "theirs" || b.kind !== "theirs") return false;
  return a.says.kind === "unsupported" && b.says.kind === "unsupported" && a.says.what === b.says.what;
}

/**
 * Says new messages aloud, each once. The list itself keeps quiet: it also changes when a tick comes, a
 * line is folded or a button appears, and none of that is news.
 */

import type { ChatModel } from "../domain/model.ts";
import type { Entry } from "../domain/records.ts";
import type { Context } from "./context.ts";
import { h } from "./dom.ts";
import { instead } from "./wording.ts";

export interface Announcer {
  readonly element: HTMLElement;
  /** Entries came or changed. */
  hear(entries: readonly Entry[]): void;
}

/** More at once are counted instead of read: somebody was away. */
const READ_OUT = 3;
/** Said lines stay so long that no screen reader misses them, and no longer. */
const KEEP = 6;

export function announcer(context: Pick<Context, "words" | "numbers">, chat: ChatModel): Announcer {
  const { words, numbers } = context;
  const element = h("div", { class: "spoken", "aria-live": "polite", "aria-relevant": "additions" });
  /** What was said of which place. What was there when the page opened is no news. */
  const told = new Map<number, string>();
  for (const entry of chat.history()) if (entry.kind === "theirs") told.set(entry.pos, entry.says.kind);

  const hear = (entries: readonly Entry[]): void => {
    const lines: string[] = [];
    const host = chat.view.get().chat.host.displayName;
    for (const entry of entries) {
      if (entry.kind !== "theirs") continue;
      const before = told.get(entry.pos);
      const { says } = entry;
      told.set(entry.pos, says.kind);
      // What could not be read and now can is news again; a removal is not.
      if (before !== undefined && (before !== "undecryptable" || says.kind === "undecryptable")) continue;
      if (says.kind !== "removed") lines.push(says.kind === "text" ? `${host}: ${says.body}` : instead(context, says, "soon", 1)(host));
    }
    const said = lines.length > READ_OUT ? [words.chat.newCount(numbers.counted(lines.length))] : lines;
    element.append(...said.map((line) => h("p", {}, line)));
    while (element.childElementCount > KEEP) element.firstElementChild?.remove();
  };
  return { element, hear };
}

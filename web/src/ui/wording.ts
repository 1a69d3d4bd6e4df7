/** What the page says in place of a message that has no text to show. */

import type { Says } from "../domain/records.ts";
import type { Context } from "./context.ts";

/** How a key that is missing stands. `late`: one that was to come would have come. `held`: the guest doubts who sent it. */
export type KeyWait = "soon" | "late" | "held";

/** The sentence, once it is given the host's name. `times`: so many of the same kind, one after the other. */
export function instead({ words, numbers }: Pick<Context, "words" | "numbers">, says: Exclude<Says, { kind: "text" }>, key: KeyWait, times: number): (host: string) => string {
  const { chat } = words;
  switch (says.kind) {
    case "removed":
      return () => chat.removed;
    case "unsupported":
      return (host) => chat.unsupported(host, says.what, numbers.counted(times));
    case "undecryptable":
      if (says.reason !== "no_key") return () => chat.unreadable;
      return key === "soon" ? () => chat.noKey : key === "held" ? chat.held : chat.noKeyStill;
  }
}

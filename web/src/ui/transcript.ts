/**
 * A chat as a text file. Each message begins a line with its time; whatever follows of it is indented, and
 * what could break a line, hide or turn text is written out. So no message can look like another one.
 */

import type { Entry, JoinedChat } from "../domain/records.ts";
import type { Context } from "./context.ts";
import { instead } from "./wording.ts";

const INDENT = "    ";
/** All that ends a line somewhere. */
const LINE_ENDS = /\r\n?|[\n\v\f\u0085\u2028\u2029]/;
/** Controls, and what turns the direction of text or hides it. Not the joiners and marks that scripts and emoji need. */
const CONTROLS = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200B\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB]|\p{Cs}/gu;

/** `now` in milliseconds since the epoch. */
export function transcript(context: Pick<Context, "words" | "dates" | "numbers">, chat: JoinedChat, entries: readonly Entry[], now: number): string {
  const { words, dates } = context;
  const text = words.chat.transcript;
  const host = oneLine(chat.host.displayName);
  const guest = oneLine(chat.name);
  const head = [
    text.title,
    text.saved(dates.stamp(now)),
    text.between(`${host} (${oneLine(chat.host.userId)})`, guest),
    text.times(dates.zone()),
    text.open,
  ];
  return `${[...head, "", ...entries.map((entry) => line(entry)), ""].join("\n")}`;

  function line(entry: Entry): string {
    const time = dates.stamp(entry.ts);
    switch (entry.kind) {
      case "note":
        return `${time}  -- ${words.chat.notes[entry.what](host)}`;
      case "mine": {
        const isHere = entry.state === "waiting" || entry.state === "failed";
        const mark = isHere && entry.removal === undefined ? ` [${words.chat.states[entry.state]}]` : "";
        return `${time}  -> ${guest}${mark}: ${indented(entry.removal === undefined ? entry.body : words.chat.removed)}`;
      }
      case "theirs": {
        const { says } = entry;
        if (says.kind === "text") return `${time}  <- ${host}: ${indented(says.style === "m.emote" ? `* ${says.body}` : says.body)}`;
        return `${time}  -- ${instead(context, says, "late", 1)(host)}`;
      }
    }
  }
}

function indented(body: string): string {
  return body.split(LINE_ENDS).map(visible).join(`\n${INDENT}`);
}

function oneLine(name: string): string {
  return visible(name.split(LINE_ENDS).join(" "));
}

function visible(text: string): string {
  return text.replace(CONTROLS, (control) => `<U+${(control.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}>`);
}

/** One message, or one line of the page itself. */

import type { ChatModel } from "../domain/chat.ts";
import type { Entry, Mine, Note, Says, Theirs } from "../domain/records.ts";
import type { Context } from "./context.ts";
import { h, name, sentence, setAttribute } from "./dom.ts";
import { icon } from "./icons.ts";

export interface Bubble {
  readonly element: HTMLElement;
  /** The same entry, changed. */
  show(entry: Entry): void;
}

export function bubble(context: Context, chat: ChatModel, entry: Entry): Bubble {
  switch (entry.kind) {
    case "mine":
      return mine(context, chat, entry);
    case "theirs":
      return theirs(context, chat.view.get().chat.host.displayName, entry);
    case "note":
      return note(context, chat.view.get().chat.host.displayName, entry);
  }
}

/** Who speaks is said aloud too: sides and colours are only for eyes. */
function frame(context: Context, from: "me" | "host", speaker: string, ts: number, ...parts: readonly Node[]): HTMLElement {
  const side = from === "me" ? "mine" : "theirs";
  const clock = h("time", { datetime: new Date(ts).toISOString() }, context.dates.time(ts));
  const meta = h("span", { class: "meta" }, clock);
  return h("div", { class: `message ${side}`, "data-from": from }, h("span", { class: "spoken" }, name(speaker), ": "), ...parts, meta);
}

function mine(context: Context, chat: ChatModel, first: Mine): Bubble {
  const { words } = context;
  const body = h("span", { class: "body", dir: "auto" }, first.body);
  const element = frame(context, "me", words.chat.from.mine, first.ts, body);
  const tick = h("span", { class: "tick", role: "img" });
  element.querySelector(".meta")?.append(tick);
  const again = h("button", { type: "button", class: "again" }, words.chat.again);
  again.addEventListener("click", () => void chat.retry(first.pos));

  const show = (entry: Entry): void => {
    if (entry.kind !== "mine") return;
    element.dataset["state"] = entry.state;
    setAttribute(element, "data-n", entry.n === null ? false : String(entry.n));
    setAttribute(element, "data-event-id", entry.eventId ?? false);
    tick.setAttribute("aria-label", words.chat.states[entry.state]);
    tick.replaceChildren(icon(entry.state));
    if (entry.state === "failed" && chat.view.get().chat.ending === null) element.append(again);
    else again.remove();
  };
  show(first);
  return { element, show };
}

function theirs(context: Context, host: string, first: Theirs): Bubble {
  const body = h("span", { class: "body", dir: "auto" });
  const element = frame(context, "host", context.words.chat.from.host(host), first.ts, body);
  element.dataset["eventId"] = first.eventId;
  const show = (entry: Entry): void => {
    if (entry.kind !== "theirs") return;
    const { says } = entry;
    // A line of the page must not look like words of the host, nor the other way round.
    element.classList.toggle("line", says.kind !== "text");
    element.dataset["says"] = says.kind;
    body.classList.toggle("soft", says.kind === "text" && says.style !== "m.text");
    body.replaceChildren(spoken(context, host, says));
  };
  show(first);
  return { element, show };
}

function spoken({ words }: Context, host: string, says: Says): Node {
  const { chat } = words;
  switch (says.kind) {
    case "text":
      return document.createTextNode(says.body);
    case "removed":
      return document.createTextNode(chat.removed);
    case "undecryptable":
      return document.createTextNode(says.reason === "no_key" ? chat.noKey : chat.unreadable);
    case "unsupported": {
      const { what } = says;
      if (what === "unencrypted") return sentence(chat.unencrypted, host);
      return sentence((person) => chat.unsupported(person, what), host);
    }
  }
}

function note({ words }: Context, host: string, { what }: Note): Bubble {
  const element = h("div", { class: "note" }, sentence(words.chat.notes[what], host));
  return { element, show: () => undefined };
}

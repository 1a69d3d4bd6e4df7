/** One message, or one line of the page itself. */

import type { ChatModel } from "../domain/model.ts";
import type { Cancel } from "../domain/observe.ts";
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
  const button = (label: string, run: (pos: number) => Promise<void>): HTMLElement => {
    const made = h("button", { type: "button", class: "again" }, label);
    made.addEventListener("click", () => void run(first.pos));
    return made;
  };
  const why = h("p", {});
  const remedies = [button(words.chat.again, (pos) => chat.retry(pos)), button(words.chat.remove, (pos) => chat.remove(pos))];
  const failure = h("div", { class: "failure" }, why, ...remedies);

  const show = (entry: Entry): void => {
    if (entry.kind !== "mine") return;
    element.dataset["state"] = entry.state;
    setAttribute(element, "data-n", entry.n === null ? false : String(entry.n));
    setAttribute(element, "data-event-id", entry.eventId ?? false);
    tick.setAttribute("aria-label", words.chat.states[entry.state]);
    tick.replaceChildren(icon(entry.state));
    const { chat: now, halt } = chat.view.get();
    why.textContent = words.chat.failures[entry.why ?? "refused"];
    remedies.forEach((remedy) => (remedy.hidden = now.ending !== null || halt !== null));
    if (entry.state === "failed") element.append(failure);
    else failure.remove();
  };
  show(first);
  return { element, show };
}

/** Keys come before their messages; one that is so much behind is most likely lost. */
const KEY_PATIENCE_MS = 60_000;

function theirs(context: Context, host: string, first: Theirs): Bubble {
  const body = h("span", { class: "body", dir: "auto" });
  const element = frame(context, "host", context.words.chat.from.host(host), first.ts, body);
  element.dataset["eventId"] = first.eventId;
  let cancel: Cancel = () => undefined;
  const show = (entry: Entry): void => {
    if (entry.kind !== "theirs") return;
    const { says } = entry;
    cancel();
    // A line of the page must not look like words of the host, nor the other way round.
    element.classList.toggle("line", says.kind !== "text");
    element.dataset["says"] = says.kind;
    body.classList.toggle("soft", says.kind === "text" && says.style !== "m.text");
    const left = entry.ts + KEY_PATIENCE_MS - context.clock.now();
    body.replaceChildren(spoken(context, host, says, left <= 0));
    // The host's clock may be ahead of ours.
    if (isKeyless(says) && left > 0) cancel = context.clock.after(Math.min(left, KEY_PATIENCE_MS), () => show(entry));
  };
  show(first);
  return { element, show };
}

function isKeyless(says: Says): boolean {
  return says.kind === "undecryptable" && says.reason === "no_key";
}

/** `late`: a key that was to come would have come. */
function spoken({ words }: Context, host: string, says: Says, late: boolean): Node {
  const { chat } = words;
  switch (says.kind) {
    case "text":
      return document.createTextNode(says.body);
    case "removed":
      return document.createTextNode(chat.removed);
    case "undecryptable":
      if (isKeyless(says) && late) return sentence(chat.noKeyStill, host);
      return document.createTextNode(isKeyless(says) ? chat.noKey : chat.unreadable);
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

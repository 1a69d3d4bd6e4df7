/** One message, or one line of the page itself. */

import type { Row } from "../domain/arrange.ts";
import { isOnlyEmoji } from "../domain/emoji.ts";
import type { ChatModel } from "../domain/model.ts";
import type { Cancel } from "../domain/observe.ts";
import type { Entry, Mine, Note, Says, Theirs } from "../domain/records.ts";
import { shorten } from "../domain/reply.ts";
import type { Context } from "./context.ts";
import { h, name, sentence, setAttribute } from "./dom.ts";
import { icon } from "./icons.ts";
import { linked } from "./linked.ts";
import { instead } from "./wording.ts";
import type { KeyWait } from "./wording.ts";

export type Place = Pick<Extract<Row, { kind: "entry" }>, "first" | "times" | "folded">;

export interface Bubble {
  readonly element: HTMLElement;
  /** The same entry, changed. */
  show(entry: Entry): void;
  /** How it lies among the others. */
  place(place: Place): void;
  readonly close: Cancel;
}

const nothing = (): void => undefined;

export function bubble(context: Context, chat: ChatModel, entry: Entry): Bubble {
  switch (entry.kind) {
    case "mine":
      return mine(context, chat, entry);
    case "theirs":
      return theirs(context, chat, entry);
    case "note":
      return note(context, chat.view.get().chat.host.displayName, entry);
  }
}

/** Who speaks is said aloud too: sides and colours are only for eyes. */
function frame(context: Context, from: "me" | "host", speaker: string, { pos, ts }: Entry, quote: HTMLElement | null, body: HTMLElement): HTMLElement {
  const side = from === "me" ? "mine" : "theirs";
  const clock = h("time", { datetime: new Date(ts).toISOString() }, context.dates.time(ts));
  // The text's direction is its own; the time beside it keeps the page's.
  const meta = h("span", { class: "meta", dir: document.dir || "ltr" }, clock);
  const text = h("div", { class: "text", dir: "auto" }, body, meta);
  const spoken = h("span", { class: "spoken" }, name(speaker), ": ");
  return h("div", { class: `message ${side}`, "data-from": from, "data-pos": String(pos) }, spoken, quote, text);
}

function placed(element: HTMLElement, { first, folded }: Place): void {
  element.classList.toggle("first", first);
  element.hidden = folded;
}

function mine(context: Context, chat: ChatModel, first: Mine): Bubble {
  const { words } = context;
  const body = h("span", { class: "body" });
  const element = frame(context, "me", words.chat.from.mine, first, null, body);
  const tick = h("span", { class: "tick", role: "img" });
  element.querySelector(".meta")?.append(tick);
  const button = (label: string, run: (pos: number) => Promise<void>): HTMLElement => {
    const made = h("button", { type: "button", class: "again" }, label);
    made.addEventListener("click", () => {
      // The button goes with what it did; who came by keyboard stays among the messages.
      if (made.matches(":focus")) element.closest<HTMLElement>("[role=log]")?.focus({ preventScroll: true });
      void run(first.pos);
    });
    return made;
  };
  const takeBack = button(words.chat.takeBack, (pos) => chat.remove(pos));
  const options = more(context, [copier(context, body), takeBack]);
  const why = h("p", {});
  const remedies = [button(words.chat.again, (pos) => chat.retry(pos)), button(words.chat.remove, (pos) => chat.remove(pos))];
  const failure = h("div", { class: "failure" }, why, ...remedies);

  const show = (entry: Entry): void => {
    if (entry.kind !== "mine") return;
    element.dataset["state"] = entry.state;
    setAttribute(element, "data-n", entry.n === null ? false : String(entry.n));
    setAttribute(element, "data-event-id", entry.eventId ?? false);
    const { chat: now, halt } = chat.view.get();
    const { removal } = entry;
    setAttribute(element, "data-says", removal === undefined ? false : "removed");
    element.classList.toggle("line", removal !== undefined);
    if (removal === undefined) write(element, body, entry.body);
    else state(element, body, gone(context, now.host.displayName, removal));
    tick.setAttribute("aria-label", words.chat.states[entry.state]);
    tick.replaceChildren(icon(entry.state));
    tick.hidden = removal !== undefined;
    why.textContent = words.chat.failures[entry.why ?? "refused"];
    const isOver = now.ending !== null || halt !== null;
    remedies.forEach((remedy) => (remedy.hidden = isOver));
    if (entry.state === "failed") element.append(failure);
    else failure.remove();
    takeBack.hidden = isOver;
    if (entry.state === "failed" || removal !== undefined) options.remove();
    else element.append(options);
  };
  show(first);
  return { element, show, place: (place) => placed(element, place), close: nothing };
}

/** A person's words. Only when they are others than before: a tick must not undo what somebody selects. */
function write(element: HTMLElement, body: HTMLElement, text: string): void {
  if (body.textContent === text) return;
  body.replaceChildren(...linked(text));
  element.classList.toggle("big", isOnlyEmoji(text));
}

function gone({ words }: Context, host: string, removal: NonNullable<Mine["removal"]>): Node | string {
  if (removal === "failed") return sentence(words.chat.removedHere, host);
  return removal === "asked" ? words.chat.removing : words.chat.removed;
}

/** What is not only a person's words. */
function state(element: HTMLElement, body: HTMLElement, text: Node | string): void {
  body.replaceChildren(text);
  element.classList.remove("big");
}

/** So long a button says that it has done its work. */
const DONE_MS = 2_000;

/** Copies the words alone, without the time and the name. */
function copier({ words, clock }: Context, body: HTMLElement): HTMLElement {
  const button = h("button", { type: "button", class: "again" }, words.chat.copy);
  button.addEventListener("click", () => {
    const done = (): void => {
      button.textContent = words.chat.copied;
      clock.after(DONE_MS, () => (button.textContent = words.chat.copy));
    };
    // Some browsers inside of apps refuse; then the words are selected, to be copied by hand.
    navigator.clipboard.writeText(body.textContent ?? "").then(done, () => getSelection()?.selectAllChildren(body));
  });
  return button;
}

/** A button that shows what can be done with a message. */
function more({ words }: Context, actions: readonly HTMLElement[]): HTMLElement {
  const row = h("div", { class: "choices", hidden: true }, ...actions);
  const button = h("button", { type: "button", class: "more", "aria-label": words.chat.more, "aria-expanded": "false" }, icon("more"));
  button.addEventListener("click", () => {
    row.hidden = !row.hidden;
    button.setAttribute("aria-expanded", String(!row.hidden));
  });
  return h("div", {}, button, row);
}

/** Keys come before their messages; one that is so much behind is most likely lost. */
const KEY_PATIENCE_MS = 60_000;

function theirs(context: Context, chat: ChatModel, first: Theirs): Bubble {
  const host = chat.view.get().chat.host.displayName;
  const body = h("span", { class: "body" });
  const quote = h("blockquote", { class: "quote", dir: "auto", hidden: true });
  const element = frame(context, "host", context.words.chat.from.host(host), first, quote, body);
  element.dataset["eventId"] = first.eventId;
  const options = more(context, [copier(context, body)]);
  let cancel: Cancel = nothing;
  let count = 1;
  let shown: Entry = first;
  const show = (entry: Entry): void => {
    if (entry.kind !== "theirs") return;
    const { says } = entry;
    shown = entry;
    cancel();
    // A line of the page must not look like words of the host, nor the other way round.
    element.classList.toggle("line", says.kind !== "text");
    element.dataset["says"] = says.kind;
    setAttribute(element, "data-what", says.kind === "unsupported" && says.what);
    const answered = says.kind === "text" ? says.replyTo : undefined;
    quote.hidden = answered === undefined;
    if (says.kind === "text" && answered !== undefined) quote.replaceChildren(...quoted(context, chat, answered, says.quote));
    body.classList.toggle("soft", says.kind === "text" && says.style !== "m.text");
    const left = entry.ts + KEY_PATIENCE_MS - context.clock.now();
    if (says.kind === "text" && says.style !== "m.emote") write(element, body, says.body);
    else state(element, body, spoken(context, host, says, isHeld(chat) ? "held" : left > 0 ? "soon" : "late", count));
    if (says.kind === "text") element.append(options);
    else options.remove();
    // The host's clock may be ahead of ours.
    if (isKeyless(says) && left > 0) cancel = context.clock.after(Math.min(left, KEY_PATIENCE_MS), () => show(entry));
  };
  show(first);
  const place = (now: Place): void => {
    placed(element, now);
    if (now.times === count) return;
    count = now.times;
    show(shown);
  };
  return { element, show, place, close: () => cancel() };
}

/** Whom a message answers, and in which words. */
function quoted(context: Context, chat: ChatModel, eventId: string, claimed: string | undefined): Node[] {
  const { words } = context;
  const { host, name: guest } = chat.view.get().chat;
  const heading = (speaker: string): Node => h("strong", {}, h("span", { class: "spoken" }, words.chat.answers, " "), name(speaker));
  const answered = chat.answered(eventId);
  if (answered === null) return [h("span", {}, shorten(claimed ?? words.chat.earlier))];
  if (answered.kind === "theirs") {
    const { says } = answered;
    const text = says.kind === "text" ? shorten(says.body) : spoken(context, host.displayName, says, isHeld(chat) ? "held" : "late", 1);
    return [heading(host.displayName), h("span", {}, text)];
  }
  const { removal, errand, body } = answered;
  const text = errand?.kind === "notice" ? words.notice(errand.what, guest) : body;
  return [heading(words.chat.from.mine), h("span", {}, removal === undefined ? shorten(text) : words.chat.removed)];
}

function isKeyless(says: Says): boolean {
  return says.kind === "undecryptable" && says.reason === "no_key";
}

/** Keys of an identity that the guest doubts open nothing. */
function isHeld(chat: ChatModel): boolean {
  return chat.view.get().blocked === "identity_changed";
}

function spoken(context: Context, host: string, says: Says, key: KeyWait, times: number): Node {
  if (says.kind !== "text") return sentence(instead(context, says, key, times), host);
  const fragment = document.createDocumentFragment();
  fragment.append("* ", name(host), " ", ...linked(says.body));
  return fragment;
}

function note({ words }: Context, host: string, { what }: Note): Bubble {
  const element = h("div", { class: "note" }, sentence(words.chat.notes[what], host));
  return { element, show: nothing, place: nothing, close: nothing };
}

/** The chat's screen: header, banners, messages, and the field or the words of its ending. */

import type { ChatModel, ChatView, Halt } from "../domain/model.ts";
import type { Cancel } from "../domain/observe.ts";
import type { EndReason } from "../protocol.ts";
import { banners } from "./banners.ts";
import { composer } from "./composer.ts";
import type { Context } from "./context.ts";
import { endDialog } from "./dialog.ts";
import { h, name, sentence, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";
import { messageLog } from "./log.ts";
import { menu } from "./menu.ts";
import { options, saveButton } from "./options.ts";
import { safetyPanel } from "./safety.ts";

export function chatScreen(context: Context, chat: ChatModel, erase: () => void, named: (name: string) => void): View {
  const first = chat.view.get();
  const log = messageLog(context, chat);
  const field = composer(context, chat, () => log.toEnd());
  const banner = banners(context, chat);
  const dialog = endDialog(context, first.chat.host.displayName, () => chat.leave());
  const choices = options(context, chat);
  const head = header(context, first, choices.element, () => dialog.open());
  const caption = h("p", { class: "caption" });
  const ending = h("section", { class: "ending", "aria-live": "polite", hidden: true });
  const element = h(
    "main",
    { class: "chat" },
    head.element,
    banner.element,
    log.element,
    h("footer", { class: "foot" }, ending, field.element, caption),
    dialog.element,
  );

  let shown: Over = null;
  let doubted = false;
  const show = (view: ChatView): void => {
    const over = overOf(view);
    named(over === null ? "chat" : (view.chat.ending?.kind ?? over.replaceAll("_", "-")));
    element.classList.toggle("over", over !== null);
    element.classList.toggle("empty", over !== null && chat.history().length === 0);
    head.show(view);
    const isWriting = field.element.contains(document.activeElement);
    field.element.hidden = over !== null;
    caption.hidden = over !== null;
    caption.replaceChildren(...guest(context, view));
    ending.hidden = over === null;
    const isDoubted = view.blocked === "identity_changed";
    if (over === shown && doubted === isDoubted) return;
    doubted = isDoubted;
    log.refresh();
    if (over === shown) return;
    shown = over;
    ending.replaceChildren(...endingWords(context, chat, over, erase));
    // The field is gone; who was in it goes on at the words of the ending.
    const heading = ending.querySelector<HTMLElement>("h1, h2");
    heading?.setAttribute("tabindex", "-1");
    if (isWriting) heading?.focus({ preventScroll: true });
  };
  const cancels: Cancel[] = [chat.view.bind(show), log.close, field.close, banner.close, head.close, choices.close];
  return { element, close: () => cancels.forEach((cancel) => cancel()) };
}

/** Why nothing goes on, or `null`. */
type Over = "leaving" | EndReason | Halt | null;

function overOf({ chat, halt }: ChatView): Over {
  const { ending } = chat;
  return ending === null ? halt : ending.kind === "leaving" ? "leaving" : ending.reason;
}

function endingWords(context: Context, model: ChatModel, over: Over, erase: () => void): Node[] {
  if (over === null) return [];
  const { words } = context;
  const { chat } = model.view.get();
  if (over === "leaving") {
    return [h("h1", {}, words.end.leaving.title), h("p", {}, words.end.leaving.text)];
  }
  const { title, text } = words.endings[over];
  const button = h("button", { type: "button", class: "button plain" }, words.remedies.erase);
  button.addEventListener("click", erase);
  // With nothing to read the header is not shown either, and its heading is this one.
  const isEmpty = model.history().length === 0;
  const save = isEmpty ? null : saveButton(context, model, "button plain");
  return [h(isEmpty ? "h1" : "h2", {}, title), h("p", {}, sentence(text, chat.host.displayName)), h("div", { class: "actions" }, save, button)];
}

/** Who can read, as it is now and not as it was promised. */
function readersOf({ chat, blocked }: ChatView): keyof Context["words"]["chat"]["readers"] {
  if (chat.ending?.kind === "ended" && chat.ending.reason === "third_party") return "third";
  if (blocked === "identity_changed") return "doubted";
  return chat.safety?.code === null ? "unsigned" : "pair";
}

/** Under whose name one writes, and how long that goes. */
function guest({ words, numbers }: Context, { chat }: ChatView): (Node | string)[] {
  return [h("span", {}, sentence(words.chat.you, chat.name)), " ", h("span", {}, words.chat.idle(numbers.span(chat.idleLimitMs)))];
}

/** So long after it was said aloud that the host is typing it is not said again. */
const QUIET_MS = 60_000;

interface Header extends View {
  show(view: ChatView): void;
}

function header(context: Context, first: ChatView, choices: HTMLElement, end: () => void): Header {
  const { words, dates, numbers, clock } = context;
  const who = h("h1", { class: "who" });
  const promise = h("p", { class: "promise" });
  const typing = h("p", { class: "typing", hidden: true });
  const said = h("p", { class: "spoken", role: "status" });
  const under = h("div", { class: "under" }, promise, typing);
  const terms = h("p", { class: "terms" });
  const safety = safetyPanel(context);
  const build = h("p", { class: "help build", hidden: true });
  const panel = menu(words.chat.menu, [terms, safety.element, choices], { label: words.end.item, run: end }, build);
  // Asked for when somebody looks, since hardly anybody does.
  const learnBuild = async (): Promise<void> => {
    const id = await context.build();
    build.hidden = id === null;
    if (id !== null) build.replaceChildren(sentence(words.chat.build, id));
  };
  panel.element.addEventListener("click", () => void learnBuild(), { once: true });
  const initial = h("div", { class: "avatar", "aria-hidden": "true" });
  const element = h(
    "header",
    { class: "head" },
    initial,
    h("div", { class: "titles" }, who, under, said),
    panel.element,
  );

  let host = "";
  let told = "";
  let saidAt = -Infinity;
  const show = (view: ChatView): void => {
    const { chat, halt, typing: isTyping } = view;
    const readers = readersOf(view);
    if (readers + chat.host.displayName !== told) {
      told = readers + chat.host.displayName;
      promise.dataset["readers"] = readers;
      const mark = icon(readers === "doubted" || readers === "third" ? "failed" : "lock");
      promise.replaceChildren(mark, h("span", {}, sentence(words.chat.readers[readers], chat.host.displayName)));
    }
    safety.show(chat);
    if (chat.host.displayName !== host) {
      host = chat.host.displayName;
      setText(initial, [...host][0]?.toLocaleUpperCase() ?? "");
      who.replaceChildren(name(host));
      typing.replaceChildren(sentence(words.chat.typing, host));
    }
    if (typing.hidden === isTyping) {
      typing.hidden = !isTyping;
      under.classList.toggle("busy", isTyping);
      // Aloud now and then only: somebody who thinks about their words starts and stops all the time.
      const now = clock.now();
      const isNews = isTyping && now - saidAt > QUIET_MS;
      if (isNews) saidAt = now;
      setText(said, isNews ? words.chat.typing(host) : "");
    }
    setText(
      terms,
      chat.deadline === null
        ? words.chat.idle(numbers.span(chat.idleLimitMs))
        : words.chat.deadline(dates.moment(chat.deadline), numbers.span(chat.idleLimitMs)),
    );
    panel.element.hidden = chat.ending !== null || halt !== null;
  };
  show(first);
  return { element, show, close: panel.close };
}

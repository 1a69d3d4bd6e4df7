/** The messages. Each is rendered once; what changes later is changed in place. */

import type { ChatModel } from "../domain/model.ts";
import type { Entry } from "../domain/records.ts";
import { bubble } from "./bubble.ts";
import type { Bubble } from "./bubble.ts";
import type { Context } from "./context.ts";
import { h, sentence } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";

export interface MessageLog extends View {
  toEnd(): void;
  /** The chat's end came or went: what may be done with a message may have changed. */
  refresh(): void;
}

/** So near to the end counts as reading along. */
const NEAR_PX = 80;

export function messageLog(context: Context, chat: ChatModel): MessageLog {
  const { words, dates, clock } = context;
  const bubbles = new Map<number, Bubble>();
  let lastDay = "";

  const invitation = h("span", {}, sentence(words.chat.empty, chat.view.get().chat.host.displayName));
  const hello = h("p", { class: "hello" }, icon("lock"), invitation);
  const list = h("div", { class: "messages", role: "log", "aria-label": words.chat.log, tabindex: "0" });
  const newer = h("button", { type: "button", class: "newer", hidden: true }, icon("down"), words.chat.newer);
  const element = h("div", { class: "scroll" }, hello, list, newer);

  // Whoever reads the end goes on reading the end, when messages come and when the keyboard of a
  // phone takes half of the list away. Only a scroll of their own, at the same height, changes that.
  let following = true;
  let height = 0;
  const toEnd = (): void => {
    list.scrollTop = list.scrollHeight;
    height = list.clientHeight;
    following = true;
    newer.hidden = true;
  };
  const scrolled = (): void => {
    if (list.clientHeight !== height) return;
    following = list.scrollHeight - list.scrollTop - height < NEAR_PX;
    if (following) newer.hidden = true;
    report();
  };
  const resized = new ResizeObserver(() => {
    height = list.clientHeight;
    if (following) toEnd();
  });

  // What the guest has before their eyes counts as read.
  const report = (): void => chat.looking(following && document.visibilityState === "visible" && document.hasFocus());

  const put = (entry: Entry): void => {
    const known = bubbles.get(entry.pos);
    if (known !== undefined) {
      known.show(entry);
      return;
    }
    const made = bubble(context, chat, entry);
    made.element.dataset["pos"] = String(entry.pos);
    bubbles.set(entry.pos, made);
    const younger = entry.kind === "theirs" && entry.before !== undefined ? bubbles.get(entry.before) : undefined;
    if (younger !== undefined) {
      younger.element.before(made.element);
      return;
    }
    const day = dates.dayKey(entry.ts);
    if (day !== lastDay) {
      lastDay = day;
      list.append(h("div", { class: "day" }, h("span", {}, dates.day(entry.ts, clock.now()))));
    }
    list.append(made.element);
  };
  /** Ten photos in a row are one line. */
  const fold = (): void => {
    let what = "";
    let line: Bubble | undefined;
    let count = 0;
    for (const child of list.children) {
      const { what: own = "", pos } = (child as HTMLElement).dataset;
      const again = own !== "" && own === what;
      (child as HTMLElement).hidden = again;
      if (!again) {
        what = own;
        line = own === "" ? undefined : bubbles.get(Number(pos));
        count = 0;
      }
      count += 1;
      line?.times(count);
    }
  };
  const show = (entries: readonly Entry[]): void => {
    const theirs = entries.some((entry) => entry.kind === "theirs" && !bubbles.has(entry.pos));
    entries.forEach(put);
    fold();
    hello.hidden = bubbles.size > 0 || chat.view.get().chat.ending !== null;
    if (following) toEnd();
    else if (theirs) newer.hidden = false;
    report();
  };
  const refresh = (): void => {
    const history = chat.history();
    if (history.length === 0) {
      // The guest erased it.
      bubbles.clear();
      list.replaceChildren();
      lastDay = "";
    }
    show(history);
  };

  list.addEventListener("scroll", scrolled, { passive: true });
  newer.addEventListener("click", () => {
    toEnd();
    report();
  });
  document.addEventListener("visibilitychange", report);
  addEventListener("focus", report);
  addEventListener("blur", report);
  resized.observe(list);

  show(chat.history());
  const forget = (places: readonly number[]): void => {
    for (const pos of places) {
      bubbles.get(pos)?.element.remove();
      bubbles.delete(pos);
    }
    fold();
  };
  const cancels = [chat.entries.subscribe(show), chat.gone.subscribe(forget)];
  const close = (): void => {
    cancels.forEach((cancel) => cancel());
    resized.disconnect();
    document.removeEventListener("visibilitychange", report);
    removeEventListener("focus", report);
    removeEventListener("blur", report);
    chat.looking(false);
  };
  return { element, toEnd, refresh, close };
}

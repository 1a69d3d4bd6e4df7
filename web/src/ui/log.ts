/** The messages. Each is rendered once; what changes later is changed in place. */

import { arrange } from "../domain/arrange.ts";
import type { Row } from "../domain/arrange.ts";
import type { ChatModel } from "../domain/model.ts";
import type { Cancel } from "../domain/observe.ts";
import type { Entry } from "../domain/records.ts";
import { announcer } from "./announcer.ts";
import { bubble } from "./bubble.ts";
import type { Bubble } from "./bubble.ts";
import type { Context } from "./context.ts";
import { h, sentence, setAttribute, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";

export interface MessageLog extends View {
  toEnd(): void;
  /** The chat's end came or went: what may be done with a message may have changed. */
  refresh(): void;
}

/** So near to the end counts as reading along. */
const NEAR_PX = 80;
/** What stays in sight above the line of what is new. */
const ABOVE_PX = 12;

export function messageLog(context: Context, chat: ChatModel): MessageLog {
  const { words, dates, numbers, clock } = context;
  const bubbles = new Map<number, Bubble>();
  /** The lines between the messages, by their rows' keys. */
  const lines = new Map<string, HTMLElement>();

  const invitation = h("span", {}, sentence(words.chat.empty, chat.view.get().chat.host.displayName));
  const hello = h("p", { class: "hello" }, icon("lock"), invitation);
  const list = h("div", { class: "messages", role: "log", "aria-live": "off", "aria-label": words.chat.log, tabindex: "0" });
  const aloud = announcer(context, chat);
  const count = h("span", { class: "count", hidden: true });
  const newer = h("button", { type: "button", class: "newer", hidden: true }, icon("down"), count);
  const element = h("div", { class: "scroll" }, hello, list, aloud.element, newer);

  // Whoever reads the end goes on reading the end, when messages come and when the keyboard of a
  // phone takes half of the list away. Only a scroll of their own, at the same height, changes that.
  let following = true;
  let height = 0;
  const scrollTo = (top: number): void => {
    list.scrollTop = top;
    height = list.clientHeight;
    following = list.scrollHeight - list.scrollTop - height < NEAR_PX;
    button();
  };
  const toEnd = (): void => scrollTo(list.scrollHeight);
  /** To the end, but not past what the guest has not seen. */
  const toNews = (): void => {
    const line = lines.get("unread");
    const end = list.scrollHeight - list.clientHeight;
    scrollTo(line === undefined || isHere() ? end : Math.min(end, line.offsetTop - list.offsetTop - ABOVE_PX));
  };
  const button = (): void => {
    const { count: unread } = chat.unread.get();
    newer.hidden = following;
    count.hidden = unread === 0;
    setText(count, unread > 99 ? "99+" : String(unread));
    setAttribute(newer, "aria-label", unread === 0 ? words.chat.toEnd : words.chat.newCount(numbers.counted(unread)));
  };
  const scrolled = (): void => {
    if (list.clientHeight !== height) return;
    following = list.scrollHeight - list.scrollTop - height < NEAR_PX;
    button();
    report();
  };
  const resized = new ResizeObserver(() => {
    height = list.clientHeight;
    if (following) toEnd();
  });

  // What the guest has before their eyes counts as read.
  const isHere = (): boolean => document.visibilityState === "visible" && document.hasFocus();
  const report = (): void => chat.looking(following && isHere());

  const rowElement = (row: Row): HTMLElement => {
    if (row.kind === "entry") {
      const made = bubbles.get(row.entry.pos) ?? bubble(context, chat, row.entry);
      bubbles.set(row.entry.pos, made);
      made.place(row);
      return made.element;
    }
    const line = lines.get(row.key) ?? h("div", { class: row.kind }, h("span", {}));
    lines.set(row.key, line);
    // "Today" is yesterday after midnight.
    setText(line.firstElementChild ?? line, row.kind === "day" ? dates.day(row.ts, clock.now()) : words.chat.newer);
    return line;
  };
  /** Brings the list into the order of the rows, and moves only what stands elsewhere. */
  const render = (): void => {
    const rows = arrange(chat.history(), chat.unread.get().line, dates.dayKey);
    const wanted = new Set(rows.map(({ key }) => key));
    for (const [key, line] of lines) if (!wanted.has(key)) drop(line, () => lines.delete(key));
    for (const [pos, { element: old }] of bubbles) if (!wanted.has(String(pos))) drop(old, () => bubbles.delete(pos));
    let next = list.firstElementChild;
    for (const row of rows) {
      const made = rowElement(row);
      if (made === next) next = next.nextElementSibling;
      else list.insertBefore(made, next);
    }
    hello.hidden = bubbles.size > 0 || chat.view.get().chat.ending !== null;
  };
  const show = (entries: readonly Entry[]): void => {
    for (const entry of entries) bubbles.get(entry.pos)?.show(entry);
    const wasFollowing = following;
    render();
    if (wasFollowing) toNews();
    button();
    report();
  };
  let midnight: Cancel = () => undefined;
  const atMidnight = (): void => {
    render();
    midnight = clock.after(untilMidnight(clock.now()), atMidnight);
  };

  list.addEventListener("scroll", scrolled, { passive: true });
  list.addEventListener("click", ({ target }) => {
    // A finger has nothing to hover with: what can be done with a message appears when it is tapped.
    const tapped = target instanceof Element ? target.closest(".message") : null;
    for (const other of list.querySelectorAll(".tapped")) if (other !== tapped) other.classList.remove("tapped");
    tapped?.classList.add("tapped");
  });
  newer.addEventListener("click", () => {
    toEnd();
    report();
    list.focus({ preventScroll: true });
  });
  document.addEventListener("visibilitychange", report);
  addEventListener("focus", report);
  addEventListener("blur", report);
  resized.observe(list);

  atMidnight();
  // Not yet in the page, so nothing has a height.
  requestAnimationFrame(() => {
    toNews();
    report();
  });
  const cancels = [
    chat.entries.subscribe((entries) => {
      aloud.hear(entries);
      show(entries);
    }),
    chat.gone.subscribe(() => show([])),
    chat.unread.bind(() => {
      render();
      button();
    }),
  ];
  const close = (): void => {
    cancels.forEach((cancel) => cancel());
    midnight();
    bubbles.forEach((each) => each.close());
    resized.disconnect();
    document.removeEventListener("visibilitychange", report);
    removeEventListener("focus", report);
    removeEventListener("blur", report);
    chat.looking(false);
  };
  return { element, toEnd, refresh: () => show(chat.history()), close };
}

function drop(element: Element, forget: () => void): void {
  element.remove();
  forget();
}

/** From now to the next day's begin where the reader is. */
function untilMidnight(now: number): number {
  const next = new Date(now);
  next.setHours(24, 0, 0, 0);
  return next.getTime() - now;
}

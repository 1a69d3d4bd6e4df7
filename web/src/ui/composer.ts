/** The field in which one writes. */

import type { ChatModel } from "../domain/model.ts";
import { room, tidy } from "../domain/text.ts";
import type { Context } from "./context.ts";
import { h, isTouch, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";

/** The limit is told when so few characters are left. */
const NEAR_LIMIT = 200;

export function composer({ words, numbers }: Context, chat: ChatModel, said: () => void): View {
  const touch = isTouch();
  const field = h("textarea", {
    id: "message",
    rows: "1",
    dir: "auto",
    autocomplete: "off",
    enterkeyhint: touch ? "enter" : "send",
    "aria-label": words.chat.field,
    "aria-describedby": "message-help",
    placeholder: words.chat.field,
    "data-focus": !touch,
  });
  const help = h("p", { id: "message-help", class: "help" });
  const spoken = h("p", { class: "spoken", role: "status" });
  const button = h("button", { type: "submit", class: "send", "aria-label": words.chat.send, disabled: true }, icon("send"));
  const form = h("form", { class: "composer" }, help, spoken, h("div", { class: "bar" }, field, button));

  let told = "";
  /** What was sent and is not kept yet. The field begins with it, so that nothing is lost if it can't be. */
  const sent: string[] = [];
  const check = (): void => {
    const text = tidy(field.value);
    const left = room(text);
    button.disabled = text === "" || left < 0;
    const limit = left < 0 ? words.chat.tooLong(numbers.counted(-left)) : left <= NEAR_LIMIT ? words.chat.room(numbers.counted(left)) : "";
    setText(help, limit);
    help.classList.toggle("wrong", left < 0);
    // Aloud when it comes near and when it is reached, not at each letter.
    const stage = left < 0 ? "over" : limit === "" ? "" : "near";
    if (stage !== told) setText(spoken, limit);
    told = stage;
    fit(field);
  };
  /** What was typed since the last press; all of it, if what was pressed before is no longer there. */
  const typed = (): string => {
    const before = sent.join("");
    return field.value.startsWith(before) ? field.value.slice(before.length) : field.value;
  };
  const send = async (): Promise<void> => {
    const text = typed();
    // Pressed twice with nothing typed in between means once.
    if (tidy(text) === "" || room(tidy(text)) < 0) return;
    sent.push(text);
    // Each press is a message of its own, however long the one before takes.
    if (sent.length > 1) return;
    field.focus();
    try {
      for (let next = sent[0]; next !== undefined; next = sent[0]) {
        if (!(await chat.say(next))) return;
        sent.shift();
        // Emptied only now. Meanwhile somebody may have typed on.
        if (field.value.startsWith(next)) field.value = field.value.slice(next.length);
        said();
      }
    } finally {
      sent.length = 0;
      chat.keepDraft(field.value);
      if (field.value.trim() === "") chat.compose(false);
      check();
    }
  };
  field.addEventListener("input", () => {
    check();
    chat.keepDraft(field.value);
    chat.compose(field.value.trim() !== "");
  });
  field.addEventListener("blur", () => chat.compose(false));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || touch || isComposing(event)) return;
    event.preventDefault();
    void send();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  field.value = chat.view.get().chat.draft ?? "";
  check();
  return { element: form, close: () => undefined };
}

/** Enter that picks a word of an input method. Safari tells it after the composition has ended, with the key code for "in process". */
function isComposing({ isComposing: is, keyCode }: KeyboardEvent): boolean {
  return is || keyCode === 229;
}

/** Browsers without `field-sizing` let the field grow this way. */
function fit(field: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

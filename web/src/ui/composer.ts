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
  let keeping = false;
  let again = false;
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
  const send = async (): Promise<void> => {
    const text = field.value;
    if (keeping || button.disabled) {
      again = keeping;
      return;
    }
    keeping = true;
    field.focus();
    let kept = false;
    try {
      kept = await chat.say(text);
    } finally {
      keeping = false;
      // Emptied only now: what is in the field is not lost. Meanwhile somebody may have typed on.
      if (kept) field.value = field.value.startsWith(text) ? field.value.slice(text.length) : field.value;
      chat.keepDraft(field.value);
      if (field.value.trim() === "") chat.compose(false);
      check();
    }
    const more = again;
    again = false;
    if (!kept) return;
    said();
    // Pressed twice with nothing typed in between means once.
    if (more) void send();
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

/** The field in which one writes. */

import type { ChatModel } from "../domain/model.ts";
import { isTooLong } from "../domain/text.ts";
import type { Context } from "./context.ts";
import { h, isTouch, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";

export function composer({ words }: Context, chat: ChatModel, said: () => void): View {
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
  const help = h("p", { id: "message-help", class: "help wrong", role: "status" });
  const button = h("button", { type: "submit", class: "send", "aria-label": words.chat.send, disabled: true }, icon("send"));
  const form = h("form", { class: "composer" }, help, h("div", { class: "bar" }, field, button));

  let keeping = false;
  let again = false;
  const check = (): void => {
    const tooLong = isTooLong(field.value);
    button.disabled = field.value.trim() === "" || tooLong;
    setText(help, tooLong ? words.chat.tooLong : "");
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
    chat.compose(field.value.trim() !== "");
  });
  field.addEventListener("blur", () => chat.compose(false));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
    event.preventDefault();
    void send();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  return { element: form, close: () => undefined };
}

/** Browsers without `field-sizing` let the field grow this way. */
function fit(field: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

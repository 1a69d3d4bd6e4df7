/** What a guest can switch on or take along, in the menu. */

import { Alerts } from "../domain/alerts.ts";
import type { ChatModel } from "../domain/model.ts";
import { download } from "../platform/download.ts";
import type { Context } from "./context.ts";
import { h, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { transcript } from "./transcript.ts";

export function options(context: Context, chat: ChatModel): View {
  const { words, clock, attention } = context;
  const text = words.chat.options;
  const alerts = new Alerts(chat, attention, clock);

  const sound = checkbox(text.sound, (on) => alerts.setSound(on));
  const notify = checkbox(text.notify, (on) => void alerts.setNotify(on));
  const why = h("p", { class: "help", role: "status" });
  const save = saveButton(context, chat, "item");
  const note = h("p", { class: "help" }, text.saveNote);

  const cancels = [
    alerts.wanted.bind((wanted) => {
      sound.box.checked = wanted.sound;
      notify.box.checked = wanted.notify;
    }),
    alerts.refused.bind((reason) => {
      setText(why, reason === null ? "" : text[reason]);
      if (reason !== null) notify.box.checked = false;
    }),
    () => alerts.close(),
  ];
  const element = h("div", { class: "options" }, sound.element, notify.element, why, save, note);
  return { element, close: () => cancels.forEach((cancel) => cancel()) };
}

/** Saves the chat as a file, whose name says nothing but the day. */
export function saveButton(context: Context, chat: ChatModel, look: string): HTMLElement {
  const { words, dates, clock } = context;
  const button = h("button", { type: "button", class: look }, words.chat.options.save);
  button.addEventListener("click", () => {
    const now = clock.now();
    const text = transcript(context, chat.view.get().chat, chat.history(), now);
    download(clock, `chat-${dates.stamp(now).slice(0, 10)}.txt`, text);
  });
  return button;
}

function checkbox(label: string, changed: (on: boolean) => void): { readonly element: HTMLElement; readonly box: HTMLInputElement } {
  const box = h("input", { type: "checkbox" });
  box.addEventListener("change", () => changed(box.checked));
  return { element: h("label", { class: "item" }, box, " ", label), box };
}

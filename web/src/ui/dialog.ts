/** The question before a chat is ended. */

import type { Context } from "./context.ts";
import { h, sentence } from "./dom.ts";

export function endDialog(
  { words }: Context,
  host: string,
  confirmed: () => Promise<void>,
): { readonly element: HTMLDialogElement; open(): void } {
  const cancel = h("button", { type: "button", class: "button plain" }, words.end.cancel);
  const confirm = h("button", { type: "button", class: "button danger" }, words.end.confirm);
  const element = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "end-title" },
    // So that a reader begins at the top, also where the page is so large that the buttons are out of sight.
    h("h2", { id: "end-title", tabindex: "-1", autofocus: true }, words.end.title),
    h("p", {}, sentence(words.end.text, host)),
    h("div", { class: "actions" }, cancel, confirm),
  );
  cancel.addEventListener("click", () => element.close());
  confirm.addEventListener("click", () => {
    element.close();
    void confirmed();
  });
  return { element, open: () => element.showModal() };
}

/** The safety code, in the menu: the digits, how they are compared, and since when they are others. */

import type { JoinedChat } from "../domain/records.ts";
import type { Context } from "./context.ts";
import { copyButton, h, sentence } from "./dom.ts";

export interface SafetyPanel {
  readonly element: HTMLElement;
  show(chat: JoinedChat): void;
}

export function safetyPanel({ words, dates }: Context): SafetyPanel {
  const text = words.chat.safety;
  const element = h("section", { class: "safety", hidden: true });
  let shown = "";
  const show = ({ safety, host }: JoinedChat): void => {
    if (safety === undefined) return;
    const { code, since } = safety;
    const person = host.displayName;
    // Whoever is about to copy it must not lose their selection to the next welcome.
    const now = JSON.stringify([code, since, person]);
    if (now === shown) return;
    shown = now;
    element.hidden = false;
    const isNew = since === undefined ? null : h("p", { class: "since" }, sentence((name) => text.since(name, dates.moment(since)), person));
    const rest = code === null ? [h("p", {}, sentence(text.none, person))] : [digits(code), h("p", {}, sentence(text.how, person)), copyButton(text.copy, text.copied, () => code)];
    element.replaceChildren(h("h2", {}, text.title), ...(isNew === null ? [] : [isNew]), ...rest);
  };
  return { element, show };
}

/** Read out loud and compared, so they stand apart from every other text. */
export function digits(code: string): HTMLElement {
  return h("p", { class: "code" }, code);
}

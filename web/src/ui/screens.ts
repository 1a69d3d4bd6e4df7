/** The screens that are mostly words. */

import type { Problem, Remedy } from "../domain/app.ts";
import type { ChatSummary, Remnant } from "../domain/ports.ts";
import type { Context } from "./context.ts";
import { h, name, sentence } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";
import type { IconName } from "./icons.ts";

const nothing = (): void => undefined;

/** A card in the middle of the page. */
export function card(mark: IconName, ...children: readonly (Node | null)[]): HTMLElement {
  const badge = h("div", { class: "badge" }, icon(mark));
  return h("main", { class: "stage" }, h("section", { class: "card" }, badge, ...children));
}

export function loadingScreen({ words }: Context): View {
  return { element: h("main", { class: "stage" }, h("p", { class: "quiet", role: "status" }, words.loading)), close: nothing };
}

export function problemScreen({ words }: Context, problem: Problem, remedy: Remedy | null, remnants: readonly Remnant[] = []): View {
  const { title, text } = words.problems[problem];
  const element = card(
    problem === "erased" ? "sent" : problem === "no-link" ? "door" : "ended",
    h("h1", { tabindex: "-1", "data-focus": true }, title),
    h("p", {}, text),
    remnants.length === 0 ? null : h("ul", { class: "facts" }, ...remnants.map((remnant) => h("li", {}, words.remnants[remnant]))),
    remedy === null ? null : remedyButton(words.remedies[remedy.kind], remedy),
  );
  return { element, close: nothing };
}

function remedyButton(label: string, remedy: Remedy): HTMLElement {
  const button = h("button", { type: "button", class: remedy.kind === "erase" ? "button plain" : "button" }, label);
  button.addEventListener("click", () => {
    button.disabled = true;
    remedy.run();
  });
  return button;
}

export function choiceScreen(context: Context, chats: readonly ChatSummary[], choose: (id: string) => void): View {
  const { words } = context;
  const rows = chats.map((summary) => {
    const button = h(
      "button",
      { type: "button", class: "row" },
      h("strong", {}, sentence(words.choice.with, summary.chat.host.displayName)),
      h("span", { class: "quiet" }, name(standing(context, summary))),
    );
    button.addEventListener("click", () => choose(summary.id));
    return h("li", {}, button);
  });
  const title = h("h1", { tabindex: "-1", "data-focus": true }, words.choice.title);
  return { element: card("lock", title, h("ul", { class: "rows" }, ...rows)), close: nothing };
}

function standing({ words, dates }: Context, { chat }: ChatSummary): string {
  if (chat.stage === "joining") return words.choice.begun;
  if (chat.ending !== null) return words.choice.over;
  return chat.deadline === null ? words.choice.begun : words.choice.since(dates.moment(chat.deadline));
}

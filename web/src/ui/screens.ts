/** The screens that are mostly words. */

import type { Problem, Remedy } from "../domain/app.ts";
import type { ChatSummary, Remnant } from "../domain/ports.ts";
import type { Context } from "./context.ts";
import { h, name, sentence, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";
import type { IconName } from "./icons.ts";

const nothing = (): void => undefined;

/** A card in the middle of the page, named by its heading. */
export function card(mark: IconName, title: Node | string, ...children: readonly (Node | null)[]): HTMLElement {
  const badge = h("div", { class: "badge" }, icon(mark));
  const heading = h("h1", { id: "title", tabindex: "-1" }, title);
  return h("main", { class: "stage" }, h("section", { class: "card", "aria-labelledby": "title" }, badge, heading, ...children));
}

/** The page as it came, in the reader's language. */
export function loadingScreen({ words }: Context, skeleton: HTMLElement): View {
  const said = skeleton.querySelector("[role=status]");
  if (said !== null) setText(said, words.loading);
  const late = skeleton.querySelector(".late");
  if (late !== null) setText(late, words.slow);
  return { element: skeleton, close: nothing };
}

const MARKS: Partial<Record<Problem, IconName>> = {
  "no-link": "door",
  erased: "sent",
  elsewhere: "windows",
  offline: "offline",
  unreachable: "offline",
  paused: "waiting",
  "host-busy": "waiting",
  "too-many-tries": "waiting",
  "page-older": "again",
  "page-newer": "waiting",
  "link-expired": "waiting",
  lost: "failed",
  "not-erased": "failed",
  storage: "failed",
  "too-old": "failed",
  "not-secure": "failed",
};

export function problemScreen({ words }: Context, problem: Problem, remedy: Remedy | null, remnants: readonly Remnant[] = []): View {
  const { title, text } = words.problems[problem];
  const left = remnants.length === 0 ? null : h("ul", { class: "remnants" }, ...remnants.map((remnant) => h("li", {}, words.remnants[remnant])));
  const action = remedy === null ? null : remedyButton(words.remedies[remedy.kind], remedy);
  return { element: card(MARKS[problem] ?? "ended", title, h("p", {}, text), left, action), close: nothing };
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
      // One host can have more than one chat here, as on a device that several people use.
      ...[summary.chat.name, standing(context, summary)].map((line) => h("span", { class: "quiet" }, name(line))),
    );
    button.addEventListener("click", () => choose(summary.id));
    return h("li", {}, button);
  });
  return { element: card("lock", words.choice.title, h("ul", { class: "rows" }, ...rows)), close: nothing };
}

function standing({ words, dates }: Context, { chat }: ChatSummary): string {
  if (chat.stage === "joining") return words.choice.begun;
  if (chat.ending !== null) return words.choice.over;
  return chat.deadline === null ? words.choice.begun : words.choice.since(dates.moment(chat.deadline));
}

/** The landing page of a link: who invites, what this is, a name, a button. */

import type { Join, JoinState } from "../domain/join.ts";
import type { Context } from "./context.ts";
import { h, isTouch, sentence, setAttribute, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { card } from "./screens.ts";

export function joinScreen({ words, clock }: Context, join: Join, named: (name: string) => void): View {
  const { host, idleLimitMs, expiresAt } = join.offer;
  const text = words.join;

  const field = h("input", {
    id: "name",
    type: "text",
    name: "nickname",
    autocomplete: "nickname",
    autocapitalize: "words",
    spellcheck: "false",
    enterkeyhint: "go",
    dir: "auto",
    required: true,
    "aria-describedby": "name-help",
    "data-focus": !isTouch(),
  });
  const help = h("p", { id: "name-help", class: "help", "aria-live": "polite" });
  const button = h("button", { type: "submit", class: "button" }, text.start);
  const form = h(
    "form",
    { novalidate: true, class: "form" },
    h("label", { for: "name" }, text.name),
    field,
    help,
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void join.submit(field.value);
  });
  field.addEventListener("focus", () => join.warmUp(), { once: true });

  const left = expiresAt - clock.now();
  const element = card(
    "lock",
    h("h1", {}, sentence(text.invites, host.displayName)),
    h("p", { class: "lead" }, sentence(text.promise, host.displayName)),
    form,
    h("ul", { class: "facts" }, ...text.facts(idleLimitMs).map((fact) => h("li", {}, fact))),
    left > 0 ? h("p", { class: "help" }, text.expires(left)) : null,
  );

  const show = (state: JoinState): void => {
    const working = state.kind === "working";
    named(working ? "starting" : "landing");
    field.disabled = working;
    button.disabled = working;
    setText(button, working ? text.starting : text.start);
    const refused = state.kind === "form" && state.refused;
    setAttribute(field, "aria-invalid", refused ? "true" : false);
    help.classList.toggle("wrong", refused);
    if (working) setText(help, state.troubled ? text.troubled : "");
    else if (refused) setText(help, text.nameRefused);
    else help.replaceChildren(sentence(text.nameHelp, host.displayName));
    if (state.kind === "form" && field.value === "") field.value = state.name;
    if (refused) field.focus();
  };
  return { element, close: join.state.bind(show) };
}

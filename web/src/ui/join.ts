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
  const passcode = h("input", {
    id: "passcode",
    type: "text",
    autocomplete: "one-time-code",
    inputmode: "numeric",
    enterkeyhint: "go",
    required: true,
    "aria-describedby": "passcode-help",
  });
  const passcodeHelp = h("p", { id: "passcode-help", class: "help", "aria-live": "polite" });
  const asked = join.offer.passcode ? [h("label", { for: "passcode" }, text.passcode), passcode, passcodeHelp] : [];
  const button = h("button", { type: "submit", class: "button" }, text.start);
  const form = h(
    "form",
    { novalidate: true, class: "form" },
    h("label", { for: "name" }, text.name),
    field,
    help,
    ...asked,
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void join.submit(field.value, passcode.value);
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
    passcode.disabled = working;
    button.disabled = working;
    setText(button, working ? text.starting : text.start);
    const wrong = state.kind === "form" ? state.wrong : null;
    mark(field, help, wrong?.field === "name");
    mark(passcode, passcodeHelp, wrong?.field === "passcode");
    if (working) setText(help, state.troubled ? text.troubled : "");
    else if (wrong?.field === "name") setText(help, text.nameRefused);
    else help.replaceChildren(sentence(text.nameHelp, host.displayName));
    if (wrong?.field !== "passcode") passcodeHelp.replaceChildren(sentence(text.passcodeHelp, host.displayName));
    else setText(passcodeHelp, wrong.left === null ? text.passcodeNeeded : text.passcodeWrong(wrong.left));
    if (state.kind === "form" && field.value === "") field.value = state.name;
    if (wrong?.field === "name") field.focus();
    if (wrong?.field === "passcode") passcode.focus();
  };
  return { element, close: join.state.bind(show) };
}

function mark(field: HTMLInputElement, help: HTMLElement, wrong: boolean): void {
  setAttribute(field, "aria-invalid", wrong ? "true" : false);
  help.classList.toggle("wrong", wrong);
}

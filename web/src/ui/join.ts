/** The landing page of a link: who invites, what this is, a name, a button. */

import type { Join, JoinState } from "../domain/join.ts";
import type { Context } from "./context.ts";
import { copyButton, h, isTouch, name, sentence, setAttribute, setText } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";
import { card } from "./screens.ts";

export function joinScreen(context: Context, join: Join, named: (name: string) => void): View {
  const { words } = context;
  const { host, token } = join.offer;
  const text = words.join;

  const field = h("input", {
    id: "name",
    type: "text",
    name: "nickname",
    autocomplete: "nickname",
    autocapitalize: "words",
    spellcheck: "false",
    enterkeyhint: join.offer.passcode ? "next" : "go",
    dir: "auto",
    required: true,
    "aria-describedby": "name-help",
    "data-focus": !isTouch(),
  });
  const help = h("p", { id: "name-help", class: "help", "aria-live": "polite" });
  const passcode = h("input", {
    id: "passcode",
    type: "text",
    dir: "ltr",
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

  const behind = organisation(context);
  const element = card(
    "lock",
    sentence(text.invites, host.displayName),
    behind.name,
    h("p", { class: "lead" }, sentence(text.promise, host.displayName)),
    context.memory === "app" ? outOfApp(context, token) : null,
    form,
    facts(context, join),
    behind.terms,
  );

  const show = (state: JoinState): void => {
    const working = state.kind === "working";
    named(working ? "starting" : "landing");
    // Not disabled: the keyboard's place would be lost, and with it where a screen reader reads.
    field.readOnly = working;
    passcode.readOnly = working;
    setAttribute(button, "aria-disabled", working ? "true" : false);
    setText(button, working ? text.starting : text.start);
    const wrong = state.kind === "form" ? state.wrong : null;
    mark(field, help, wrong?.field === "name");
    mark(passcode, passcodeHelp, wrong?.field === "passcode");
    if (working) setText(help, state.troubled ? text.troubled : "");
    else if (wrong?.field === "name") setText(help, text.nameRefused);
    else help.replaceChildren(sentence(text.nameHelp, host.displayName));
    if (wrong?.field !== "passcode") passcodeHelp.replaceChildren(sentence(text.passcodeHelp, host.displayName));
    else setText(passcodeHelp, wrong.left === null ? text.passcodeNeeded : text.passcodeWrong(context.numbers.counted(wrong.left)));
    if (state.kind === "form" && field.value === "") field.value = state.name;
    if (wrong?.field === "name") field.focus();
    if (wrong?.field === "passcode") passcode.focus();
  };
  // After it is drawn.
  requestAnimationFrame(() => setTimeout(() => join.warmUp()));
  const cancels = [join.state.bind(show), behind.close];
  return { element, close: () => cancels.forEach((cancel) => cancel()) };
}

function mark(field: HTMLInputElement, help: HTMLElement, wrong: boolean): void {
  setAttribute(field, "aria-invalid", wrong ? "true" : false);
  help.classList.toggle("wrong", wrong);
}

/** What one should know before one begins. */
function facts({ words, numbers, clock, memory }: Context, { offer }: Join): HTMLElement {
  const { free, idle, back, erase } = words.join.facts;
  const left = offer.expiresAt - clock.now();
  const lines = [
    free,
    idle(numbers.span(offer.idleLimitMs)),
    // Inside another app the hint above says the opposite.
    ...(memory === "app" ? [] : [memory === "week" ? words.join.forgets.week : back]),
    erase,
    ...(left > 0 ? [words.join.expires(numbers.span(left))] : []),
  ];
  return h("ul", { class: "facts" }, ...lines.map((line) => h("li", {}, icon("sent"), h("span", {}, line))));
}

/** The address doesn't show the secret any more, so the app's own way to a real browser would lose it. */
function outOfApp({ words, address }: Context, token: string): HTMLElement {
  const { app, copy, copied } = words.join.forgets;
  return h("div", { class: "hint" }, h("p", {}, app), copyButton(copy, copied, () => `${address}#${token}`));
}

/** Who runs the service, as soon as that is known. */
function organisation({ words, organisation: known }: Context): { readonly name: HTMLElement; readonly terms: HTMLElement; readonly close: () => void } {
  const who = h("p", { class: "organisation", hidden: true });
  const terms = h("p", { class: "help", hidden: true });
  const close = known.bind((value) => {
    who.hidden = value === null || value.name === null;
    who.replaceChildren(name(value?.name ?? ""));
    const url = value?.termsUrl ?? null;
    terms.hidden = url === null;
    if (url === null) return;
    const label = value === null || value.name === null ? words.join.terms : sentence(words.join.termsOf, value.name);
    terms.replaceChildren(h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label));
  });
  return { name: who, terms, close };
}

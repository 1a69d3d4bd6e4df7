/** Small helpers over the DOM. Text is only ever put in as text. */

import type { Cancel } from "../domain/observe.ts";

type Attributes = Readonly<Record<string, string | boolean>>;
type Child = Node | string | null;

/** An element; an attribute that is `false` is left out. No attribute here takes code or markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

export function setAttribute(element: Element, name: string, value: string | boolean): void {
  if (value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Replaces the text only when it differs, so that a screen reader isn't told twice. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A name that somebody else chose: its writing direction must not reorder the words around it. */
export function name(text: string): HTMLElement {
  return h("bdi", {}, text);
}

/** A sentence of the catalogue, with the name in it isolated. */
export function sentence(build: (name: string) => string, person: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  // A private-use character stands for the name; no catalogue contains it.
  const parts = build("\uE000").split("\uE000");
  parts.forEach((part, index) => {
    if (index > 0) fragment.append(name(person));
    fragment.append(part);
  });
  return fragment;
}

/** A button that puts a text on the clipboard, and says so. */
export function copyButton(label: string, done: string, text: () => string): HTMLElement {
  const button = h("button", { type: "button", class: "button plain small" }, label);
  const said = h("span", { class: "spoken", role: "status" });
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(text()).then(
      () => {
        setText(button, done);
        setText(said, done);
      },
      // Refused by the browser; the button still says what it would have done.
      () => undefined,
    );
  });
  return h("div", {}, button, said);
}

/** On a touch screen the keyboard covers half of the page, and its Enter is the only way to a new line. */
export function isTouch(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}

/** A view: its element, and what ends its subscriptions. */
export interface View {
  readonly element: HTMLElement;
  readonly close: Cancel;
}

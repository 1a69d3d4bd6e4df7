/** A button that opens a small panel with words, choices, one last action, and something small below. */

import { h } from "./dom.ts";
import type { View } from "./dom.ts";
import { icon } from "./icons.ts";

export function menu(label: string, words: readonly Node[], action: { readonly label: string; readonly run: () => void }, small: Node): View {
  const button = h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, "aria-expanded": "false", "aria-controls": "menu" },
    icon("menu"),
  );
  const item = h("button", { type: "button", class: "danger" }, action.label);
  const panel = h("div", { id: "menu", class: "panel", hidden: true }, ...words, item, small);
  const element = h("div", { class: "menu" }, button, panel);

  const toggle = (open: boolean): void => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  const outside = (event: Event): void => {
    if (!(event.target instanceof Node && element.contains(event.target))) toggle(false);
  };
  button.addEventListener("click", () => toggle(panel.hidden));
  item.addEventListener("click", () => {
    toggle(false);
    // The item is hidden by now; whoever comes back from what it opens comes back here.
    button.focus();
    action.run();
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    toggle(false);
    button.focus();
  });
  document.addEventListener("pointerdown", outside);
  document.addEventListener("focusin", outside);
  return {
    element,
    close: () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    },
  };
}

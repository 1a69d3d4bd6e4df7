/** A person's text, with its web addresses as links. Nothing is fetched before somebody taps one. */

import { findLinks } from "../domain/links.ts";
import type { Link } from "../domain/links.ts";
import { h } from "./dom.ts";

export function linked(text: string): readonly (Node | string)[] {
  return findLinks(text).map((piece) => (typeof piece === "string" ? piece : anchor(piece)));
}

/** The host that opens is shown by the style sheet, so that whoever copies the text gets the text. */
function anchor({ text, href, host }: Link): HTMLElement {
  return h("a", { href, target: "_blank", rel: "noopener noreferrer", dir: "ltr", "data-host": host ?? false }, text);
}

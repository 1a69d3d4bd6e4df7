/** Shows one screen after another in the page's root. */

import type { App, Screen } from "../domain/app.ts";
import { chatScreen } from "./chat.ts";
import type { Context } from "./context.ts";
import { joinScreen } from "./join.ts";
import { choiceScreen, loadingScreen, problemScreen } from "./screens.ts";
import { h } from "./dom.ts";
import type { View } from "./dom.ts";

/**
 * `root` carries the name of what it shows in `data-screen`. What it holds at first, the page as it came, is
 * shown whenever something loads.
 */
export function mount(root: HTMLElement, context: Context, app: Pick<App, "screen">): void {
  const skeleton = root.querySelector<HTMLElement>("main") ?? h("main");
  let current: View | null = null;
  app.screen.bind((screen) => {
    current?.close();
    current = view(context, screen, skeleton, (name) => {
      root.dataset["screen"] = name;
    });
    // Put in once more it would begin to move anew.
    if (!root.contains(current.element)) root.replaceChildren(current.element);
    if (screen.name !== "loading") attendLater(current.element);
  });
}

/** Once it is drawn: before that, to move the focus would have all of it laid out at once. */
function attendLater(element: HTMLElement): void {
  requestAnimationFrame(() => {
    setTimeout(() => {
      // Gone again, or somebody was faster.
      if (element.isConnected && !element.contains(document.activeElement)) attend(element);
    });
  });
}

/** Where one goes on, by keyboard and by ear: what the screen names, or its heading. */
function attend(element: HTMLElement): void {
  const heading = element.querySelector<HTMLElement>("h1, h2");
  heading?.setAttribute("tabindex", "-1");
  const wanted = element.querySelector<HTMLElement>("[data-focus]");
  wanted?.focus({ preventScroll: true });
  // What is not shown, as the field of a chat that is over, doesn't take it.
  if (wanted === null || document.activeElement !== wanted) heading?.focus({ preventScroll: true });
}

/** A screen that has several faces names them itself through `named`. */
function view(context: Context, screen: Screen, skeleton: HTMLElement, named: (name: string) => void): View {
  switch (screen.name) {
    case "loading":
      named("loading");
      return loadingScreen(context, skeleton);
    case "join":
      return joinScreen(context, screen.join, named);
    case "chat":
      return chatScreen(context, screen.chat, screen.erase, named);
    case "choice":
      named("choice");
      return choiceScreen(context, screen.chats, screen.choose);
    case "problem":
      named(screen.problem);
      return problemScreen(context, screen.problem, screen.remedy, screen.remnants);
  }
}

/** Shows one screen after another in the page's root. */

import type { App, Screen } from "../domain/app.ts";
import { chatScreen } from "./chat.ts";
import type { Context } from "./context.ts";
import { joinScreen } from "./join.ts";
import { choiceScreen, loadingScreen, problemScreen } from "./screens.ts";
import type { View } from "./dom.ts";

/** `root` carries the name of what it shows in `data-screen`. */
export function mount(root: HTMLElement, context: Context, app: Pick<App, "screen">): void {
  let current: View | null = null;
  app.screen.bind((screen) => {
    current?.close();
    current = view(context, screen, (name) => {
      root.dataset["screen"] = name;
    });
    root.replaceChildren(current.element);
    current.element.querySelector<HTMLElement>("[data-focus]")?.focus({ preventScroll: true });
  });
}

/** A screen that has several faces names them itself through `named`. */
function view(context: Context, screen: Screen, named: (name: string) => void): View {
  switch (screen.name) {
    case "loading":
      named("loading");
      return loadingScreen(context);
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

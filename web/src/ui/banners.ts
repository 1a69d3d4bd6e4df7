/** The strip under the header: one line about the connection, or one about the other side. */

import type { ChatModel, ChatView } from "../domain/model.ts";
import type { Context } from "./context.ts";
import { h, sentence } from "./dom.ts";
import type { View } from "./dom.ts";

type Banner = "none" | "connecting" | "opening" | "offline" | "invited" | "no-devices" | "identity";

/** What matters most now: a changed identity, then the connection, then the other side. */
function bannerOf({ chat, status, blocked, halt }: ChatView): Banner {
  if (chat.ending !== null || halt !== null) return "none";
  if (blocked === "identity_changed") return "identity";
  if (status !== "open") return status;
  if (!chat.hostJoined) return "invited";
  return blocked === "no_devices" ? "no-devices" : "none";
}

export function banners({ words }: Context, chat: ChatModel): View {
  const element = h("div", { class: "banner", role: "status", hidden: true });
  let shown: Banner = "none";
  const close = chat.view.bind((view) => {
    const banner = bannerOf(view);
    if (banner === shown) return;
    shown = banner;
    element.hidden = banner === "none";
    element.dataset["banner"] = banner;
    element.replaceChildren(...content(banner, view.chat.host.displayName));
  });

  function content(banner: Banner, host: string): Node[] {
    switch (banner) {
      case "none":
        return [];
      case "connecting":
      case "opening":
      case "offline":
        return [h("p", {}, words.chat.status[banner])];
      case "invited":
        return [h("p", {}, sentence(words.chat.invited, host))];
      case "no-devices":
        return [h("p", {}, sentence(words.chat.noDevices, host))];
      case "identity": {
        const button = h("button", { type: "button", class: "button small" }, words.chat.identity.accept);
        button.addEventListener("click", () => {
          button.disabled = true;
          void chat.acceptIdentity();
        });
        return [h("p", {}, sentence(words.chat.identity.text, host)), button];
      }
    }
  }
  return { element, close };
}

/** The strip under the header: one line about the connection, or one about the other side. */

import type { ChatModel, ChatView } from "../domain/model.ts";
import type { Context } from "./context.ts";
import { h, sentence } from "./dom.ts";
import type { View } from "./dom.ts";
import { digits } from "./safety.ts";

type Banner = "none" | "connecting" | "opening" | "reconnecting" | "offline" | "ends-soon" | "invited" | "no-devices" | "identity";

/** What matters most now: a changed identity, then the connection, then the end, then the other side. */
function bannerOf({ chat, status, blocked, halt }: ChatView): Banner {
  if (chat.ending !== null || halt !== null) return "none";
  if (blocked === "identity_changed") return "identity";
  if (status !== "open") return status;
  if (chat.deadline !== null && chat.warnedOf === chat.deadline) return "ends-soon";
  if (!chat.hostJoined) return "invited";
  return blocked === "no_devices" ? "no-devices" : "none";
}

export function banners({ words, dates }: Context, chat: ChatModel): View {
  const element = h("div", { class: "banner", role: "status", hidden: true });
  let shown = "none";
  const close = chat.view.bind((view) => {
    const banner = bannerOf(view);
    const code = banner === "identity" ? (view.chat.safety?.code ?? null) : null;
    const date = banner === "ends-soon" ? dates.moment(view.chat.deadline ?? 0) : "";
    if (banner + date + code === shown) return;
    shown = banner + date + code;
    element.hidden = banner === "none";
    element.dataset["banner"] = banner;
    element.replaceChildren(...content(banner, view.chat.host.displayName, date, code));
  });

  function content(banner: Banner, host: string, date: string, code: string | null): Node[] {
    switch (banner) {
      case "none":
        return [];
      case "connecting":
      case "opening":
      case "reconnecting":
      case "offline":
        return [h("p", {}, words.chat.status[banner])];
      case "ends-soon":
        return [h("p", {}, words.chat.endsSoon(date))];
      case "invited":
        return [h("p", {}, sentence(words.chat.invited, host))];
      case "no-devices":
        return [h("p", {}, sentence(words.chat.noDevices, host))];
      case "identity": {
        const text = words.chat.identity;
        const button = h("button", { type: "button", class: "button small" }, text.accept);
        button.addEventListener("click", () => {
          button.disabled = true;
          void chat.acceptIdentity();
        });
        const compare = h("p", {}, sentence(code === null ? text.noCode : text.code, host));
        return [h("p", {}, sentence(text.text, host)), compare, ...(code === null ? [] : [digits(code)]), button];
      }
    }
  }
  return { element, close };
}

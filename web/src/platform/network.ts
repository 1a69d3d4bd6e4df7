import type { Network } from "../domain/ports.ts";

export const browserNetwork: Network = {
  online: () => navigator.onLine,
  subscribe(listener) {
    const online = (): void => listener("online");
    const offline = (): void => listener("offline");
    // A page that may be shown again by the back button is neither closed nor here.
    const away = (): void => listener("away");
    const back = ({ persisted }: PageTransitionEvent): void => {
      if (persisted) listener("online");
    };
    const visibility = (): void => listener(document.visibilityState === "visible" ? "visible" : "hidden");
    addEventListener("online", online);
    addEventListener("offline", offline);
    addEventListener("pagehide", away);
    addEventListener("pageshow", back);
    document.addEventListener("visibilitychange", visibility);
    return () => {
      removeEventListener("online", online);
      removeEventListener("offline", offline);
      removeEventListener("pagehide", away);
      removeEventListener("pageshow", back);
      document.removeEventListener("visibilitychange", visibility);
    };
  },
};

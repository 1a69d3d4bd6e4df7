import type { Network } from "../domain/ports.ts";

export const browserNetwork: Network = {
  online: () => navigator.onLine,
  subscribe(listener) {
    const online = (): void => listener("online");
    const offline = (): void => listener("offline");
    const visibility = (): void => listener(document.visibilityState === "visible" ? "visible" : "hidden");
    addEventListener("online", online);
    addEventListener("offline", offline);
    document.addEventListener("visibilitychange", visibility);
    return () => {
      removeEventListener("online", online);
      removeEventListener("offline", offline);
      document.removeEventListener("visibilitychange", visibility);
    };
  },
};

/** What the page can't do without, and how well this browser remembers. */

import type { Memory } from "../domain/ports.ts";

export type Lack = "too-old" | "not-secure";

export function lack(): Lack | null {
  // Locks, keys and more exist only where nobody on the way can change the page.
  if (!isSecureContext) return "not-secure";
  const there =
    typeof WebAssembly === "object" &&
    typeof indexedDB === "object" &&
    typeof crypto === "object" &&
    typeof crypto.subtle === "object" &&
    "locks" in navigator &&
    typeof WebSocket === "function" &&
    typeof Intl.PluralRules === "function";
  return there ? null : "too-old";
}

/** Marks of browsers inside of apps: Android's WebView, and what the larger messengers and networks add. */
const IN_APP = /; wv\)|\bFBA[NV]\b|\bFB_IAB\b|Instagram|\bLine\/|MicroMessenger|Snapchat|TikTok|musical_ly|BytedanceWebview|LinkedInApp|Twitter for|GSA\//;

export function memoryOf(browser: Pick<Navigator, "userAgent" | "vendor">, installed: boolean): Memory {
  const { userAgent, vendor } = browser;
  if (IN_APP.test(userAgent)) return "app";
  const isApple = vendor.startsWith("Apple");
  // On iOS every real browser names itself; what only names the engine is some app's own window.
  if (isApple && /iPhone|iPad|iPod/.test(userAgent) && !/Safari\//.test(userAgent) && !installed) return "app";
  return isApple && !installed ? "week" : "well";
}

/** Whether the page was put on the home screen and opened from there. */
export function isInstalled(): boolean {
  return matchMedia("(display-mode: standalone)").matches;
}

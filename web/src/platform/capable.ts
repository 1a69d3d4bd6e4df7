/** What the page can't do without. */

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
    typeof WebSocket === "function";
  return there ? null : "too-old";
}

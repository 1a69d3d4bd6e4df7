import type { Clock } from "../domain/ports.ts";

/** Browsers read the file a moment after the tap. */
const KEEP_MS = 60_000;

/** Hands a text to the browser as a file to be saved. */
export function download(clock: Clock, name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  clock.after(KEEP_MS, () => URL.revokeObjectURL(url));
}

/** What of a window says how much of the page can be seen. */
export interface Sight {
  readonly innerHeight: number;
  readonly visualViewport: Pick<VisualViewport, "scale" | "height" | "offsetTop" | "addEventListener"> | null;
}

/**
 * Keeps the page as high as what can be seen of it. Where `interactive-widget` is known the browser does so by
 * itself; elsewhere (iOS) the keyboard covers the page, and scrolls what is under it out of sight.
 */
export function fitViewport(window: Sight, style: Pick<CSSStyleDeclaration, "setProperty" | "removeProperty">): void {
  const view = window.visualViewport;
  if (view === null) return;
  const fit = (): void => {
    // Somebody who zooms in looks at a part of the page, which stays as it is.
    const isCovered = Math.abs(view.scale - 1) < 0.01 && view.height < window.innerHeight - 1;
    if (isCovered) {
      style.setProperty("--height", `${view.height}px`);
      style.setProperty("--top", `${view.offsetTop}px`);
    } else {
      style.removeProperty("--height");
      style.removeProperty("--top");
    }
  };
  view.addEventListener("resize", fit);
  view.addEventListener("scroll", fit);
}

/** Line drawings on a grid of 24, in the colour of the text around them. */

const NS = "http://www.w3.org/2000/svg";

const PATHS = {
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1Z",
  menu: "M12 5h.01M12 12h.01M12 19h.01",
  send: "M5 12h13M12 5l7 7-7 7",
  down: "M6 9l6 6 6-6",
  waiting: "M12 8v4.5l2.5 1.5M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0Z",
  sent: "M5 13l4.5 4.5L19 7",
  delivered: "M2 13l4.5 4.5L16 7M12.5 17.5 22 7",
  read: "M2 13l4.5 4.5L16 7M12.5 17.5 22 7",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  failed: "M12 8v5M12 16h.01M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0Z",
  door: "M4 21h16M6 21V5a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v16M14 12h.01",
  offline: "M4 4l16 16M3 9a14 14 0 0 1 4-2.500M21 9a14 14 0 0 0-10-3.900M7 13a8 8 0 0 1 4-2M17 13l-1.500-1.200M12 18h.01",
  windows: "M9 4h10a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-2M5 9h10a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1Z",
  again: "M20 12a8 8 0 1 1-2.300-5.600M20 3v4h-4",
  ended: "M8 12h8M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0Z",
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NS, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

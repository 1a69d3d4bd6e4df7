/** Everything stands under the page's own path, whatever prefix that has. */

/** The page's address without query and fragment. */
export function pageBase(): URL {
  return new URL("./", document.baseURI);
}

export function apiUrl(name: "link" | "join"): URL {
  return new URL(`api/v1/${name}`, pageBase());
}

export function socketUrl(): URL {
  const url = new URL("api/v1/socket", pageBase());
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

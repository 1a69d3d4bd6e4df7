/** Puts the parts together. */

import { App } from "./domain/app.ts";
import { Value } from "./domain/observe.ts";
import type { Screen } from "./domain/app.ts";
import type { World } from "./domain/ports.ts";
import { readFragment } from "./domain/token.ts";
import { pageBase } from "./platform/address.ts";
import { httpApi } from "./platform/api.ts";
import { browserAttention } from "./platform/attention.ts";
import { lack } from "./platform/capable.ts";
import { systemClock, systemRandom } from "./platform/clock.ts";
import { webLocks } from "./platform/locks.ts";
import { wasmMachines } from "./platform/machines.ts";
import { browserNetwork } from "./platform/network.ts";
import { webSockets } from "./platform/socket.ts";
import { indexedShelf } from "./platform/storage.ts";
import { tabMemory } from "./platform/tab.ts";
import { digest } from "./platform/wrapping.ts";
import { catalogueFor, datesFor } from "./text/index.ts";
import { mount } from "./ui/app.ts";

const words = catalogueFor(navigator.languages);
document.documentElement.lang = words.language;
document.title = words.title;

const root = document.getElementById("root") ?? document.body;
const context = { words, dates: datesFor(words, navigator.language), clock: systemClock, attention: browserAttention(words.title, words.chat.notification) };

const missing = lack();
if (missing === null) begin();
else mount(root, context, { screen: new Value<Screen>({ name: "problem", problem: missing, remedy: null }) });

function begin(): void {
  const prefix = pageBase().pathname;
  const tab = tabMemory(prefix);
  const machines = wasmMachines();
  const world: World = {
    clock: systemClock,
    random: systemRandom,
    sockets: webSockets,
    network: browserNetwork,
    api: httpApi,
    shelf: indexedShelf(indexedDB, `vestibule:${prefix}`),
    locks: webLocks(prefix),
    tab,
    machines,
    origin: location.origin,
    notice: words.notice,
    digest,
    reload: () => location.reload(),
  };
  const app = new App(world);
  mount(root, context, app);
  void app.start(takeFragment());

  // The same tab may be given another link: only the fragment changes, so nothing loads by itself.
  addEventListener("hashchange", () => {
    const fragment = takeFragment();
    if (fragment.kind === "token") {
      tab.set("token", fragment.token);
      location.reload();
    }
  });
  // After the first paint, so that nothing waits for it.
  requestAnimationFrame(() => setTimeout(() => machines.warmUp()));
}

/** Reads the link's secret, and takes it out of the address bar, the history and screenshots. */
function takeFragment(): ReturnType<typeof readFragment> {
  const fragment = readFragment(location.hash);
  if (fragment.kind !== "none") history.replaceState(null, "", location.pathname + location.search);
  return fragment;
}

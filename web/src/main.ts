/** Puts the parts together. */

import { App } from "./domain/app.ts";
import type { Screen } from "./domain/app.ts";
import { Value } from "./domain/observe.ts";
import { pause } from "./domain/ports.ts";
import type { World } from "./domain/ports.ts";
import { shownName } from "./domain/text.ts";
import { readFragment } from "./domain/token.ts";
import { pageBase } from "./platform/address.ts";
import { httpApi } from "./platform/api.ts";
import { browserAttention } from "./platform/attention.ts";
import { breath } from "./platform/breath.ts";
import { isInstalled, lack, memoryOf } from "./platform/capable.ts";
import { systemClock, systemRandom } from "./platform/clock.ts";
import { webLocks } from "./platform/locks.ts";
import { wasmMachines } from "./platform/machines.ts";
import { browserNetwork } from "./platform/network.ts";
import { webSockets } from "./platform/socket.ts";
import { indexedShelf } from "./platform/storage.ts";
import { tabMemory } from "./platform/tab.ts";
import { fetchBuildId, fetchOrganisation, fetchWords } from "./platform/texts.ts";
import { fitViewport } from "./platform/viewport.ts";
import { digest } from "./platform/wrapping.ts";
import { choose, datesFor, numbersFor } from "./text/index.ts";
import type { Catalogue } from "./text/index.ts";
import { loadWords } from "./text/load.ts";
import { NOBODY, inTheirWords } from "./text/organisation.ts";
import type { Organisation } from "./text/organisation.ts";
import { mount } from "./ui/app.ts";

/** So long that it is told in days. */
const LONG_MS = 864_000_000;
/** An organisation that answers later than this, counted from when the page's own words are there, is shown without its texts. */
const COURTESY_MS = 800;

const root = document.getElementById("root") ?? document.body;
const { language, locale } = choose(navigator.languages);
const organisation = new Value<Organisation | null>(null);
const numbers = numbersFor(locale);
/** Filled before anything is shown, and before any stored chat is opened. */
let spoken: Catalogue | null = null;

fitViewport(window, document.documentElement.style);
const missing = lack();
// In the order in which they are waited for, and each that takes a while in a task of its own.
const ready = speak();
const machines = wasmMachines();
const app: { readonly screen: Value<Screen> } =
  missing === null ? begin() : { screen: new Value<Screen>({ name: "problem", problem: missing, remedy: null }) };
const asked = breath().then(fetchOrganisation).then((answer) => organisation.set(answer));
void show();
// The WebAssembly is most of what is loaded. The others take a browser long for the first time: done while the
// network is waited for, they are quick when something is to be shown.
if (missing === null) void oneByOne(() => machines.warmUp(), () => numbers.span(LONG_MS), () => shownName("A", ""));

async function speak(): Promise<Catalogue> {
  const troubled = (): void => void root.classList.add("troubled");
  const words = await loadWords((attempt) => fetchWords(language, attempt), systemClock, troubled);
  await Promise.race([asked, pause(systemClock, COURTESY_MS)]);
  spoken = inTheirWords(words, organisation.get() ?? NOBODY);
  return spoken;
}

async function oneByOne(...works: readonly (() => unknown)[]): Promise<void> {
  for (const work of works) {
    await breath();
    work();
  }
}

async function show(): Promise<void> {
  const words = await ready;
  document.documentElement.lang = words.language;
  document.documentElement.dir = words.direction;
  document.title = words.title;
  const dates = datesFor(words, locale);
  const attention = browserAttention(words.title, words.chat.notification);
  const memory = memoryOf(navigator, isInstalled());
  mount(root, { words, dates, numbers, clock: systemClock, attention, organisation, address: pageBase().href, build: fetchBuildId, memory }, app);
  const now = systemClock.now();
  void oneByOne(() => dates.time(now), () => dates.moment(now));
}

function begin(): App {
  const prefix = pageBase().pathname;
  const tab = tabMemory(prefix);
  const world: World = {
    clock: systemClock,
    random: systemRandom,
    sockets: webSockets,
    network: browserNetwork,
    api: httpApi,
    shelf: indexedShelf(indexedDB, systemClock, `vestibule:${prefix}`),
    locks: webLocks(prefix),
    tab,
    machines,
    origin: location.origin,
    ready: ready.then(() => undefined),
    notice: (what, guest) => spoken?.notice(what, guest) ?? "",
    breath,
    digest,
    reload: () => location.reload(),
  };
  const started = new App(world);
  const fragment = takeFragment();
  void started.start(fragment);

  // The same tab may be given another link: only the fragment changes, so nothing loads by itself.
  addEventListener("hashchange", () => {
    const fragment = takeFragment();
    if (fragment.kind === "token") {
      tab.set("token", fragment.token);
      location.reload();
    }
  });
  return started;
}

/** Reads the link's secret, and takes it out of the address bar, the history and screenshots. */
function takeFragment(): ReturnType<typeof readFragment> {
  const fragment = readFragment(location.hash);
  if (fragment.kind !== "none") history.replaceState(null, "", location.pathname + location.search);
  return fragment;
}

// How long a guest waits, and for how many bytes: our page beside one that loads matrix-js-sdk with its
// crypto machine, in one run of one Chromium, over the same slowed network and processor. `npm run bench`;
// `cargo xtask page` builds ours first. docs/page.md says what each figure means.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";
import { launch } from "../../../web/tests/preview/browser.mjs";
import { newToken, serve } from "../../../web/tests/preview/serve.mjs";

const RUNS = Number(process.env.RUNS ?? 5);
const MESSAGES = 200;
const CPU = Number(process.env.CPU ?? 4);
/** How long a name takes to type, at least. */
const TYPING_MS = 3000;
/** Latency in milliseconds a request, throughput in bytes a second. */
const NETWORKS = {
  // What Lighthouse calls slow 4G: the network it computes with.
  "slow 4G": { latency: 150, downloadThroughput: (1.6 * 1024 * 1024) / 8, uploadThroughput: (750 * 1024) / 8 },
  // The same as Chromium's developer tools apply it: latency times 3.75, to stand for the handshakes.
  "slow 4G, as DevTools applies it": { latency: 562.5, downloadThroughput: (1.6 * 1024 * 1024 * 0.9) / 8, uploadThroughput: (750 * 1024 * 0.9) / 8 },
};

/** Notes when a screen is there, and each long task. */
const WATCH = `{
  window.__long = [];
  new PerformanceObserver((list) => list.getEntries().forEach(({ startTime, duration }) => window.__long.push([startTime, duration]))).observe({ type: "longtask", buffered: true });
  window.__at = {};
  const look = () => {
    const note = (name, is) => { if (is && !(name in window.__at)) window.__at[name] = performance.now(); };
    const root = document.getElementById("root");
    const start = document.querySelector("[type=submit]");
    note("landing", root?.dataset.screen === "landing" && start !== null && !start.disabled);
    const banner = document.querySelector(".banner");
    note("open", root?.dataset.screen === "chat" && banner !== null && !["connecting", "opening", "reconnecting", "offline"].includes(banner.dataset.banner));
    note("ready", root?.dataset.screen === "ready");
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
}`;

const played = await serve();
const sdk = await serveSdk();
const results = [];
try {
  for (const [name, network] of Object.entries(NETWORKS)) {
    for (let run = 0; run < RUNS; run += 1) {
      results.push({ name, ours: await ours(network, TYPING_MS), hasty: await ours(network, 0), sdk: await theirs(network) });
    }
  }
  const memory = await withMessages();
  report(memory);
} finally {
  played.close();
  sdk.close();
}

/**
 * A tab of a browser of its own, slowed, with nothing in its cache. It has shown some other page before: how
 * long a browser takes to start is not what is compared here.
 */
async function slowed(network, base) {
  const browser = await launch();
  const tab = await browser.tab({ width: 390, height: 844, touch: true, aided: false });
  await tab.goto(`${base}nothing`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  let bytes = 0;
  tab.listen("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await tab.send("Network.enable");
  await tab.early(WATCH);
  if (network !== null) {
    await tab.send("Network.emulateNetworkConditions", { offline: false, ...network });
    await tab.send("Emulation.setCPUThrottlingRate", { rate: CPU });
  }
  return { browser, tab, bytes: () => bytes };
}

/** `typing`: how long until *Start chat* is pressed. At once is the hardest: nothing is prepared yet. */
async function ours(network, typing) {
  const { browser, tab, bytes } = await slowed(network, played.base);
  const token = newToken();
  const portal = played.portalOf(token);
  portal.answers = false;
  await tab.goto(`${played.base}#${token}`);
  await tab.until(`window.__at?.landing`);
  await new Promise((resolve) => setTimeout(resolve, typing));
  const pressed = await tab.evaluate(`(() => {
    document.getElementById("name").value = "Maya";
    const now = performance.now();
    document.querySelector("[type=submit]").click();
    return now;
  })()`);
  await tab.until(`window.__at?.open`);
  const { landing, open } = await tab.evaluate("window.__at");
  const result = { paint: await paint(tab), landing, opening: open - pressed, ready: landing + open - pressed, ...(await tasks(tab)), bytes: bytes() };
  await browser.close();
  return result;
}

async function theirs(network) {
  const { browser, tab, bytes } = await slowed(network, sdk.base);
  await tab.goto(sdk.base);
  await tab.until(`window.__at?.ready`);
  const { ready } = await tab.evaluate("window.__at");
  const result = { paint: await paint(tab), ready, ...(await tasks(tab)), bytes: bytes(), memory: await memoryOf(browser, tab) };
  await browser.close();
  return result;
}

/** Our page at rest, and with a long chat. */
async function withMessages() {
  const { browser, tab } = await slowed(null, played.base);
  const token = newToken();
  const portal = played.portalOf(token);
  portal.answers = false;
  await tab.goto(`${played.base}#${token}`);
  await tab.until(`window.__at?.landing`);
  await tab.evaluate(`document.getElementById("name").value = "Maya"; document.querySelector("[type=submit]").click()`);
  await tab.until(`window.__at?.open`);
  const empty = await memoryOf(browser, tab);
  for (let sent = 1; sent <= MESSAGES; sent += 1) {
    portal.say(`A line as people write them, neither long nor short: number ${sent}.`);
    if (sent % 50 === 0) await tab.until(`document.querySelectorAll("[data-from=host]").length === ${sent}`);
  }
  const full = await memoryOf(browser, tab);
  await browser.close();
  return { empty, full };
}

async function paint(tab) {
  return tab.until(`performance.getEntriesByName("first-contentful-paint")[0]?.startTime`);
}

/** What of the tasks lies beyond 50 ms each, in milliseconds, and the longest. */
async function tasks(tab) {
  const long = await tab.evaluate("window.__long");
  const blocked = long.reduce((sum, [, duration]) => sum + duration - 50, 0);
  return { blocked, longest: Math.max(0, ...long.map(([, duration]) => duration)) };
}

/** Mebibytes: the scripts' heap after a collection, and what the tab's process has for itself alone. */
async function memoryOf(browser, tab) {
  await tab.send("HeapProfiler.collectGarbage");
  await tab.send("Performance.enable");
  const { metrics } = await tab.send("Performance.getMetrics");
  const heap = metrics.find(({ name }) => name === "JSHeapUsedSize").value;
  const { processInfo } = await browser.call("SystemInfo.getProcessInfo");
  const sizes = await Promise.all(processInfo.filter(({ type }) => type === "renderer").map(({ id }) => privateKib(id)));
  return { heap: heap / 2 ** 20, process: Math.max(...sizes) / 1024 };
}

async function privateKib(pid) {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return [...text.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)].reduce((sum, [, kib]) => sum + Number(kib), 0);
}

/** Bundles the other page and serves it compressed as ours is. */
async function serveSdk() {
  const { outputFiles } = await build({
    entryPoints: [new URL("sdk.mjs", import.meta.url).pathname],
    bundle: true, minify: true, format: "esm", target: "chrome130", write: false, logLevel: "error",
    define: { global: "globalThis" },
  });
  const wasm = "pkg/matrix_sdk_crypto_wasm_bg.wasm";
  const files = new Map([
    ["/", ["text/html", Buffer.from(`<!doctype html><html lang="en"><title>Chat</title><div id="root"></div><script type="module" src="/main.js"></script>`)]],
    ["/main.js", ["text/javascript", outputFiles[0].contents]],
    [`/${wasm}`, ["application/wasm", await readFile(new URL(`node_modules/@matrix-org/matrix-sdk-crypto-wasm/${wasm}`, import.meta.url))]],
  ]);
  const packed = new Map([...files].map(([path, [type, body]]) => [path, [type, brotliCompressSync(body)]]));
  const server = createServer((request, response) => {
    const [type, body] = packed.get(new URL(request.url, "http://x").pathname) ?? [];
    if (body === undefined) response.writeHead(404, { "content-type": "application/json" }).end(`{"errcode":"M_UNRECOGNIZED"}`);
    else response.writeHead(200, { "content-type": type, "content-encoding": "br", "cache-control": "no-store" }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { base: `http://127.0.0.1:${server.address().port}/`, close: () => server.closeAllConnections() || server.close() };
}

function report({ empty, full }) {
  const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const ms = (value) => `${Math.round(value)} ms`;
  console.log(`median of ${RUNS} runs, processor slowed ${CPU} times, empty cache\n`);
  for (const name of Object.keys(NETWORKS)) {
    const of = (side, figure) => middle(results.filter((result) => result.name === name).map((result) => result[side][figure]));
    const rows = [
      ["first paint", ms(of("ours", "paint")), ms(of("sdk", "paint"))],
      ["one can type and press Start", ms(of("ours", "landing")), "–"],
      [`from Start, pressed after ${TYPING_MS / 1000} s, to an open chat`, ms(of("ours", "opening")), "–"],
      ["ready to send: both together", ms(of("ours", "ready")), ms(of("sdk", "ready"))],
      ["the same with Start pressed at once", ms(of("hasty", "ready")), "–"],
      ["tasks beyond 50 ms, in sum", ms(of("ours", "blocked")), ms(of("sdk", "blocked"))],
      ["longest task", ms(of("ours", "longest")), ms(of("sdk", "longest"))],
      ["bytes on the wire until then", of("ours", "bytes"), of("sdk", "bytes")],
    ];
    table(name, rows);
  }
  const mib = (value) => `${value.toFixed(1)} MiB`;
  const other = (figure) => middle(results.map((result) => result.sdk.memory[figure]));
  table("memory", [
    ["scripts' heap when ready", mib(empty.heap), mib(other("heap"))],
    ["the tab's process when ready", mib(empty.process), mib(other("process"))],
    [`scripts' heap with ${MESSAGES} messages`, mib(full.heap), "–"],
    [`the tab's process with ${MESSAGES} messages`, mib(full.process), "–"],
  ]);
}

function table(title, rows) {
  console.log(`| ${title} | Vestibule | matrix-js-sdk |\n|---|---:|---:|`);
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
  console.log("");
}

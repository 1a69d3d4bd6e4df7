// Drives a headless Chromium over its own protocol; needs `node --experimental-websocket`.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
];

/** `profile`: a folder to use and to leave behind, instead of one that goes with the browser. */
export async function launch(own = undefined) {
  const profile = own ?? (await mkdtemp(join(tmpdir(), "vestibule-chromium-")));
  // Left behind by a browser that was killed; its number may belong to somebody else by now.
  for (const name of ["SingletonLock", "SingletonCookie", "SingletonSocket"]) await rm(join(profile, name), { force: true });
  const chromium = spawn(process.env.CHROMIUM ?? "chromium", [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
    // What one that is killed leaves behind goes with its profile.
    env: { ...process.env, TMPDIR: profile }, stdio: ["ignore", "ignore", "pipe"], detached: true,
  });
  const isAlive = () => chromium.exitCode === null && chromium.signalCode === null;
  const gone = new Promise((resolve) => chromium.once("exit", resolve));
  // It has a process group of its own, which nobody else would end.
  process.once("exit", () => isAlive() && process.kill(-chromium.pid, "SIGKILL"));
  const endpoint = await new Promise((resolve, reject) => {
    let output = "";
    chromium.stderr.on("data", (chunk) => {
      output += chunk;
      const found = /DevTools listening on (ws:\S+)/.exec(output);
      if (found) resolve(found[1]);
    });
    chromium.on("exit", () => reject(new Error(`Chromium did not start: ${output}`)));
  });
  const connection = await connect(endpoint);
  return {
    tab: (options) => newTab(connection, options),
    call: connection.call,
    async close() {
      // One that was killed answers nothing any more.
      if (isAlive()) await Promise.race([connection.call("Browser.close").catch(() => undefined), gone]);
      await gone;
      if (own === undefined) await rm(profile, { recursive: true, force: true });
    },
    /** All its processes at once, without a word to them; one that dies late could still hold what the next one opens. */
    async kill() {
      process.kill(-chromium.pid, "SIGKILL");
      await gone;
      await dissolved(chromium.pid);
    },
  };
}

/** When nothing of this process group holds a file any more. */
async function dissolved(group) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 10))) {
    const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name));
    if (!(await Promise.all(pids.map((pid) => holdsFiles(pid, group)))).includes(true)) return;
  }
  throw new Error("a killed browser's processes are still there");
}

/** One that only waits to be collected (`Z`) has let go of its files, unless other threads of it still end. proc_pid_stat(5) */
async function holdsFiles(pid, group) {
  try {
    const [state, , of] = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /s, "").split(" ");
    return Number(of) === group && !(state === "Z" && (await readdir(`/proc/${pid}/task`)).length === 1);
  } catch {
    return false;
  }
}

async function connect(endpoint) {
  const socket = new WebSocket(endpoint);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const calls = new Map();
  const listeners = new Set();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    const call = calls.get(message.id);
    calls.delete(message.id);
    if (call === undefined) for (const listener of listeners) listener(message);
    else if (message.error) call.reject(new Error(message.error.message));
    else call.resolve(message.result);
  };
  const call = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      last += 1;
      calls.set(last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
  return { call, listen: (listener) => listeners.add(listener) };
}

/** How long the page may take for what normally takes a moment; a busy machine may want more. */
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 10_000);

const CODES = { Backspace: 8, Tab: 9, Enter: 13, Escape: 27, " ": 32, ArrowUp: 38, ArrowDown: 40, End: 35, Home: 36 };
const TEXTS = { Enter: "\r", " ": " " };

/** What stays in the profile; every other context is forgotten with the browser. */
export const PROFILE = "profile";

/** `options`: width, height, dark, touch, still, forced, language, context (a tab's `context`, or `PROFILE`), aided (false: no tree for assistive technology, which takes time to make). */
async function newTab({ call, listen }, { width = 1280, height = 800, dark = false, touch = false, still: isStill = false, forced: isForced = false, language = undefined, context = undefined, aided = true } = {}) {
  const browserContextId = context ?? (await call("Target.createBrowserContext")).browserContextId;
  const inContext = browserContextId === PROFILE ? {} : { browserContextId };
  const { targetId } = await call("Target.createTarget", { url: "about:blank", ...inContext });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => call(method, params, sessionId);
  const problems = [];
  listen((message) => {
    if (message.sessionId !== sessionId) return;
    const { method, params } = message;
    if (method === "Runtime.exceptionThrown") problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") problems.push(params.entry.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") problems.push(params.args.map((a) => a.description ?? a.value).join(" "));
  });
  await send("Page.enable");
  await send("Runtime.enable");
  await send("Log.enable");
  if (aided) await send("Accessibility.enable");
  // As if each tab were the one in front, so that its focus shows.
  await send("Emulation.setFocusEmulationEnabled", { enabled: true });
  if (touch) await send("Emulation.setTouchEmulationEnabled", { enabled: true });
  if (language !== undefined) {
    await send("Emulation.setLocaleOverride", { locale: language });
    const { userAgent } = await call("Browser.getVersion");
    await send("Emulation.setUserAgentOverride", { userAgent, acceptLanguage: language });
  }

  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  const until = async (expression, what = expression) => {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
      const value = await evaluate(expression).catch(() => false);
      if (value) return value;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`not within ${PATIENCE_MS} ms: ${what}\n${await evaluate("document.body.innerText")}\n${problems.join("\n")}`);
  };
  const press = async (key, { shift = false } = {}) => {
    for (const type of ["keyDown", "keyUp"]) {
      const text = type === "keyDown" ? TEXTS[key] : undefined;
      await send("Input.dispatchKeyEvent", { type, key, code: key === " " ? "Space" : key, windowsVirtualKeyCode: CODES[key], modifiers: shift ? 8 : 0, text });
    }
  };
  const look = async ({ width: wide = width, height: high = height, dark: isDark = dark, still = isStill, forced = isForced, mobile = touch }) => {
    await send("Emulation.setDeviceMetricsOverride", { width: wide, height: high, deviceScaleFactor: 2, mobile });
    const features = [
      { name: "prefers-color-scheme", value: isDark ? "dark" : "light" },
      { name: "prefers-reduced-motion", value: still ? "reduce" : "no-preference" },
      { name: "forced-colors", value: forced ? "active" : "none" },
    ];
    await send("Emulation.setEmulatedMedia", { features });
  };
  /** Runs in a world of its own: the page's scripts don't see it, and the page's policy doesn't bind it. */
  const aside = async (expression, from = undefined) => {
    const { executionContextId: contextId } = await send("Page.createIsolatedWorld", { frameId: targetId, worldName: "aside" });
    if (from !== undefined) await send("Runtime.evaluate", { expression: from, contextId });
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, contextId, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await look({});
  return {
    context: browserContextId,
    problems,
    send,
    listen: (wanted, hear) => listen(({ sessionId: from, method, params }) => from === sessionId && method === wanted && hear(params)),
    evaluate,
    until,
    press,
    /** Another size or theme for what is shown: width, height, dark, still (less motion), forced (the reader's own colours), mobile. */
    look,
    aside,
    /** Runs before the page's own scripts, from the next page on. */
    early: (source) => send("Page.addScriptToEvaluateOnNewDocument", { source }),
    goto: (url) => send("Page.navigate", { url }),
    reload: () => send("Page.reload"),
    type: (text) => send("Input.insertText", { text }),
    click: (selector) => evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`),
    focus: (selector) => evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`),
    screen: (name) => until(`document.getElementById("root")?.dataset.screen === ${JSON.stringify(name)}`, `screen ${name}`),
    /** Whether the accessibility tree holds such a node. */
    async has(role, name) {
      const { root } = await send("DOM.getDocument");
      const { nodes } = await send("Accessibility.queryAXTree", { nodeId: root.nodeId, role, accessibleName: name });
      return nodes.some((node) => !node.ignored);
    },
    async shoot(path) {
      await new Promise((resolve) => setTimeout(resolve, 350));
      const { data } = await send("Page.captureScreenshot", { format: "png" });
      await writeFile(path, Buffer.from(data, "base64"));
    },
    close: () => call("Target.closeTarget", { targetId }),
  };
}

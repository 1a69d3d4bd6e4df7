// The built page over a bridge and a host that are played here: to look at the page, and to try it,
// without a homeserver. `node tests/preview/serve.mjs [port]` prints a link. The host answers each
// message; some words make more happen (see REPLIES).

import { createServer } from "node:http";
import { readFile, readdir } from "node:fs/promises";
import { createHash, randomBytes } from "node:crypto";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Machine, load } from "../../src/platform/wasm.mjs";
import { Host } from "../support/host.mjs";
import { accept } from "./websocket.mjs";

const wasm = await readFile(new URL("../../wasm/pkg/vestibule_web_bg.wasm", import.meta.url));
await load((imports) => WebAssembly.instantiate(wasm, imports));

const DIST = new URL("../../dist/", import.meta.url);
const PREFIX = "/guests/";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".wasm": "application/wasm", ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json" };
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "cache-control": "no-store",
};
const HOST = { user_id: "@alice:example.org", display_name: "Alice Moreau" };
const ROOM = "!room:example.org";
const IDLE = 864_000_000;
const PROTOCOL = 1;
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** Tokens whose links don't work: the last of the 26 characters says how. */
const BROKEN = { 1: ["link_unknown", 404], 2: ["link_used", 409], 3: ["link_expired", 410], 4: ["link_revoked", 410], 5: ["paused", 503], 6: ["too_many_tries", 429], 7: ["unavailable", 503], 9: ["damaged", 410], a: ["host_busy", 503] };
/** One whose link is good, and whose keys are refused when it is to be used. */
const REFUSED = "8";

/** What happens on a word of the guest, besides an answer; the second word says which. */
const REPLIES = {
  bye: (portal) => portal.put({ type: "ended", reason: "host" }),
  end: (portal, reason) => portal.put({ type: "ended", reason }),
  error: (portal, code) => portal.of("error", { code, message: "" }),
  ahead: (portal) => portal.jumpsTo(portal.lastN + 5),
  // Else the page would only send again what it has no answer for.
  behind: (portal) => (portal.settles = () => portal.jumpsTo(0)),
  // A page that is older loads itself again, once.
  older: (portal) => portal.speaks(2, 2),
  newer: (portal) => portal.speaks(0),
  plain: (portal) => portal.event({ type: "m.room.message", content: {}, unencrypted: true }),
  drop: (portal) => portal.line?.close(),
  typing: (portal) => portal.of("typing", { typing: true }),
  read: (portal) => portal.of("read", { event_id: `$guest${portal.lastN}` }),
};

export function newToken(last = "0") {
  return [...randomBytes(25)].map((byte) => ALPHABET[byte % 32]).join("") + last;
}

class Portal {
  constructor(token, state) {
    this.token = token;
    this.state = state;
    this.id = `portal${randomBytes(4).toString("hex")}`;
    this.ghost = `@_vestibule_${this.id}:example.org`;
    this.host = new Host(Machine, HOST.user_id, this.ghost, ROOM);
    this.joined = null;
    this.inbox = [];
    this.seq = 0;
    this.acked = 0;
    this.lastN = 0;
    this.texts = [];
    this.hostJoined = true;
    /** What the link asks for, and how many wrong ones it still takes. */
    this.passcode = null;
    this.tries = 5;
    /** How long the chat lasts without a message. */
    this.idle = IDLE;
    /** Of both sides, instead of what they are called otherwise. */
    this.names = { host: null, guest: null };
    /** The room is still being made. */
    this.isOpening = false;
    /** The error of the next numbered frame. */
    this.refuses = null;
    /** Told of each numbered frame before it is answered. */
    this.hears = () => undefined;
    /** Called once, when the page has stored all that it was told. */
    this.settles = () => undefined;
    this.answers = true;
    /** What was told in the moment: frames of typing and reading. */
    this.moments = [];
    /** Events that were taken back. */
    this.removed = [];
  }

  deadline() {
    return Date.now() + this.idle;
  }

  /** Tells something of the moment. */
  of(type, body) {
    this.line?.send(JSON.stringify({ type, ...body }));
  }

  put(body) {
    this.seq += 1;
    const frame = { ...body, seq: this.seq };
    this.inbox.push(frame);
    this.line?.send(JSON.stringify(frame));
  }

  event(extra) {
    const event = { type: "m.room.encrypted", event_id: `$${this.seq}`, sender: HOST.user_id, origin_server_ts: Date.now(), ...extra };
    this.put({ type: "event", event, deadline: this.deadline() });
  }

  say(text) {
    const { toDevice, content } = this.host.writes(text);
    for (const olm of toDevice) this.put({ type: "to_device", event: { type: "m.room.encrypted", sender: HOST.user_id, content: olm } });
    this.event({ content });
  }

  /** It counts differently from now on, as a store does that was restored. */
  jumpsTo(lastN) {
    this.settles = () => undefined;
    this.lastN = lastN;
    this.line?.close();
  }

  /** So many next connections are to another build. */
  speaks(protocol, times = 1) {
    this.state.protocols = Array(times).fill(protocol);
    this.line?.close();
  }

  /** As both sides are called from now on. */
  hostView() {
    return { ...HOST, ...(this.names.host === null ? {} : { display_name: this.names.host }) };
  }

  welcome() {
    this.of("welcome", {
      room_id: ROOM, ghost: this.ghost, name: this.names.guest ?? this.joined.name, host: this.hostView(), host_joined: this.hostJoined,
      last_n: this.lastN, acked_seq: this.acked, last_seq: this.seq, deadline: this.deadline(), idle_limit_ms: IDLE, keys: this.host.query(), one_time_keys: 49, fallback_unused: true,
      host_read: null, typing: true, receipts: true,
    });
  }

  /** The host sets up their account anew. */
  resets() {
    const { device, keys, claimed } = this.host.guest;
    this.host = new Host(Machine, HOST.user_id, this.ghost, ROOM, "HOSTNEW");
    this.host.meets(device, keys, claimed);
    this.of("keys_changed", {});
  }

  /** The host has no cross-signing. */
  unsigned() {
    const query = this.host.query.bind(this.host);
    this.host.query = () => ({ ...query(), master_keys: {}, self_signing_keys: {} });
  }

  /** The host has no device. */
  without() {
    const query = this.host.query.bind(this.host);
    this.host.query = () => ({ ...query(), device_keys: { [HOST.user_id]: {} } });
  }

  take(frame) {
    if (frame.n !== this.lastN + 1) return;
    this.lastN = frame.n;
    if (frame.type === "to_device") {
      for (const content of Object.values(frame.messages)) this.host.takesKey(content);
      return;
    }
    if (frame.type === "redact") {
      this.removed.push(frame.event_id);
      return this.put({ type: "delivered", n: frame.n, event_id: `$guest${frame.n}` });
    }
    const text = this.host.reads(frame.content, `$guest${frame.n}`);
    this.texts.push(text);
    this.put({ type: "delivered", n: frame.n, event_id: `$guest${frame.n}` });
    const [word, argument] = text.trim().toLowerCase().split(" ");
    if (Object.hasOwn(REPLIES, word)) REPLIES[word](this, argument);
    else if (this.answers) this.say(`You said: ${text}`);
  }
}

/** Starts listening; gives the address, the portals by token, and what ends it. */
export async function serve(port = 0) {
  const portals = new Map();
  const portalOf = (token) => {
    if (!portals.has(token)) portals.set(token, new Portal(token, state));
    return portals.get(token);
  };
  const state = {
    unreachable: false,
    /** Sockets are taken and not spoken to. */
    silent: false,
    /** The versions of the protocol that the next challenges name; after them the right one. */
    protocols: [],
    /** Who runs it: the body of `organisation.json`; `null`: none. */
    organisation: { name: null, terms_url: null, texts: {} },
    /** What answers to links and joins wait for. */
    late: Promise.resolve(),
    /** What a request for "hold" waits for, and what is told that one came. */
    held: Promise.resolve(),
    holds: () => undefined,
  };

  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    if (!path.startsWith(PREFIX)) return void response.writeHead(404).end();
    const name = path.slice(PREFIX.length) || "index.html";
    if (name === "hold") {
      state.holds();
      await state.held;
      return void response.writeHead(204).end();
    }
    if (name === "manifest.sha256") {
      const files = (await readdir(DIST)).filter((file) => !file.endsWith(".br")).sort();
      const lines = await Promise.all(files.map(async (file) => `${createHash("sha256").update(await readFile(new URL(file, DIST))).digest("hex")}  ${file}\n`));
      return void response.writeHead(200, { ...HEADERS, "content-type": "text/plain; charset=utf-8" }).end(lines.join(""));
    }
    if (name === "organisation.json") {
      if (state.organisation === null) return void response.writeHead(404, HEADERS).end();
      return void response.writeHead(200, { ...HEADERS, "content-type": "application/json" }).end(JSON.stringify(state.organisation));
    }
    if (request.method === "POST") {
      const body = JSON.parse(await text(request));
      // Refused: the connection breaks.
      if (await state.late.then(() => false, () => true)) return void request.socket.destroy();
      return void answer(response, name, body, portalOf);
    }
    try {
      const packed = /\bbr\b/.test(request.headers["accept-encoding"]) ? await readFile(new URL(`${name}.br`, DIST)).catch(() => null) : null;
      const body = packed ?? (await readFile(new URL(name, DIST)));
      const encoding = packed === null ? {} : { "content-encoding": "br" };
      response.writeHead(200, { ...HEADERS, ...encoding, "content-type": TYPES[extname(name)] ?? "application/octet-stream" }).end(body);
    } catch {
      response.writeHead(404, HEADERS).end();
    }
  });
  server.on("upgrade", (request, socket) => {
    if (state.unreachable) socket.destroy();
    else converse(request, socket, portals, state);
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}${PREFIX}`;
  return { base, portals, portalOf, state, close: () => server.closeAllConnections() || server.close() };
}

function answer(response, name, body, portalOf) {
  const json = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  const broken = BROKEN[body.token?.at(-1)];
  if (broken !== undefined) return json(broken[1], { error: { code: broken[0], message: "" } });
  const portal = portalOf(body.token);
  if (name === "api/v1/link") {
    if (portal.joined !== null) return json(409, { error: { code: "link_used", message: "" } });
    return json(200, { host: portal.hostView(), ghost: portal.ghost, expires_at: Date.now() + 6.5 * 86_400_000, idle_limit_ms: IDLE, passcode: portal.passcode !== null });
  }
  if (body.token.at(-1) === REFUSED) return json(400, { error: { code: "bad_keys", message: "" } });
  if (portal.passcode !== null && body.passcode !== portal.passcode) {
    portal.tries -= 1;
    if (portal.tries === 0) return json(410, { error: { code: "passcode_spent", message: "" } });
    return json(403, { error: { code: "passcode_wrong", message: "", tries_left: portal.tries } });
  }
  portal.joined ??= { device: body.device_id, name: `${body.name} (Guest)` };
  portal.host.meets(body.device_id, body.keys);
  return json(200, { portal: portal.id, name: portal.joined.name, host: portal.hostView() });
}

function converse(request, socket, portals, state) {
  let portal = null;
  const line = accept(request, socket, (raw) => hear(JSON.parse(raw)), () => {
    if (portal?.line === line) portal.line = null;
  });
  const say = (frame) => line.send(JSON.stringify(frame));
  if (state.silent) return;
  say({ type: "challenge", nonce: randomBytes(16).toString("base64"), protocol: state.protocols.shift() ?? PROTOCOL });

  function hear(frame) {
    switch (frame.type) {
      case "hello":
        portal = [...portals.values()].find(({ id }) => id === frame.portal) ?? null;
        if (portal === null) return say({ type: "error", code: "unknown_chat", message: "" });
        portal.line = line;
        if (portal.isOpening) return say({ type: "opening" });
        portal.welcome();
        for (const missed of portal.inbox) if (missed.seq > frame.last_seq) say(missed);
        return;
      case "ack":
        portal.acked = frame.seq;
        portal.inbox = portal.inbox.filter(({ seq }) => seq > frame.seq);
        if (portal.inbox.length === 0) portal.settles();
        return;
      case "typing":
      case "read":
        return void portal.moments.push(frame);
      case "leave":
        return portal.put({ type: "ended", reason: "guest" });
      case "keys_query":
        return say({ type: "result", id: frame.id, ok: true, body: portal.host.query() });
      case "keys_claim":
        return say({ type: "result", id: frame.id, ok: true, body: portal.host.claim() });
      case "keys_upload":
        return say({ type: "result", id: frame.id, ok: true, body: { one_time_keys: 50 } });
      default:
        if (portal.refuses !== null) {
          say({ type: "result", n: frame.n, ok: false, error: { code: portal.refuses, message: "" } });
          portal.refuses = null;
          return;
        }
        portal.hears(frame);
        // Answered before the host acts on it, as the real bridge does.
        say({ type: "result", n: frame.n, ok: true, deadline: portal.deadline() });
        setTimeout(() => portal.take(frame), 30);
    }
  }
}

async function text(request) {
  let body = "";
  for await (const chunk of request) body += chunk;
  return body;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { base } = await serve(Number(process.argv[2] ?? 0));
  console.log(`${base}#${newToken()}`);
}

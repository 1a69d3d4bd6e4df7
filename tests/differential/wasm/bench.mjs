// How long the calls take that a message waits for, in WebAssembly: ours beside the npm package of
// matrix-sdk-crypto, in one run. `cargo xtask page` builds ours first.
//
// Whom both talk with is always a machine of ours, so that both do the same work. Each call of ours is
// timed together with taking out what it changed, as the page stores it; matrix-sdk-crypto writes into its
// store in memory.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import * as sdk from "@matrix-org/matrix-sdk-crypto-wasm";
import { Machine, load } from "../../../web/src/platform/wasm.mjs";

const GUEST = "@_vestibule_7d1f:example.org";
const TWIN = "@_vestibule_99aa:example.org";
const HOST = "@alice:example.org";
const DEVICE = "GUESTDEV";
const ROOM = "!sealed:example.org";
const TEXT = JSON.stringify({ kind: "text", body: "A line as people write them, neither long nor short." });
const CONTENT = JSON.stringify({ msgtype: "m.text", body: JSON.parse(TEXT).body });
const DAY = 24 * 3_600_000;
const ROUNDS = 100;
const SESSIONS = 200;
let now = 1_795_364_370_566;
let events = 0;

const wasm = readFileSync(new URL("../../../web/wasm/pkg/vestibule_web_bg.wasm", import.meta.url));
await load((imports) => WebAssembly.instantiate(wasm, imports));
await sdk.initAsync();

// The homeserver: device keys, one-time keys, inboxes.
const server = { devices: {}, oneTime: {}, inbox: {} };

function upload(user, device, keys, oneTime) {
  if (keys) (server.devices[user] ??= {})[device] = keys;
  Object.assign((server.oneTime[user + device] ??= {}), oneTime);
}

// No identities: then all devices of a user count, on both sides.
function query(users) {
  const device_keys = Object.fromEntries(users.map((user) => [user, server.devices[user] ?? {}]));
  return JSON.stringify({ device_keys, failures: {} });
}

function claim(devices) {
  const one_time_keys = {};
  for (const [user, ids] of Object.entries(devices)) {
    for (const id of ids) {
      const left = server.oneTime[user + id];
      const [name] = Object.keys(left);
      (one_time_keys[user] ??= {})[id] = { [name]: left[name] };
      delete left[name];
    }
  }
  return JSON.stringify({ one_time_keys, failures: {} });
}

function post(sender, user, messages, type) {
  for (const [device, content] of Object.entries(messages)) {
    (server.inbox[user + device] ??= []).push({ type, sender, content });
  }
}

function take(user, device) {
  const waiting = server.inbox[user + device] ?? [];
  delete server.inbox[user + device];
  return waiting;
}

function event(sender, content) {
  events += 1;
  return JSON.stringify({
    type: "m.room.encrypted", event_id: `$${events}:x`, sender, room_id: ROOM, origin_server_ts: now, content,
  });
}

// A machine of ours and all that it has stored.
class Ours {
  constructor(user, device, peer) {
    Object.assign(this, { user, device, peer, records: {} });
    this.machine = Machine.create(user, device, peer, now);
    this.machine.makeKeys(50);
    const keys = JSON.parse(this.machine.publicKeys());
    upload(user, device, keys.device_keys, keys.one_time_keys);
    this.machine.markPublished();
    this.store();
  }

  store() {
    for (const [key, value] of Object.entries(JSON.parse(this.machine.changes()))) {
      if (value === null) delete this.records[key];
      else this.records[key] = value;
    }
  }

  learn() {
    this.machine.receiveKeys(query([this.peer]), now);
    this.store();
  }

  // Until the room's key is shared.
  prepare() {
    for (;;) {
      const need = JSON.parse(this.machine.prepare(ROOM, now));
      if (need.kind === "ready") break;
      else if (need.kind === "keys_query") this.machine.receiveKeys(query([this.peer]), now);
      else if (need.kind === "keys_claim") this.machine.receiveClaim(claim({ [this.peer]: need.devices }), now);
      else if (need.kind === "to_device") {
        post(this.user, this.peer, need.messages, need.event_type);
        this.machine.toDeviceStored(need.id);
      } else throw new Error(JSON.stringify(need));
    }
    this.store();
  }

  say() {
    this.prepare();
    const content = JSON.parse(this.machine.encrypt(ROOM, TEXT, now));
    this.store();
    return event(this.user, content);
  }

  sync() {
    for (const waiting of take(this.user, this.device)) {
      this.machine.receiveToDevice(JSON.stringify(waiting), now);
    }
    this.store();
  }
}

// matrix-sdk-crypto's machine.
class Theirs {
  constructor(machine, user) {
    Object.assign(this, { machine, user, room: () => new sdk.RoomId(ROOM) });
    this.settings = () => new sdk.DecryptionSettings(sdk.TrustRequirement.Untrusted);
  }

  static async join(user) {
    const machine = await sdk.OlmMachine.initialize(new sdk.UserId(user), new sdk.DeviceId(DEVICE));
    const theirs = new Theirs(machine, user);
    await theirs.settle();
    await machine.updateTrackedUsers([new sdk.UserId(HOST)]);
    await theirs.settle();
    return theirs;
  }

  async settle() {
    for (const request of await this.machine.outgoingRequests()) {
      let answer = "{}";
      if (request.type === sdk.RequestType.KeysUpload) {
        const body = JSON.parse(request.body);
        upload(this.user, DEVICE, body.device_keys, body.one_time_keys);
        answer = JSON.stringify({ one_time_key_counts: { signed_curve25519: 50 } });
      } else if (request.type === sdk.RequestType.KeysQuery) {
        answer = query(Object.keys(JSON.parse(request.body).device_keys));
      }
      await this.machine.markRequestAsSent(request.id, request.type, answer);
    }
  }

  async prepare() {
    const missing = await this.machine.getMissingSessions([new sdk.UserId(HOST)]);
    if (missing) {
      const wanted = JSON.parse(missing.body).one_time_keys;
      const devices = Object.fromEntries(Object.entries(wanted).map(([user, ids]) => [user, Object.keys(ids)]));
      await this.machine.markRequestAsSent(missing.id, missing.type, claim(devices));
    }
    const settings = new sdk.EncryptionSettings();
    for (const request of await this.machine.shareRoomKey(this.room(), [new sdk.UserId(HOST)], settings)) {
      const { messages } = JSON.parse(request.body);
      for (const [user, to] of Object.entries(messages)) post(this.user, user, to, request.event_type);
      await this.machine.markRequestAsSent(request.id, request.type, "{}");
    }
  }

  async sync(counts) {
    const waiting = take(this.user, DEVICE);
    const lists = new sdk.DeviceLists();
    const count = new Map(counts === undefined ? [] : [["signed_curve25519", counts]]);
    await this.machine.receiveSyncChanges(JSON.stringify(waiting), lists, count, undefined, this.settings());
  }

  read(text) {
    return this.machine.decryptRoomEvent(text, this.room(), this.settings());
  }
}

// The host's devices: each is a machine of ours, which talks with one of the two guests.
function host(devices, guest) {
  const all = [];
  for (let n = 0; n < devices; n += 1) all.push(new Ours(HOST, `HOST${n}`, guest));
  return all;
}

function reset() {
  Object.assign(server, { devices: {}, oneTime: {}, inbox: {} });
}

// The fastest and the median of so many rounds, in microseconds; `prepare` isn't timed.
async function measure(prepare, call, rounds = ROUNDS) {
  const times = [];
  for (let n = 0; n < rounds; n += 1) {
    const input = await prepare();
    const begun = performance.now();
    await call(input);
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  return [times[0] * 1000, times[Math.floor(times.length / 2)] * 1000];
}

async function encrypt() {
  reset();
  const devices = host(1, GUEST);
  const ours = new Ours(GUEST, DEVICE, HOST);
  ours.prepare();
  const a = await measure(() => ours.prepare(), () => {
    ours.machine.encrypt(ROOM, TEXT, now);
    ours.machine.changes();
  });
  const theirs = await Theirs.join(TWIN);
  const b = await measure(() => theirs.prepare(), () => theirs.machine.encryptRoomEvent(theirs.room(), "m.room.message", CONTENT));
  for (const device of devices) device.machine.free();
  return [a, b];
}

async function decrypt() {
  reset();
  const [forOurs] = host(1, GUEST);
  const ours = new Ours(GUEST, DEVICE, HOST);
  ours.learn();
  forOurs.learn();
  const a = await measure(
    () => { const said = forOurs.say(); ours.sync(); return said; },
    (said) => {
      const [item] = JSON.parse(ours.machine.receiveEvent(ROOM, said, now));
      ours.machine.changes();
      if (item.kind !== "text") throw new Error(item.kind);
    },
  );
  reset();
  const [forTheirs] = host(1, TWIN);
  const theirs = await Theirs.join(TWIN);
  forTheirs.learn();
  const b = await measure(
    async () => { const said = forTheirs.say(); await theirs.sync(); return said; },
    (said) => theirs.read(said),
  );
  return [a, b];
}

async function newSession(devices) {
  reset();
  host(devices, GUEST);
  const ours = new Ours(GUEST, DEVICE, HOST);
  ours.prepare();
  const a = await measure(
    () => { now += 8 * DAY; ours.learn(); },
    () => {
      for (;;) {
        const need = JSON.parse(ours.machine.prepare(ROOM, now));
        ours.machine.changes();
        if (need.kind === "ready") break;
        ours.machine.toDeviceStored(need.id);
      }
    },
  );
  const theirs = await Theirs.join(TWIN);
  await theirs.prepare();
  const b = await measure(() => theirs.machine.invalidateGroupSession(theirs.room()), () => theirs.prepare());
  return [a, b];
}

async function fiftyKeys() {
  reset();
  const ours = new Ours(GUEST, DEVICE, HOST);
  const records = JSON.stringify(ours.records);
  now += 3_600_000;
  // A new one each time: what is never used up is kept, and stored with the rest.
  const a = await measure(() => Machine.open(records), (machine) => {
    const made = JSON.parse(machine.oneTimeKeys(0, true, now));
    machine.changes();
    if (Object.keys(made.one_time_keys).length !== 50) throw new Error("not fifty");
  });
  const b = await measure(() => { reset(); return Theirs.join(TWIN); }, async (theirs) => {
    await theirs.sync(0);
    await theirs.settle();
  });
  return [a, b];
}

// The npm package opens a machine from IndexedDB alone, which Node.js hasn't.
async function openAndRead() {
  reset();
  const [forOurs] = host(1, GUEST);
  const ours = new Ours(GUEST, DEVICE, HOST);
  ours.learn();
  let said;
  for (let n = 0; n < SESSIONS; n += 1) {
    forOurs.machine.membershipChanged(ROOM);
    said = forOurs.say();
    ours.sync();
  }
  const records = JSON.stringify(ours.records);
  const held = Object.keys(ours.records).filter((key) => key.startsWith("inbound")).length;
  if (held !== SESSIONS) throw new Error(`${held} sessions`);
  const a = await measure(() => {}, () => {
    const machine = Machine.open(records);
    const [item] = JSON.parse(machine.receiveEvent(ROOM, said, now));
    if (item.kind !== "text") throw new Error(item.kind);
    machine.free();
  });
  return [a, undefined];
}

const rows = [
  ["encrypt", encrypt],
  ["decrypt", decrypt],
  ["new_session, 1 device", () => newSession(1)],
  ["new_session, 5 devices", () => newSession(5)],
  ["fifty_one_time_keys", fiftyKeys],
  ["open_and_read", openAndRead],
];
const cell = (times) => (times ?? ["-", "-"]).map((time) => (time.toFixed?.(0) ?? time).padStart(10)).join("");
console.log(`µs${"".padEnd(22)}${"ours".padStart(20)}${"sdk".padStart(20)}`);
console.log(`${"".padEnd(24)}${"fastest".padStart(10)}${"median".padStart(10)}`.concat("fastest".padStart(10), "median".padStart(10)));
for (const [name, run] of rows) {
  const [a, b] = await run();
  console.log(`${name.padEnd(24)}${cell(a)}${cell(b)}`);
}

/** The real machine on both sides, and a homeserver between them that forgets nothing. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Machine, load } from "../../src/platform/wasm.mjs";
import type { CryptoMachine, Machines } from "../../src/domain/machine.ts";
import type { ClientFrame } from "../../src/protocol.ts";
import { object, string } from "../../src/shape.ts";
import type { Json } from "../../src/shape.ts";
import { FakeBridge, GHOST, HOST } from "./bridge.ts";
import type { Numbered } from "./bridge.ts";
import { Host } from "./host.mjs";

declare const REPOSITORY: string;
export const ROOM = "!room:example.org";

await load((imports) => WebAssembly.instantiate(readFileSync(`${REPOSITORY}/web/wasm/pkg/vestibule_web_bg.wasm`), imports));

export class RealMachines implements Machines {
  warmUp(): void {
    return;
  }

  create(user: string, device: string, host: string, now: number): Promise<CryptoMachine> {
    const machine = Machine.create(user, device, host, now);
    while (machine.makeKeys(6));
    return Promise.resolve(machine);
  }

  open(records: ReadonlyMap<string, string>): Promise<CryptoMachine> {
    return Promise.resolve(Machine.open(JSON.stringify(Object.fromEntries(records))));
  }
}

/** A small generator, so that a seed says everything (Mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The Megolm session and index of a ciphertext: a version, the tag 8, the index as a varint. */
function ratchetStep(content: Json): string {
  const bytes = Buffer.from(string(content["ciphertext"], "ciphertext"), "base64");
  assert.deepEqual([bytes[0], bytes[1]], [3, 8]);
  let index = 0;
  for (let place = 2, shift = 0; ; place += 1, shift += 7) {
    const byte = bytes[place] ?? 0;
    index |= (byte & 0x7f) << shift;
    if (byte < 0x80) return `${string(content["session_id"], "session_id")}/${index}`;
  }
}

function devicesOf(keys: Json): Json {
  return object(object(keys["device_keys"], "device_keys")[HOST], HOST);
}

export class RealBridge extends FakeBridge {
  host = new Host(Machine, HOST, GHOST, ROOM);
  /** A device that the homeserver names as the host's, and that the host has not signed. */
  rogue: Host | null = null;
  /** What the host read, in the order of the frames. */
  readonly hostRead: string[] = [];
  /** Frames that were answered, and their events that were told. */
  readonly answered = new Set<number>();
  readonly told = new Map<number, string>();
  /** One-time keys by id, as the homeserver holds them; those used are remembered too. */
  readonly published = new Map<string, string>();
  readonly available: string[] = [];
  fallback: { id: string; key: Json; used: boolean } | null = null;
  private readonly ciphertexts = new Map<string, string>();
  private readonly keys = new Map<string, Json>();
  private device = "";
  private deviceKeys: Json = {};

  override async join(request: Parameters<FakeBridge["join"]>[0]): ReturnType<FakeBridge["join"]> {
    const answer = await super.join(request);
    if (this.device === "") {
      this.device = request.device_id;
      this.deviceKeys = request.keys;
      this.host.meets(this.device, this.deviceKeys, () => this.claimOfGuest());
    }
    assert.equal(request.device_id, this.device, "one device for one link");
    this.store(object(request.keys["one_time_keys"], "one_time_keys"), object(request.keys["fallback_keys"], "fallback_keys"));
    return answer;
  }

  override say(frame: object): void {
    const { type, n, ok } = frame as { type: string; n?: number; ok?: boolean };
    if (type === "result" && ok === true && n !== undefined) this.answered.add(n);
    super.say(frame);
  }

  override put(body: Parameters<FakeBridge["put"]>[0]): number {
    if (body.type === "delivered") this.told.set(Number(body["n"]), String(body["event_id"]));
    return super.put(body);
  }

  hostSays(text: string): void {
    this.says(this.host, text);
  }

  rogueSays(text: string): void {
    if (this.rogue !== null) this.says(this.rogue, text);
  }

  private says(host: Host, text: string): void {
    const { toDevice, content } = host.writes(text);
    for (const olm of toDevice) this.put({ type: "to_device", event: { type: "m.room.encrypted", sender: HOST, content: olm } });
    const event = { type: "m.room.encrypted", event_id: `$host${this.seq}`, sender: HOST, origin_server_ts: Date.now(), content };
    this.put({ type: "event", event, deadline: Date.now() + 1_000_000 });
  }

  /** The homeserver delivered what it got. */
  deliver(): void {
    for (const [n, frame] of this.committed) {
      if (frame.type === "send" && !this.told.has(n)) this.put({ type: "delivered", n, event_id: `$guest${n}` });
    }
  }

  /** A one-time key of the guest, or its fallback key. */
  claimOfGuest(): Json {
    const id = this.available.shift();
    if (id !== undefined) return this.claimAnswer(id, this.keys.get(id));
    assert.ok(this.fallback !== null);
    this.fallback.used = true;
    return this.claimAnswer(this.fallback.id, this.fallback.key);
  }

  report(): void {
    this.say({ type: "one_time_keys", count: this.available.length, fallback_unused: this.fallback?.used === false });
  }

  /** The host sets up their account anew, on another device. */
  resets(): void {
    this.host = new Host(Machine, HOST, GHOST, ROOM, "HOSTNEW");
    this.host.meets(this.device, this.deviceKeys, () => this.claimOfGuest());
    this.say({ type: "keys_changed" });
  }

  addsRogue(): void {
    this.rogue = new Host(Machine, HOST, GHOST, ROOM, "ROGUE");
    this.rogue.meets(this.device, this.deviceKeys, () => this.claimOfGuest());
    this.say({ type: "keys_changed" });
  }

  protected override hostKeys(): Json {
    const keys = this.host.query();
    if (this.rogue === null) return keys;
    const devices = { ...devicesOf(keys), ...devicesOf(this.rogue.query()) };
    return { ...keys, device_keys: { [HOST]: devices } };
  }

  protected override claimed(): Json {
    return this.host.claim();
  }

  protected override publish(frame: Extract<ClientFrame, { type: "keys_upload" }>): number {
    this.store(frame.one_time_keys, frame.fallback_keys);
    return this.available.length;
  }

  protected override took(frame: Numbered): void {
    if (frame.type === "to_device") {
      for (const content of Object.values(frame.messages)) this.host.takesKey(content);
    } else if (frame.type === "send") {
      this.hostRead.push(this.host.reads(frame.content, `$guest${frame.n}`));
    }
  }

  protected override isSigned(hello: Extract<ClientFrame, { type: "hello" }>): boolean {
    return hello.device === this.device;
  }

  protected override heardFrame(frame: ClientFrame): void {
    if (frame.type !== "send") return;
    const step = ratchetStep(frame.content);
    const ciphertext = string(frame.content["ciphertext"], "ciphertext");
    const before = this.ciphertexts.get(step);
    assert.ok(before === undefined || before === ciphertext, `ratchet step ${step} was used for two texts`);
    this.ciphertexts.set(step, ciphertext);
  }

  private claimAnswer(id: string, key: Json | undefined): Json {
    return { one_time_keys: { [GHOST]: { [this.device]: { [id]: key } } }, failures: {} };
  }

  /** As Synapse does: a key again is no matter, another key under the same id is refused. */
  private store(oneTime: Json, fallback: Json): void {
    for (const [id, value] of Object.entries(oneTime)) {
      const key = object(value, id);
      const text = string(key["key"], "key");
      const before = this.published.get(id);
      assert.ok(before === undefined || before === text, `${id} already exists`);
      if (before !== undefined) continue;
      this.published.set(id, text);
      this.available.push(id);
      this.keys.set(id, key);
    }
    for (const [id, key] of Object.entries(fallback)) {
      if (this.fallback?.id !== id) this.fallback = { id, key: object(key, id), used: false };
      assert.deepEqual(this.fallback.key, key, `${id} already exists`);
    }
  }
}

import assert from "node:assert/strict";
import type { CryptoMachine, Item, Machines, Need, Outgoing } from "../../src/domain/machine.ts";
import type { Json } from "../../src/shape.ts";

interface State {
  user: string;
  device: string;
  index: number;
  shared: boolean;
  claimed: boolean;
  known: boolean;
  identity: "same" | "changed";
  code?: string | undefined;
  toDevice: string | null;
  published: boolean;
  set: number;
  refilledAt: number;
  keys: string[];
}

/** Every ciphertext that any machine of a test made, by (device, index). */
export class Ledger {
  private readonly made = new Map<string, string>();

  record(device: string, index: number, body: string): void {
    const key = `${device}/${index}`;
    const before = this.made.get(key);
    assert.ok(before === undefined || before === body, `index ${key} carries two messages`);
    this.made.set(key, body);
  }

  get size(): number {
    return this.made.size;
  }
}

/**
 * Stands for the WebAssembly: same calls, no secrets. A "ciphertext" is `index:body`; an incoming one
 * is `key:body` and is readable once the to-device event with that key came. A body in braces is the
 * item that the real machine would make of it.
 */
export class FakeMachine implements CryptoMachine {
  private dirty = true;
  private readonly waiting = new Map<string, { event: Record<string, unknown>; key: string; body: string }>();
  freed = false;
  /** What the next host's identity check says. */
  static hostIdentity: "same" | "changed" = "same";
  static hostDevices = 1;
  /** Of the identity that the host is seen with from now on; none without cross-signing. */
  static hostCode: string | undefined = "1111 2222";

  constructor(
    private readonly state: State,
    private readonly ledger: Ledger,
  ) {}

  changes(): string {
    this.alive();
    if (!this.dirty) return "{}";
    this.dirty = false;
    return JSON.stringify({ state: btoa(JSON.stringify(this.state)) });
  }

  publicKeys(): string {
    return JSON.stringify({ device_keys: { device_id: this.state.device, user_id: this.state.user } });
  }

  markPublished(): void {
    this.change({ published: true });
  }

  signHello(origin: string, portal: string, nonce: string): string {
    this.alive();
    return `${origin}|${portal}|${this.state.device}|${nonce}`;
  }

  receiveToDevice(event: string): string {
    const key = String((JSON.parse(event) as { content: { key: string } }).content.key);
    if (key === "junk") throw Object.assign(new Error("junk"), { name: "bad_input" });
    this.change({ keys: [...this.state.keys, key] });
    const items = [...this.waiting.values()].filter((held) => held.key === key).map((held) => text(held.event, held.body));
    return JSON.stringify(items);
  }

  receiveEvent(_roomId: string, json: string): string {
    const event = JSON.parse(json) as { event_id: string; sender: string; origin_server_ts: number; type: string } & Record<string, unknown>;
    const base = { event_id: event.event_id, sender: event.sender, ts: event.origin_server_ts };
    if (event["unencrypted"] === true) return JSON.stringify([{ ...base, kind: "unsupported", what: "unencrypted" }]);
    if (event.type === "m.room.redaction") return JSON.stringify([{ ...base, kind: "redaction", redacts: event["redacts"] }]);
    const ciphertext = (event["content"] as { ciphertext?: string }).ciphertext;
    if (ciphertext === undefined) throw Object.assign(new Error("junk"), { name: "bad_input" });
    const place = ciphertext.indexOf(":");
    const [key, body] = [ciphertext.slice(0, place), ciphertext.slice(place + 1)];
    this.dirty = true;
    if (this.state.keys.includes(key)) return JSON.stringify([text(event, body)]);
    this.waiting.set(event.event_id, { event, key, body });
    return JSON.stringify([{ ...base, kind: "undecryptable", reason: "no_key" } satisfies Item]);
  }

  receiveKeys(): string {
    this.change({ known: true, identity: FakeMachine.hostIdentity, code: FakeMachine.hostCode });
    return JSON.stringify({ identity: this.state.identity, devices: FakeMachine.hostDevices, items: [] });
  }

  acceptIdentity(): string {
    FakeMachine.hostIdentity = "same";
    this.change({ identity: "same" });
    return "[]";
  }

  safetyCode(): string | undefined {
    this.alive();
    return this.state.code;
  }

  keysChanged(): void {
    this.change({ known: false });
  }

  membershipChanged(): void {
    this.change({ known: false, shared: false, toDevice: null });
  }

  wantsKeys(): boolean {
    return false;
  }

  wantsHealing(): boolean {
    return false;
  }

  heal(): string {
    return JSON.stringify({ kind: "ready" });
  }

  prepare(): string {
    this.alive();
    return JSON.stringify(this.need());
  }

  receiveClaim(): void {
    this.change({ claimed: true });
  }

  toDeviceStored(id: string): void {
    assert.equal(id, this.state.toDevice);
    this.change({ shared: true });
  }

  encrypt(_roomId: string, json: string): string {
    const message = JSON.parse(json) as Outgoing;
    const body = message.kind === "text" ? message.body : `(${Object.values(message).join(" ")})`;
    assert.equal(this.need().kind, "ready");
    const index = this.state.index;
    this.change({ index: index + 1 });
    this.ledger.record(this.state.device, index, body);
    return JSON.stringify({ algorithm: "m.megolm.v1.aes-sha2", ciphertext: `${index}:${body}` });
  }

  oneTimeKeys(count: number, fallbackUnused: boolean, now: number): string {
    const { state } = this;
    if (state.published) {
      const due = this.oneTimeKeysAt(count, fallbackUnused);
      if (due === undefined || due > now) return "null";
      this.change({ published: false, set: state.set + 1, refilledAt: now });
    }
    return JSON.stringify({ one_time_keys: { [`signed_curve25519:SET${state.set}`]: {} }, fallback_keys: {} });
  }

  oneTimeKeysAt(count: number, fallbackUnused: boolean): number | undefined {
    if (count < 25) return this.state.refilledAt + 10_000;
    return fallbackUnused ? undefined : this.state.refilledAt + 3_600_000;
  }

  free(): void {
    this.freed = true;
  }

  private need(): Need {
    if (this.state.identity === "changed") return { kind: "blocked", reason: "identity_changed" };
    if (!this.state.known) return { kind: "keys_query" };
    if (FakeMachine.hostDevices === 0) return { kind: "blocked", reason: "no_devices" };
    if (!this.state.claimed) return { kind: "keys_claim", devices: ["HOST"] };
    if (!this.state.shared) {
      if (this.state.toDevice === null) this.change({ toDevice: "share-1" });
      return { kind: "to_device", id: "share-1", event_type: "m.room.encrypted", messages: { HOST: { key: "roomkey" } } };
    }
    return { kind: "ready" };
  }

  private change(change: Partial<State>): void {
    this.alive();
    Object.assign(this.state, change);
    this.dirty = true;
  }

  private alive(): void {
    assert.ok(!this.freed, "a freed machine was used");
  }
}

function text(event: Record<string, unknown>, body: string): Json {
  return {
    kind: "text",
    event_id: event["event_id"],
    sender: event["sender"],
    ts: event["origin_server_ts"],
    msgtype: "m.text",
    body,
    ...(body.startsWith("{") ? (JSON.parse(body) as Json) : {}),
  };
}

export class FakeMachines implements Machines {
  readonly ledger = new Ledger();
  created = 0;

  warmUp(): void {
    return;
  }

  create(user: string, device: string): Promise<CryptoMachine> {
    this.created += 1;
    const state: State = {
      user, device, index: 0, shared: false, claimed: false, known: false, identity: "same", toDevice: null, published: false, set: 0, refilledAt: 0, keys: [],
    };
    return Promise.resolve(new FakeMachine(state, this.ledger));
  }

  open(records: ReadonlyMap<string, string>): Promise<CryptoMachine> {
    const record = records.get("state");
    if (record === undefined) return Promise.reject(new Error("records_missing"));
    return Promise.resolve(new FakeMachine(JSON.parse(atob(record)) as State, this.ledger));
  }
}

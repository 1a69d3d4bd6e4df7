import type { ClientFrame, EndReason, ErrorBody, JoinAnswer, JoinRequest, LinkInfo } from "../../src/protocol.ts";
import type { Json } from "../../src/shape.ts";
import { ApiError } from "../../src/domain/ports.ts";
import type { Api, Socket, SocketEvents, Sockets } from "../../src/domain/ports.ts";

export const HOST = "@alice:example.org";
export const GHOST = "@_vestibule_1:example.org";
export const DEADLINE = 1_796_228_370_566;

export type Numbered = Extract<ClientFrame, { n: number }>;
type InboxBody = Record<string, unknown> & { type: string };

/** Plays the bridge of `docs/protocol.md` for one chat, without a network. */
export class FakeBridge implements Sockets, Api {
  warmUp(): void {
    return;
  }

  /** Every frame that arrived, over all connections. */
  readonly heard: ClientFrame[] = [];
  /** What was committed, by number. */
  readonly committed = new Map<number, Numbered>();
  /** Joins by device. */
  readonly joins: JoinRequest[] = [];
  /** When the chat ends if nobody writes. */
  deadline = DEADLINE;
  lastN = 0;
  acked = 0;
  /** Of its store; another one after it was restored from a backup. */
  storeId: string | null = "first";
  protocol = 1;
  opening = false;
  /** `null`: the bridge could not ask. */
  oneTimeKeys: number | null = 50;
  /** What a welcome says of marks: the host's last one, and what is relayed. */
  marks = { host_read: null as string | null, typing: true, receipts: true };
  /** Frames that get no answer, as when the connection dies right after them. */
  deaf: (frame: ClientFrame) => boolean = () => false;
  /** The error of the next numbered frame. */
  refuseNext: { code: string; retry_after_ms?: number } | null = null;
  linkError: string | null = null;
  joinErrors: (string | ErrorBody)[] = [];
  /** What the link asks for. */
  passcode: string | null = null;
  private tries = 5;
  unreachable = false;
  /** Frames of a connection that was replaced may still be on their way. */
  hearsAll = false;
  connections = 0;
  /** Of the next question about keys. */
  refuseUpload: { code: string; retry_after_ms?: number } | null = null;
  inbox: (InboxBody & { seq: number })[] = [];
  seq = 0;
  private line: { events: SocketEvents; greeted: boolean } | null = null;

  link(): Promise<LinkInfo> {
    if (this.linkError !== null) return Promise.reject(new ApiError({ code: this.linkError, retryAfterMs: null }));
    const host = { userId: HOST, displayName: "Alice" };
    return Promise.resolve({ host, ghost: GHOST, expiresAt: DEADLINE, idleLimitMs: 864_000_000, passcode: this.passcode !== null });
  }

  join(request: JoinRequest): Promise<JoinAnswer> {
    this.joins.push(structuredClone(request));
    const error = this.joinErrors.shift() ?? this.refusePasscode(request);
    if (error !== null) return Promise.reject(new ApiError(typeof error === "string" ? { code: error, retryAfterMs: null } : error));
    return Promise.resolve({ portal: "portal", name: `${request.name} (Guest)`, host: { userId: HOST, displayName: "Alice" } });
  }

  private refusePasscode({ passcode }: JoinRequest): ErrorBody | null {
    if (this.passcode === null || passcode === this.passcode) return null;
    if (passcode === undefined) return { code: "passcode_needed", retryAfterMs: null };
    this.tries -= 1;
    return { code: this.tries === 0 ? "passcode_spent" : "passcode_wrong", retryAfterMs: null, triesLeft: this.tries };
  }

  open(events: SocketEvents): Socket {
    this.connections += 1;
    const line = { events, greeted: false };
    this.line = line;
    setImmediate(() => {
      if (this.unreachable) this.drop();
      else this.say({ type: "challenge", nonce: `nonce${this.connections}`, protocol: this.protocol, store_id: this.storeId });
    });
    return {
      send: (text) => (this.line === line || this.hearsAll) && this.hear(JSON.parse(text) as ClientFrame),
      close: () => {
        if (this.line === line) this.line = null;
      },
    };
  }

  /** The connection breaks. */
  drop(): void {
    const line = this.line;
    this.line = null;
    line?.events.closed();
  }

  get connected(): boolean {
    return this.line?.greeted === true;
  }

  /** Puts a frame into the inbox, and sends it if somebody is there. */
  put(body: InboxBody): number {
    this.seq += 1;
    const frame = { ...body, seq: this.seq };
    this.inbox.push(frame);
    if (this.connected) this.say(frame);
    return this.seq;
  }

  /** Sends a frame as it is. */
  say(frame: object): void {
    const line = this.line;
    if (line !== null) setImmediate(() => this.line === line && line.events.message(JSON.stringify(frame)));
  }

  event(id: string, ciphertext: string, extra: object = {}): InboxBody {
    const event = { type: "m.room.encrypted", event_id: id, sender: HOST, origin_server_ts: 1_795_364_370_566, content: { ciphertext }, ...extra };
    return { type: "event", event, deadline: this.deadline };
  }

  key(key: string): InboxBody {
    return { type: "to_device", event: { type: "m.room.encrypted", sender: HOST, content: { key } } };
  }

  end(reason: EndReason): void {
    this.put({ type: "ended", reason });
  }

  welcome(): void {
    this.say({
      type: "welcome", room_id: "!room:example.org", ghost: GHOST, name: "Maya (Guest)",
      host: { user_id: HOST, display_name: "Alice" }, host_joined: true, last_n: this.lastN, acked_seq: this.acked,
      last_seq: this.seq, deadline: this.deadline,
      idle_limit_ms: 864_000_000, keys: this.hostKeys(), one_time_keys: this.oneTimeKeys, fallback_unused: true,
      ...this.marks,
    });
  }

  /** The texts that reached the bridge, in the order of their numbers. */
  texts(): string[] {
    const sends = [...this.committed].sort(([a], [b]) => a - b).map(([, frame]) => frame);
    return sends.flatMap((frame) => (frame.type === "send" ? [String(frame.content["ciphertext"]).replace(/^\d+:/, "")] : []));
  }

  private hear(frame: ClientFrame): void {
    this.heard.push(frame);
    this.heardFrame(frame);
    if (this.deaf(frame)) return;
    switch (frame.type) {
      case "hello":
        this.greet(frame);
        return;
      case "ack":
        this.acked = Math.max(this.acked, frame.seq);
        this.inbox = this.inbox.filter(({ seq }) => seq > frame.seq);
        return;
      case "leave":
        this.end("guest");
        return;
      case "send":
      case "to_device":
      case "redact":
        this.count(frame);
        return;
      case "typing":
      case "read":
        return;
      case "keys_upload":
        if (this.refuseUpload === null) this.say({ type: "result", id: frame.id, ok: true, body: { one_time_keys: this.publish(frame) } });
        else this.say({ type: "result", id: frame.id, ok: false, error: { message: "", ...this.refuseUpload } });
        return;
      case "keys_query":
        this.say({ type: "result", id: frame.id, ok: true, body: this.hostKeys() });
        return;
      case "keys_claim":
        this.say({ type: "result", id: frame.id, ok: true, body: this.claimed() });
    }
  }

  /** The `/keys/query` answer for the host. */
  protected hostKeys(): Json {
    return { device_keys: {} };
  }

  /** The `/keys/claim` answer for the host's device. */
  protected claimed(): Json {
    return {};
  }

  /** The homeserver gets new keys; gives how many it has. */
  protected publish(_: Extract<ClientFrame, { type: "keys_upload" }>): number {
    return this.oneTimeKeys ?? 50;
  }

  /** A frame arrived. */
  protected heardFrame(_: ClientFrame): void {
    return;
  }

  /** A frame was committed for the first time. */
  protected took(_: Numbered): void {
    return;
  }

  private greet(hello: Extract<ClientFrame, { type: "hello" }>): void {
    if (!this.isSigned(hello) || hello.portal !== "portal") {
      this.say({ type: "error", code: "bad_signature", message: "" });
      return;
    }
    if (this.line !== null) this.line.greeted = true;
    this.lastN = Math.max(this.lastN, hello.last_n ?? 0);
    if (this.opening) this.say({ type: "opening" });
    else this.welcome();
    for (const frame of this.inbox) if (frame.seq > hello.last_seq) this.say(frame);
  }

  protected isSigned(hello: Extract<ClientFrame, { type: "hello" }>): boolean {
    return hello.signature === `https://chat.example.org|portal|${hello.device}|nonce${this.connections}`;
  }

  private count(frame: Numbered): void {
    const refuse = this.refuseNext;
    this.refuseNext = null;
    if (refuse !== null) {
      this.say({ type: "result", n: frame.n, ok: false, error: { message: "", ...refuse } });
    } else if (frame.n > this.lastN + 1) {
      this.say({ type: "result", n: frame.n, ok: false, error: { code: "gap", message: "" } });
    } else {
      if (frame.n === this.lastN + 1) {
        this.lastN = frame.n;
        this.committed.set(frame.n, frame);
        this.took(frame);
      }
      this.say({ type: "result", n: frame.n, ok: true, deadline: this.deadline });
    }
  }
}

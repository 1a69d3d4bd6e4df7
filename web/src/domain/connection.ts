/** One socket after another: greets, hands over what comes, and tries again when it breaks. */

import { PROTOCOL, parseServerFrame } from "../protocol.ts";
import type { ClientFrame, ServerFrame } from "../protocol.ts";
import { Signal, Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import type { Clock, Network, NetworkEvent, Random, Socket, Sockets } from "./ports.ts";

/**
 * `greeted`: the hello is out, the answer not there yet.
 * `waiting`: for the next try.
 */
export type Line = "stopped" | "connecting" | "greeted" | "open" | "waiting";

export interface ConnectionWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly network: Network;
}

/** Signs the challenge; rejecting it means that this browser can't greet. */
export type Greet = (nonce: string, storeId: string | null) => Promise<ClientFrame>;

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** A connection that held this long was a good one: the next trouble starts from the first delay. */
const STEADY_MS = 10_000;
/** From opening a socket to its welcome or "opening". */
const GREETING_MS = 20_000;
/** After so long out of sight a socket may be dead without having said so. */
const HIDDEN_MS = 60_000;

export class Connection {
  readonly line = new Value<Line>("stopped");
  readonly frames = new Signal<ServerFrame>();
  /** The bridge speaks this version instead of ours. */
  readonly otherProtocol = new Signal<number>();

  private socket: Socket | null = null;
  private attempts = 0;
  private hiddenSince: number | null = null;
  private timer: Cancel = () => undefined;
  private unsubscribe: Cancel = () => undefined;

  constructor(
    private readonly world: ConnectionWorld,
    private readonly greet: Greet,
  ) {}

  start(): void {
    if (this.line.get() !== "stopped") return;
    this.unsubscribe = this.world.network.subscribe((event) => this.onNetwork(event));
    this.connect();
  }

  stop(): void {
    this.unsubscribe();
    this.hangUp();
    this.line.set("stopped");
  }

  /** False when nobody is there to hear it; the frame is then to be sent after the next welcome. */
  send(frame: ClientFrame): boolean {
    if (this.socket === null) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** Gives this socket up and takes another. */
  restart(): void {
    if (this.line.get() === "stopped") return;
    this.hangUp();
    this.retryLater();
  }

  private connect(): void {
    this.hangUp();
    this.line.set("connecting");
    const socket = this.world.sockets.open({
      message: (text) => this.socket === socket && this.receive(text),
      closed: () => this.socket === socket && this.restart(),
    });
    this.socket = socket;
    this.timer = this.world.clock.after(GREETING_MS, () => this.restart());
  }

  private hangUp(): void {
    this.timer();
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private retryLater(): void {
    this.line.set("waiting");
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.attempts);
    this.attempts = Math.min(this.attempts + 1, 10);
    // Half of it by chance: after a restart of the bridge not everybody comes at once.
    const delay = ceiling / 2 + (ceiling / 2) * this.world.random.fraction();
    this.timer = this.world.clock.after(delay, () => this.connect());
  }

  private onNetwork(event: NetworkEvent): void {
    if (event === "hidden") {
      this.hiddenSince = this.world.clock.now();
      return;
    }
    if (event === "offline" || this.line.get() === "stopped") return;
    if (event === "away") {
      this.hangUp();
      this.line.set("waiting");
      return;
    }
    const since = this.hiddenSince;
    const longHidden = event === "visible" && since !== null && this.world.clock.now() - since > HIDDEN_MS;
    if (event === "visible") this.hiddenSince = null;
    // A network that came back is most likely another one, over which the old socket is dead.
    if (this.line.get() === "waiting" || longHidden || event === "online") {
      this.attempts = 0;
      this.connect();
    }
  }

  private receive(text: string): void {
    let frame: ServerFrame;
    try {
      frame = parseServerFrame(text);
    } catch {
      this.restart();
      return;
    }
    switch (frame.type) {
      case "challenge":
        this.challenged(frame.nonce, frame.protocol, frame.storeId);
        return;
      case "opening":
      case "welcome":
        this.settled(frame.type === "welcome");
        break;
      default:
        break;
    }
    this.frames.emit(frame);
  }

  private challenged(nonce: string, protocol: number, storeId: string | null): void {
    if (protocol !== PROTOCOL) {
      this.stop();
      this.otherProtocol.emit(protocol);
      return;
    }
    const socket = this.socket;
    this.greet(nonce, storeId).then(
      (hello) => {
        if (this.socket !== socket) return;
        this.line.set("greeted");
        this.send(hello);
      },
      () => this.socket === socket && this.restart(),
    );
  }

  private settled(open: boolean): void {
    this.timer();
    this.timer = this.world.clock.after(STEADY_MS, () => {
      this.attempts = 0;
    });
    if (open) this.line.set("open");
  }
}

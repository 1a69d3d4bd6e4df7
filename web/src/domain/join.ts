/** From a link that was looked at to a chat: the name, the keys, the one request that uses the link. */

import type { LinkInfo } from "../protocol.ts";
import { drain, readObject } from "./machine.ts";
import type { CryptoMachine } from "./machine.ts";
import { Value } from "./observe.ts";
import { ApiError } from "./ports.ts";
import type { ChatStore, World } from "./ports.ts";
import type { JoinedChat, JoiningChat } from "./records.ts";
import { cleanName } from "./text.ts";

export type JoinState =
  | { readonly kind: "form"; readonly name: string; readonly wrong: Wrong | null }
  /** `troubled`: the bridge didn't answer yet, and is asked again. */
  | { readonly kind: "working"; readonly troubled: boolean };

/** What has to be typed anew. `left`: how many more passcodes may be tried, if one was wrong. */
export type Wrong = { readonly field: "name" } | { readonly field: "passcode"; readonly left: number | null };

/** What a link offers. */
export interface Offer extends LinkInfo {
  readonly token: string;
  readonly id: string;
}

/** A device whose keys are on disk. */
export interface Device {
  readonly store: ChatStore;
  readonly machine: CryptoMachine;
  readonly chat: JoiningChat;
}

export interface JoinEvents {
  /** Makes this tab the chat's owner. False: it can't be, and the person was told. */
  claim(): Promise<boolean>;
  joined(store: ChatStore, machine: CryptoMachine, chat: JoinedChat): void;
  /** The bridge said no, for good or for now. */
  refused(code: string): void;
  /** Keys could not be made or stored. */
  failed(error: unknown): void;
}

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 15_000;
const DEVICE_ID_LENGTH = 10;
const PASSCODE = /^[0-9]{6}$/;

export class Join {
  readonly state: Value<JoinState>;
  private stopped = false;
  private made: Promise<CryptoMachine> | null = null;
  private readonly deviceId: string;
  /** As typed; nothing of it is stored. */
  private passcode = "";

  constructor(
    private readonly world: World,
    readonly offer: Offer,
    private readonly events: JoinEvents,
    private device: Device | null = null,
  ) {
    this.deviceId = device?.chat.device ?? world.random.letters(DEVICE_ID_LENGTH);
    this.state = new Value<JoinState>({ kind: "form", name: device?.chat.name ?? "", wrong: null });
  }

  /** Makes the keys before they are wanted. Unless the chat is started nothing of them is stored or leaves. */
  warmUp(): void {
    if (this.device === null) this.make().catch(() => undefined);
  }

  private make(): Promise<CryptoMachine> {
    if (this.made === null) {
      const { world, offer } = this;
      const made = world.machines.create(offer.ghost, this.deviceId, offer.host.userId, world.clock.now());
      this.made = made;
      // So that *Start chat* tries again.
      made.catch(() => (this.made = null));
    }
    return this.made;
  }

  /** *Start chat* was pressed. */
  async submit(typed: string, passcode = ""): Promise<void> {
    if (this.state.get().kind === "working") return;
    const name = cleanName(typed);
    if (name === null) {
      this.state.set({ kind: "form", name: typed, wrong: { field: "name" } });
      return;
    }
    const digits = passcode.replace(/[\s-]/g, "");
    if (this.offer.passcode && !PASSCODE.test(digits)) {
      this.state.set({ kind: "form", name: typed, wrong: { field: "passcode", left: null } });
      return;
    }
    await this.begin(name, digits);
  }

  /** Goes on with what was begun before a reload: a passcode has to be typed again, unless it was right. */
  resume(): Promise<void> {
    return this.begin(this.device?.chat.name ?? "", "");
  }

  private async begin(name: string, passcode: string): Promise<void> {
    this.passcode = passcode;
    this.state.set({ kind: "working", troubled: false });
    try {
      const device = await this.prepare(name);
      if (device !== null) await this.use(device);
    } catch (error) {
      if (!this.stopped) this.events.failed(error);
    }
  }

  stop(): void {
    this.stopped = true;
    if (this.device !== null) this.device.machine.free();
    else this.made?.then((machine) => machine.free(), () => undefined);
    this.device = null;
  }

  /** Keys are made once for a link and stored before anybody sees them, so a retry has the same. */
  private async prepare(name: string): Promise<Device | null> {
    if (this.device !== null) {
      const chat = { ...this.device.chat, name };
      await this.device.store.commit({ chat });
      this.device = { ...this.device, chat };
      return this.device;
    }
    if (!(await this.events.claim())) return null;
    const { offer, world } = this;
    const chat: JoiningChat = {
      version: 1,
      stage: "joining",
      token: offer.token,
      expiresAt: offer.expiresAt,
      passcode: offer.passcode,
      ghost: offer.ghost,
      device: this.deviceId,
      host: offer.host,
      idleLimitMs: offer.idleLimitMs,
      name,
    };
    // The WebAssembly comes over the same network as the answers do.
    const machine = await this.keepAsking(() => this.make());
    if (machine === null) return null;
    const store = await world.shelf.add(offer.id, chat, drain(machine));
    this.device = { store, machine, chat };
    return this.device;
  }

  private async use(device: Device): Promise<void> {
    const { chat, machine } = device;
    await this.world.breath();
    if (this.stopped) return;
    const keys = readObject(machine.publicKeys());
    this.world.sockets.warmUp();
    const secret = this.passcode === "" ? {} : { passcode: this.passcode };
    const request = { token: chat.token, name: chat.name, device_id: chat.device, ...secret, keys };
    const answer = await this.keepAsking(() => this.world.api.join(request));
    if (answer !== null) await this.finish(device, answer.portal, answer.name);
  }

  /** Until there is an answer. None when it was refused, which is said already, or when this is over. */
  private async keepAsking<T>(ask: () => Promise<T>): Promise<T | null> {
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(delay * 2, LONGEST_DELAY_MS)) {
      try {
        const answer = await ask();
        return this.stopped ? null : answer;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (this.stopped || !this.shouldAskAgain(error)) return null;
        await this.pause(error.retryAfterMs ?? delay);
        if (this.stopped) return null;
      }
    }
  }

  private async finish(device: Device, portal: string, name: string): Promise<void> {
    const { chat, machine, store } = device;
    const joined: JoinedChat = {
      version: 1,
      stage: "joined",
      ghost: chat.ghost,
      device: chat.device,
      host: chat.host,
      idleLimitMs: chat.idleLimitMs,
      name,
      portal,
      roomId: null,
      hostJoined: false,
      lastSeq: 0,
      lastN: 0,
      deadline: null,
      ending: null,
    };
    machine.markPublished();
    await store.commit({ chat: joined, records: drain(machine) });
    await this.world.breath();
    if (this.stopped) return;
    // Its owner is the chat now.
    this.made = null;
    this.device = null;
    this.events.joined(store, machine, joined);
  }

  private shouldAskAgain(error: ApiError): boolean {
    switch (error.code) {
      case "offline":
      case "unavailable":
        this.state.set({ kind: "working", troubled: true });
        return true;
      case "bad_name":
        this.again({ field: "name" });
        return false;
      case "passcode_needed":
      case "passcode_wrong":
        this.again({ field: "passcode", left: error.triesLeft });
        return false;
      default:
        this.events.refused(error.code);
        return false;
    }
  }

  private again(wrong: Wrong): void {
    this.state.set({ kind: "form", name: this.device?.chat.name ?? "", wrong });
  }

  /** Until the delay is over, or the network is back. */
  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer();
        unsubscribe();
        resolve();
      };
      const timer = this.world.clock.after(ms, done);
      const unsubscribe = this.world.network.subscribe((event) => event === "online" && done());
    });
  }
}

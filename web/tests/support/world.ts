import { App } from "../../src/domain/app.ts";
import type { Screen } from "../../src/domain/app.ts";
import type { ChatModel } from "../../src/domain/model.ts";
import type { Join } from "../../src/domain/join.ts";
import type { Machines } from "../../src/domain/machine.ts";
import type { ChatStore, NetworkEvent, World } from "../../src/domain/ports.ts";
import type { Entry, Mine } from "../../src/domain/records.ts";
import { readFragment } from "../../src/domain/token.ts";
import { FakeBridge } from "./bridge.ts";
import { FakeClock, settle } from "./clock.ts";
import { FakeMachine, FakeMachines } from "./machine.ts";
import { MemoryShelf } from "./shelf.ts";

export const TOKEN = "0123456789abcdefghjkmnpqrs";

/** Locks of one browser, seen by all its tabs. */
class FakeLocks {
  private readonly holders = new Map<string, () => void>();

  take(id: string, steal: boolean, lost: () => void): Promise<(() => void) | null> {
    const holder = this.holders.get(id);
    if (holder !== undefined && !steal) return Promise.resolve(null);
    this.holders.set(id, lost);
    holder?.();
    return Promise.resolve(() => {
      if (this.holders.get(id) === lost) this.holders.delete(id);
    });
  }
}

/**
 * One life of a page, from its loading to its end. It ends between any two steps that somebody else
 * could see: before and after a commit reaches the disk, a frame leaves or arrives, a timer rings.
 */
export class Life {
  steps = 0;
  dead = false;
  /** After so many steps it ends. */
  cutAt = Infinity;
  lastStep = "";

  /** Whether it lives on. */
  step(name: string): boolean {
    if (this.dead) return false;
    this.steps += 1;
    this.lastStep = name;
    this.dead = this.steps >= this.cutAt;
    return !this.dead;
  }

  /** What a dead page waits for never comes. */
  async lived<T>(name: string, value: T): Promise<T> {
    return this.step(name) ? value : new Promise<T>(() => undefined);
  }
}

/** One browser: a disk and locks that its tabs share. */
export class Browser<M extends Machines = FakeMachines> {
  readonly clock = new FakeClock();
  /** When the browser has drawn, and the page goes on. */
  breath: () => Promise<void> = () => Promise.resolve();
  readonly shelf = new MemoryShelf();
  readonly locks = new FakeLocks();
  /** Until the page has words. */
  ready: Promise<void> = Promise.resolve();
  /** How many device ids were made. */
  devices = 0;
  readonly machines: M;

  constructor(machines?: M, readonly bridge: FakeBridge = new FakeBridge()) {
    this.machines = machines ?? (new FakeMachines() as Machines as M);
    FakeMachine.hostIdentity = "same";
    FakeMachine.hostDevices = 1;
    FakeMachine.hostCode = "1111 2222";
  }

  tab(): Tab<M> {
    return new Tab(this);
  }

  /** A tab that has joined and whose chat is open. */
  async chatting(): Promise<Tab<M>> {
    const tab = this.tab();
    await tab.open(`#${TOKEN}`);
    await tab.start("Maya");
    return tab;
  }
}

export class Tab<M extends Machines = FakeMachines> {
  app: App;
  life = new Life();
  /** Another tab's theft of the lock goes unnoticed, as in a tab that the browser has frozen. */
  frozen = false;
  readonly memory = new Map<string, string>();
  /** The browser stores nothing for the tab. */
  forgetful = false;
  reloads = 0;
  online = true;
  private readonly listeners = new Set<(event: NetworkEvent) => void>();

  constructor(readonly browser: Browser<M>) {
    this.app = new App(this.world());
  }

  /** Opens the page with this fragment. */
  async open(hash = ""): Promise<void> {
    void this.app.start(readFragment(hash));
    await settle();
  }

  async start(name: string, passcode = ""): Promise<void> {
    void this.join.submit(name, passcode);
    await settle();
  }

  async say(text: string): Promise<void> {
    void this.chat.say(text).catch(() => undefined);
    await settle();
  }

  /**
   * The page dies as it stands, without a word to anybody, and is opened again. A write that had not
   * reached the disk never does.
   */
  async reload(): Promise<void> {
    this.life.dead = true;
    this.browser.bridge.drop();
    this.life = new Life();
    this.listeners.clear();
    this.forgetLocks();
    this.app = this.anew();
    await this.open();
  }

  /** The page as it is loaded, in the browser as it is now. */
  anew(): App {
    return new App(this.world());
  }

  tell(event: NetworkEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }

  get screen(): Screen {
    return this.app.screen.get();
  }

  /** The problem shown, or the screen's name. */
  get shows(): string {
    return this.screen.name === "problem" ? this.screen.problem : this.screen.name;
  }

  get join(): Join {
    if (this.screen.name !== "join") throw new Error(`not joining but ${this.shows}`);
    return this.screen.join;
  }

  get chat(): ChatModel {
    if (this.screen.name !== "chat") throw new Error(`no chat but ${this.shows}`);
    return this.screen.chat;
  }

  history(): readonly Entry[] {
    return this.chat.history();
  }

  mine(): readonly Mine[] {
    return this.history().filter((entry): entry is Mine => entry.kind === "mine");
  }

  /** `body/state` of one's own, `text` or `<kind>` of the host's. */
  reads(): string[] {
    return this.history().map((entry) => {
      if (entry.kind === "mine") return entry.removal === undefined ? `${entry.body}/${entry.state}` : `removal ${entry.removal}`;
      if (entry.kind === "note") return `(${entry.what})`;
      return entry.says.kind === "text" ? entry.says.body : `<${entry.says.kind}>`;
    });
  }

  /** Presses the one button of a problem's page. */
  async press(): Promise<void> {
    if (this.screen.name !== "problem" || this.screen.remedy === null) throw new Error(`no remedy on ${this.shows}`);
    this.screen.remedy.run();
    await settle();
  }

  private releases: (() => void)[] = [];

  private forgetLocks(): void {
    this.releases.forEach((release) => release());
    this.releases = [];
  }

  private world(): World {
    const { browser, life } = this;
    return {
      clock: { now: () => browser.clock.now(), after: (ms, action) => browser.clock.after(ms, () => life.step("timer") && action()) },
      random: { fraction: () => 0.5, letters: (count) => letters(count, this.browser.devices++) },
      sockets: {
        warmUp: () => undefined,
        open: ({ message, closed }) => {
          const socket = browser.bridge.open({
            message: (text) => life.step(`hear ${typeOf(text)}`) && message(text),
            closed: () => !life.dead && closed(),
          });
          return {
            send: (text) => {
              if (!life.step(`send ${typeOf(text)}`)) return;
              socket.send(text);
              life.step(`sent ${typeOf(text)}`);
            },
            close: () => !life.dead && socket.close(),
          };
        },
      },
      network: {
        online: () => this.online,
        subscribe: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      },
      api: {
        link: () => browser.bridge.link(),
        join: async (request) => {
          await life.lived("join", null);
          return life.lived("joined", await browser.bridge.join(request));
        },
      },
      shelf: {
        list: () => browser.shelf.list(),
        add: async (id, chat, records) => {
          await life.lived("add", null);
          return cuttable(await life.lived("added", await browser.shelf.add(id, chat, records)), life);
        },
        take: async (id) => {
          await life.lived("take", null);
          const taken = await life.lived("taken", await browser.shelf.take(id));
          return taken === null ? null : { ...taken, store: cuttable(taken.store, life) };
        },
        erase: (id) => browser.shelf.erase(id),
      },
      locks: {
        take: async (id, steal, lost) => {
          const release = await browser.locks.take(id, steal, () => life.dead || this.frozen || lost());
          if (release !== null) this.releases.push(release);
          return release;
        },
      },
      tab: {
        lasting: !this.forgetful,
        get: (key) => this.memory.get(key) ?? null,
        set: (key, value) => void (value === null ? this.memory.delete(key) : this.memory.set(key, value)),
      },
      machines: browser.machines,
      ready: browser.ready,
      notice: (what, guest) => `${guest} missed ${what ?? "several"}`,
      origin: "https://chat.example.org",
      breath: () => browser.breath(),
      digest: (text) => Promise.resolve(`hash(${text})`),
      reload: () => {
        this.reloads += 1;
      },
    };
  }
}

function cuttable(store: ChatStore, life: Life): ChatStore {
  return {
    commit: async (batch) => {
      await life.lived("commit", null);
      await store.commit(batch);
      await life.lived("committed", null);
    },
  };
}

function letters(count: number, device: number): string {
  return "ABCDEFGHIJKLMNOP".slice(0, count - 1) + String.fromCharCode(75 + device);
}

function typeOf(frame: string): string {
  return (JSON.parse(frame) as { type: string }).type;
}

import { App } from "../../src/domain/app.ts";
import type { Screen } from "../../src/domain/app.ts";
import type { ChatModel } from "../../src/domain/model.ts";
import type { Join } from "../../src/domain/join.ts";
import type { NetworkEvent, World } from "../../src/domain/ports.ts";
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

/** One browser: a disk and locks that its tabs share. */
export class Browser {
  readonly clock = new FakeClock();
  readonly shelf = new MemoryShelf();
  readonly locks = new FakeLocks();
  readonly bridge = new FakeBridge();
  readonly machines = new FakeMachines();

  constructor() {
    FakeMachine.hostIdentity = "same";
    FakeMachine.hostDevices = 1;
  }

  tab(): Tab {
    return new Tab(this);
  }

  /** A tab that has joined and whose chat is open. */
  async chatting(): Promise<Tab> {
    const tab = this.tab();
    await tab.open(`#${TOKEN}`);
    await tab.start("Maya");
    return tab;
  }
}

export class Tab {
  app: App;
  readonly memory = new Map<string, string>();
  reloads = 0;
  private readonly listeners = new Set<(event: NetworkEvent) => void>();
  private dead = { now: false };

  constructor(readonly browser: Browser) {
    this.app = new App(this.world());
  }

  /** Opens the page with this fragment. */
  async open(hash = ""): Promise<void> {
    void this.app.start(readFragment(hash));
    await settle();
  }

  async start(name: string): Promise<void> {
    void this.join.submit(name);
    await settle();
  }

  async say(text: string): Promise<void> {
    void this.chat.say(text).catch(() => undefined);
    await settle();
  }

  /**
   * The page dies as it stands, without a word to anybody, and is opened again. A write that had not
   * reached the disk never does; whatever it still did would count as another process's doing.
   */
  async reload(): Promise<void> {
    this.dead.now = true;
    this.browser.bridge.drop();
    this.dead = { now: false };
    this.listeners.clear();
    this.forgetLocks();
    this.app = new App(this.world());
    await this.open();
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
      if (entry.kind === "mine") return `${entry.body}/${entry.state}`;
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
    const { browser } = this;
    const dead = this.dead;
    return {
      clock: { now: () => browser.clock.now(), after: (ms, action) => browser.clock.after(ms, () => dead.now || action()) },
      random: { fraction: () => 0.5, letters: (count) => "ABCDEFGHIJKLMNOP".slice(0, count - 1) + String.fromCharCode(75 + browser.machines.created) },
      sockets: browser.bridge,
      network: {
        online: () => true,
        subscribe: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      },
      api: browser.bridge,
      shelf: browser.shelf,
      locks: {
        take: async (id, steal, lost) => {
          const release = await browser.locks.take(id, steal, () => dead.now || lost());
          if (release !== null) this.releases.push(release);
          return release;
        },
      },
      tab: {
        get: (key) => this.memory.get(key) ?? null,
        set: (key, value) => void (value === null ? this.memory.delete(key) : this.memory.set(key, value)),
      },
      machines: browser.machines,
      origin: "https://chat.example.org",
      digest: (text) => Promise.resolve(`hash(${text})`),
      reload: () => {
        this.reloads += 1;
      },
    };
  }
}

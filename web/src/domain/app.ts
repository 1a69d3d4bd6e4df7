/** Which screen is shown: from the link or the stored chats to a chat, and from each trouble to its words. */

import { PROTOCOL } from "../protocol.ts";
import { Chat } from "./chat.ts";
import type { ChatExit } from "./chat.ts";
import { Join } from "./join.ts";
import type { Device, Offer } from "./join.ts";
import type { CryptoMachine } from "./machine.ts";
import { closedChat } from "./model.ts";
import type { ChatModel } from "./model.ts";
import { Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import { ApiError, StoreError } from "./ports.ts";
import type { ChatStore, ChatSummary, Remnant, World } from "./ports.ts";
import type { JoinedChat, Snapshot } from "./records.ts";
import type { Fragment } from "./token.ts";

export type Problem =
  | "no-link" | "link-malformed" | "link-unknown" | "link-used" | "link-expired" | "link-revoked" | "link-damaged"
  | "paused" | "host-busy" | "too-many-tries" | "passcode-spent" | "offline" | "unreachable" | "join-failed"
  | "elsewhere" | "lost" | "page-older" | "page-newer" | "storage" | "erased" | "not-erased"
  | "too-old" | "not-secure";

/** What a person can do about a problem; the words belong to the view. */
export interface Remedy {
  readonly kind: "again" | "use-here" | "reload" | "erase";
  readonly run: () => void;
}

export type Screen =
  | { readonly name: "loading" }
  | { readonly name: "join"; readonly join: Join }
  | { readonly name: "chat"; readonly chat: ChatModel; readonly erase: () => void }
  | { readonly name: "choice"; readonly chats: readonly ChatSummary[]; readonly choose: (id: string) => void }
  | { readonly name: "problem"; readonly problem: Problem; readonly remedy: Remedy | null; readonly remnants?: readonly Remnant[] };

/** Refusals after which the keys that were made for the link serve nobody. */
const FINAL: ReadonlyMap<string, Problem> = new Map([
  ["link_unknown", "link-unknown"],
  ["link_used", "link-used"],
  ["link_expired", "link-expired"],
  ["link_revoked", "link-revoked"],
  ["damaged", "link-damaged"],
  ["passcode_spent", "passcode-spent"],
  ["bad_keys", "join-failed"],
  ["bad_request", "join-failed"],
  ["too_large", "join-failed"],
]);
const FOR_NOW: ReadonlyMap<string, Problem> = new Map([
  ["paused", "paused"],
  ["host_busy", "host-busy"],
  ["too_many_tries", "too-many-tries"],
]);

export class App {
  readonly screen = new Value<Screen>({ name: "loading" });
  private release: Cancel = () => undefined;
  private stopCurrent: () => void | Promise<void> = () => undefined;

  constructor(private readonly world: World) {
    world.network.subscribe((event) => {
      const screen = this.screen.get();
      if (event === "online" && screen.name === "problem" && screen.problem === "offline") screen.remedy?.run();
    });
  }

  /** With what stood in the address. */
  async start(fragment: Fragment): Promise<void> {
    const { tab } = this.world;
    if (fragment.kind === "malformed") {
      this.problem("link-malformed");
      return;
    }
    // Kept for a reload before *Start chat*: the address doesn't show the token any more.
    if (fragment.kind === "token") tab.set("token", fragment.token);
    await this.orTrouble(async () => {
      const token = tab.get("token");
      if (token === null) await this.resume();
      else await this.followLink(token);
    });
  }

  private async resume(): Promise<void> {
    const chats = await this.world.shelf.list();
    const last = this.world.tab.get("chat");
    const [only] = chats;
    if (last !== null && chats.some(({ id }) => id === last)) await this.openChat(last, false);
    else if (only === undefined) this.problem("no-link");
    else if (chats.length === 1) await this.openChat(only.id, false);
    else this.screen.set({ name: "choice", chats, choose: (id) => void this.orTrouble(() => this.openChat(id, false)) });
  }

  private async followLink(token: string): Promise<void> {
    this.screen.set({ name: "loading" });
    // Asked at once: while the answer travels, the browser looks among its own chats.
    const asked = this.world.api.link(token);
    asked.catch(() => undefined);
    const id = await this.world.digest(`vestibule-chat-v1|${token}`);
    if (await this.isStored(id)) {
      await this.openChat(id, false);
      return;
    }
    try {
      const info = await asked;
      this.showJoin({ ...info, token, id }, null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.refused(error.code, () => this.followLink(token));
    }
  }

  private async isStored(id: string): Promise<boolean> {
    return (await this.world.shelf.list()).some((summary) => summary.id === id);
  }

  private async openChat(id: string, steal: boolean): Promise<void> {
    await this.world.ready;
    if (!(await this.claim(id, steal))) return;
    const taken = await this.world.shelf.take(id);
    if (taken === null) {
      this.problem("no-link");
      return;
    }
    const { store, snapshot } = taken;
    const { chat } = snapshot;
    this.world.tab.set("chat", id);
    if (chat.stage === "joined") this.world.tab.set("token", null);
    if (chat.stage === "joined" && chat.ending?.kind === "ended") {
      this.screen.set({ name: "chat", chat: closedChat(chat, snapshot.entries), erase: () => this.erase(id) });
      return;
    }
    const machine = await this.reopen(id, snapshot);
    if (machine === null) return;
    if (chat.stage === "joined") this.showChat(id, store, machine, chat, snapshot);
    else this.showJoin({ ...chat, passcode: chat.passcode ?? false, id }, { store, machine, chat });
  }

  private async reopen(id: string, snapshot: Snapshot): Promise<CryptoMachine | null> {
    try {
      return await this.world.machines.open(snapshot.records);
    } catch (error) {
      // Loading the WebAssembly failed, which a reload may cure; anything else is the stored keys' fault.
      if (error instanceof ApiError) throw error;
      this.problem("lost", { kind: "erase", run: () => this.erase(id) });
      return null;
    }
  }

  /** Makes this tab the owner of a chat. */
  private async claim(id: string, steal: boolean): Promise<boolean> {
    await this.leaveCurrent();
    const release = await this.world.locks.take(id, steal, () => this.elsewhere(id));
    if (release === null) {
      this.elsewhere(id);
      return false;
    }
    this.release = release;
    return true;
  }

  private showJoin(offer: Offer, device: Device | null): void {
    const { id, token } = offer;
    const join = new Join(
      this.world,
      offer,
      {
        claim: () => this.claimForJoin(offer),
        joined: (store, machine, chat) => {
          this.stopCurrent = () => undefined;
          this.world.tab.set("token", null);
          this.world.tab.set("chat", id);
          this.showChat(id, store, machine, chat, { entries: [], staged: null, sent: [] });
        },
        refused: (code) => {
          void this.orTrouble(async () => {
            await this.leaveCurrent();
            if (FINAL.has(code)) await this.world.shelf.erase(id);
            this.refused(code, () => this.followLink(token));
          });
        },
        failed: (error) => this.trouble(error),
      },
      device,
    );
    this.stopCurrent = () => join.stop();
    this.screen.set({ name: "join", join });
    if (device !== null) void join.resume();
  }

  /** Another tab may have used the same link since it was looked at here. */
  private async claimForJoin({ id }: Offer): Promise<boolean> {
    const release = await this.world.locks.take(id, false, () => this.elsewhere(id));
    if (release === null) {
      this.elsewhere(id);
      return false;
    }
    this.release = release;
    if (!(await this.isStored(id))) return true;
    await this.openChat(id, false);
    return false;
  }

  private showChat(
    id: string,
    store: ChatStore,
    machine: CryptoMachine,
    joined: JoinedChat,
    snapshot: Pick<Snapshot, "entries" | "staged" | "sent">,
  ): void {
    const chat = new Chat(this.world, store, machine, joined, snapshot);
    this.stopCurrent = () => chat.stop();
    chat.exit.subscribe((exit) => this.onExit(id, exit));
    this.screen.set({ name: "chat", chat, erase: () => this.erase(id) });
    chat.start();
  }

  private onExit(id: string, exit: ChatExit): void {
    const erase: Remedy = { kind: "erase", run: () => this.erase(id) };
    switch (exit.kind) {
      case "replaced":
        this.elsewhere(id);
        return;
      case "store":
        if (exit.fault === "superseded") this.elsewhere(id);
        else this.trouble(new StoreError("failed"));
        return;
      case "left":
        this.erase(id);
        return;
      case "lost":
        this.problem("lost", erase);
        return;
      case "other_protocol":
        this.otherProtocol(exit.theirs);
    }
  }

  /** A page that is too old is loaded again by itself, once: what a cache still held must not ask for a press. */
  private otherProtocol(theirs: number): void {
    const { tab } = this.world;
    const isOlder = theirs > PROTOCOL;
    if (isOlder && tab.lasting && tab.get("reloaded") !== String(theirs)) {
      tab.set("reloaded", String(theirs));
      this.screen.set({ name: "loading" });
      this.world.reload();
    } else {
      this.problem(isOlder ? "page-older" : "page-newer", this.reload());
    }
  }

  private elsewhere(id: string): void {
    void this.leaveCurrent();
    this.problem("elsewhere", { kind: "use-here", run: () => void this.orTrouble(() => this.openChat(id, true)) });
  }

  private erase(id: string): void {
    void this.orTrouble(async () => {
      await this.leaveCurrent();
      this.world.tab.set("chat", null);
      const remnants = await this.eraseAndLook(id);
      if (remnants.length === 0) this.problem("erased");
      else this.screen.set({ name: "problem", problem: "not-erased", remedy: { kind: "erase", run: () => this.erase(id) }, remnants });
    });
  }

  private async eraseAndLook(id: string): Promise<readonly Remnant[]> {
    try {
      return await this.world.shelf.erase(id);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // A browser that can't say what is there may have all of it.
      return ["keys", "messages"];
    }
  }

  private refused(code: string, again: () => Promise<void>): void {
    const final = FINAL.get(code);
    if (final !== undefined) {
      this.world.tab.set("token", null);
      this.problem(final);
      return;
    }
    const remedy: Remedy = { kind: "again", run: () => void this.orTrouble(again) };
    this.problem(FOR_NOW.get(code) ?? this.silence(), remedy);
  }

  /** Why nobody answers. */
  private silence(): Problem {
    return this.world.network.online() ? "unreachable" : "offline";
  }

  /** The lock is held until the machine is gone: nobody else's may begin before. */
  private async leaveCurrent(): Promise<void> {
    const { stopCurrent, release } = this;
    this.stopCurrent = () => undefined;
    this.release = () => undefined;
    await stopCurrent();
    release();
  }

  private problem(problem: Problem, remedy: Remedy | null = null): void {
    this.screen.set({ name: "problem", problem, remedy });
  }

  private reload(): Remedy {
    return { kind: "reload", run: () => this.world.reload() };
  }

  private async orTrouble(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.trouble(error);
    }
  }

  private trouble(error: unknown): void {
    // For whoever looks at the console; errors here never carry what people wrote.
    console.error(error);
    void this.leaveCurrent();
    if (error instanceof StoreError) this.problem("storage", this.reload());
    else this.problem(this.silence(), this.reload());
  }
}

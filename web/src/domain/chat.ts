/** The chat: one connection, what comes in, what goes out, and what a view shows of it. */

import type { ClientFrame, ServerFrame, WelcomeFrame } from "../protocol.ts";
import { Connection } from "./connection.ts";
import type { Line } from "./connection.ts";
import { Inbox, applyItems, end } from "./inbox.ts";
import { Journal } from "./journal.ts";
import type { Draft } from "./journal.ts";
import { KeySupply, learnHostKeys } from "./keys.ts";
import { readItems } from "./machine.ts";
import type { Blocked, CryptoMachine } from "./machine.ts";
import { Signal, Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import { Outbox } from "./outbox.ts";
import { StoreError } from "./ports.ts";
import type { ChatStore, StoreFault, World } from "./ports.ts";
import type { Entry, JoinedChat, Snapshot } from "./records.ts";
import { Requests } from "./requests.ts";
import { isTooLong } from "./text.ts";

/** How the way to the other side stands. `opening`: the room is being made. */
export type Status = "connecting" | "opening" | "open" | "offline";

export interface ChatView {
  readonly chat: JoinedChat;
  readonly status: Status;
  readonly blocked: Blocked | null;
}

/** Why this tab can't go on with the chat. */
export type ChatExit =
  | { readonly kind: "store"; readonly fault: StoreFault }
  /** Another connection of the same chat took over. */
  | { readonly kind: "replaced" }
  /** This browser's store is older than what the bridge saw of it, or its key doesn't fit. */
  | { readonly kind: "lost" }
  /** The bridge's store is older than what it told this browser. */
  | { readonly kind: "out_of_step" }
  | { readonly kind: "other_protocol"; readonly theirs: number }
  /** The guest left, and the bridge knows it: nothing of the chat is needed any more. */
  | { readonly kind: "left" };

/** A reconnect shorter than this is nobody's business. */
const QUIET_MS = 1_500;

/** What a view needs of a chat, whether it goes on or is over. */
export interface ChatModel {
  readonly view: Value<ChatView>;
  /** New and changed entries, after they are on disk. */
  readonly entries: Signal<readonly Entry[]>;
  /** In their order, for the first rendering. */
  history(): readonly Entry[];
  /** Keeps the text at once, and sends it when it can be. False: there is nothing to send, or too much. */
  say(text: string): Promise<boolean>;
  /** Sends a message again that could not be sent. */
  retry(pos: number): Promise<void>;
  /** The guest was told that the host's identity changed, and goes on. */
  acceptIdentity(): Promise<void>;
  /** Erases the history here and now, and ends the chat as soon as the bridge can be told. */
  leave(): Promise<void>;
}

/** A chat that is over: to be read, nothing else. */
export function closedChat(chat: JoinedChat, entries: readonly Entry[]): ChatModel {
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    view: new Value<ChatView>({ chat, status: "offline", blocked: null }),
    entries: new Signal(),
    history: () => [...entries].sort((a, b) => a.pos - b.pos),
    say: () => Promise.resolve(false),
    retry: nothing,
    acceptIdentity: nothing,
    leave: nothing,
  };
}

export class Chat implements ChatModel {
  readonly view: Value<ChatView>;
  readonly entries = new Signal<readonly Entry[]>();
  readonly exit = new Signal<ChatExit>();

  private readonly journal: Journal;
  private readonly connection: Connection;
  private readonly requests: Requests;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  private readonly keys: KeySupply;
  private status: Status = "connecting";
  private quiet: Cancel | null = null;
  private over = false;

  constructor(
    private readonly world: World,
    store: ChatStore,
    private readonly machine: CryptoMachine,
    chat: JoinedChat,
    snapshot: Pick<Snapshot, "entries" | "staged">,
  ) {
    this.journal = new Journal(store, machine, chat, snapshot);
    this.connection = new Connection(world, (nonce) => this.hello(nonce));
    this.requests = new Requests(world.clock, this.connection);
    this.inbox = new Inbox(this.journal, world.clock, {
      stored: (seq) => this.onStored(seq),
      gap: () => this.connection.restart(),
      ended: () => this.onEnded(),
    });
    this.outbox = new Outbox(this.journal, this.requests, world.clock, {
      outOfStep: () => this.leaveTab({ kind: "out_of_step" }),
      reconnect: () => this.connection.restart(),
    });
    this.keys = new KeySupply(this.journal, this.requests, world.clock);
    this.view = new Value<ChatView>({ chat, status: this.status, blocked: null });
    this.journal.written.subscribe((entries) => this.entries.emit(entries));
    this.journal.broken.subscribe((fault) => this.leaveTab({ kind: "store", fault }));
    this.outbox.blocked.bind(() => this.show());
    this.connection.line.bind((line) => this.onLine(line));
    this.connection.frames.subscribe((frame) => this.onFrame(frame));
    this.connection.otherProtocol.subscribe((theirs) => this.leaveTab({ kind: "other_protocol", theirs }));
  }

  history(): readonly Entry[] {
    return this.journal.entries();
  }

  start(): void {
    if (this.journal.chat.ending?.kind !== "ended") this.connection.start();
  }

  /** Nothing is sent or written after this. */
  async stop(): Promise<void> {
    this.over = true;
    this.quiet?.();
    this.connection.stop();
    await this.journal.close();
  }

  async say(text: string): Promise<boolean> {
    const body = text.replace(/\r\n?/g, "\n").trim();
    if (body === "" || isTooLong(body) || this.journal.chat.ending !== null) return false;
    const ts = this.world.clock.now();
    await this.write((draft) => draft.add({ kind: "mine", body, state: "waiting", n: null, eventId: null, ts }));
    this.outbox.nudge();
    return true;
  }

  async retry(pos: number): Promise<void> {
    await this.write((draft) => {
      const entry = draft.mine(pos);
      if (entry?.state === "failed") draft.put({ ...entry, state: "waiting", n: null });
    });
    this.outbox.nudge();
  }

  async acceptIdentity(): Promise<void> {
    await this.write((draft) => {
      const items = readItems(draft.machine.acceptIdentity());
      draft.add({ kind: "note", what: "identity_accepted", ts: this.world.clock.now() });
      applyItems(draft, items);
    });
    this.outbox.blocked.set(null);
    this.outbox.nudge();
  }

  async leave(): Promise<void> {
    await this.write((draft) => {
      draft.update({ ending: { kind: "leaving" } });
      draft.stage(null);
      draft.dropEntries();
    });
    this.connection.send({ type: "leave" });
  }

  private hello(nonce: string): Promise<ClientFrame> {
    return this.journal.write(({ chat }) => ({
      type: "hello",
      portal: chat.portal,
      device: chat.device,
      signature: this.machine.signHello(this.world.origin, chat.portal, nonce),
      last_seq: chat.lastSeq,
    }));
  }

  private onLine(line: Line): void {
    if (line === "connecting" || line === "waiting" || line === "stopped") {
      this.outbox.disconnected();
      this.requests.dropAll();
      this.inbox.connected();
      if (line !== "stopped") this.lookOfflineSoon();
    }
  }

  private onFrame(frame: ServerFrame): void {
    switch (frame.type) {
      case "opening":
        this.setStatus("opening");
        this.leaveIfMeant();
        return;
      case "welcome":
        void this.unlessBroken(this.welcome(frame));
        return;
      case "result":
        this.requests.answer(frame);
        return;
      case "keys_changed":
        void this.unlessBroken(this.write((draft) => draft.machine.keysChanged()).then(() => this.outbox.nudge()));
        return;
      case "one_time_keys":
        void this.unlessBroken(this.keys.report(frame.count, frame.fallbackUnused));
        return;
      case "error":
        this.onError(frame.code);
        return;
      case "challenge":
        return;
      default:
        this.inbox.push(frame);
    }
  }

  private async welcome(frame: WelcomeFrame): Promise<void> {
    const fit = await this.journal.write((draft) => this.meet(draft, frame));
    if (fit !== null) {
      this.leaveTab(fit);
      return;
    }
    if (this.connection.line.get() !== "open") return;
    this.setStatus("open");
    if (this.leaveIfMeant()) return;
    this.outbox.connected();
    if (frame.oneTimeKeys !== null) await this.keys.report(frame.oneTimeKeys, frame.fallbackUnused ?? true);
  }

  /** Compares the counts, then takes over what the bridge knows better. */
  private meet(draft: Draft, frame: WelcomeFrame): ChatExit | null {
    const { chat, staged } = draft;
    const answered = staged === null ? chat.lastN : staged.n - 1;
    if (chat.ending === null) {
      if (frame.lastN > chat.lastN) return { kind: "lost" };
      if (frame.lastN < answered) return { kind: "out_of_step" };
    }
    draft.update({
      roomId: frame.roomId,
      name: frame.name,
      host: frame.host,
      hostJoined: frame.hostJoined,
      deadline: frame.deadline,
      idleLimitMs: frame.idleLimitMs,
    });
    try {
      const { changed } = learnHostKeys(draft, frame.keys, this.world.clock.now());
      this.outbox.blocked.set(changed ? "identity_changed" : null);
    } catch {
      // An answer that the machine refuses changes nothing: `prepare` asks for a better one.
      draft.machine.keysChanged();
    }
    return null;
  }

  private onStored(seq: number): void {
    this.connection.send({ type: "ack", seq });
    this.show();
    // A room key may have come from a device of the host that is not known yet.
    this.outbox.nudge();
  }

  private onError(code: string): void {
    switch (code) {
      case "replaced":
        this.leaveTab({ kind: "replaced" });
        return;
      case "bad_signature":
        this.leaveTab({ kind: "lost" });
        return;
      case "unknown_chat":
        void this.unlessBroken(this.forgotten());
        return;
      default:
        this.connection.restart();
    }
  }

  private async forgotten(): Promise<void> {
    if (this.journal.chat.ending === null) await this.write((draft) => end(draft, "unknown"));
    this.onEnded();
  }

  private onEnded(): void {
    this.connection.stop();
    if (this.journal.chat.ending?.kind === "leaving") this.leaveTab({ kind: "left" });
    else this.show();
  }

  private leaveIfMeant(): boolean {
    const leaving = this.journal.chat.ending?.kind === "leaving";
    if (leaving) this.connection.send({ type: "leave" });
    return leaving;
  }

  private leaveTab(exit: ChatExit): void {
    if (this.over) return;
    void this.stop();
    this.exit.emit(exit);
  }

  private async write<T>(job: (draft: Draft) => T): Promise<T> {
    const output = await this.journal.write(job);
    this.show();
    return output;
  }

  /** A broken journal already said so through `exit`; there is nobody else to tell. */
  private async unlessBroken(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  private lookOfflineSoon(): void {
    if (this.quiet !== null || this.status === "offline") return;
    this.quiet = this.world.clock.after(QUIET_MS, () => this.setStatus("offline"));
  }

  private setStatus(status: Status): void {
    this.quiet?.();
    this.quiet = null;
    this.status = status;
    this.show();
  }

  private show(): void {
    this.view.set({ chat: this.journal.chat, status: this.status, blocked: this.outbox.blocked.get() });
  }
}

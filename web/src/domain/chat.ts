/** The chat: one connection, what comes in, what goes out, and what a view shows of it. */

import type { ClientFrame, ServerFrame, WelcomeFrame } from "../protocol.ts";
import { Connection } from "./connection.ts";
import type { Line } from "./connection.ts";
import { Inbox } from "./inbox.ts";
import { applyItems, takeBack } from "./items.ts";
import { Journal } from "./journal.ts";
import type { Draft } from "./journal.ts";
import { KeySupply, noteSafety } from "./keys.ts";
import { readItems } from "./machine.ts";
import type { CryptoMachine } from "./machine.ts";
import { Memo } from "./memo.ts";
import type { Remembered } from "./memo.ts";
import { compare, countsFor, takeOver } from "./meeting.ts";
import type { ChatModel, ChatView, Halt, Status } from "./model.ts";
import { Signal, Value } from "./observe.ts";
import type { Cancel } from "./observe.ts";
import { Outbox } from "./outbox.ts";
import { StoreError } from "./ports.ts";
import type { ChatStore, NetworkEvent, StoreFault, World } from "./ports.ts";
import { Presence } from "./presence.ts";
import { Reading } from "./reading.ts";
import type { Unread } from "./reading.ts";
import { applyRead } from "./receipts.ts";
import { isShown } from "./records.ts";
import type { Alerts, Entry, JoinedChat, Mine, Snapshot, Theirs } from "./records.ts";
import { Requests } from "./requests.ts";
import { isTooLong, tidy } from "./text.ts";

/** Why this tab can't go on with the chat. */
export type ChatExit =
  | { readonly kind: "store"; readonly fault: StoreFault }
  /** Another connection of the same chat took over. */
  | { readonly kind: "replaced" }
  /** This browser's key doesn't fit. */
  | { readonly kind: "lost" }
  | { readonly kind: "other_protocol"; readonly theirs: number }
  /** The guest left, and the bridge knows it: nothing of the chat is needed any more. */
  | { readonly kind: "left" };

/** A reconnect shorter than this is nobody's business. */
const QUIET_MS = 1_500;

export class Chat implements ChatModel {
  readonly view: Value<ChatView>;
  readonly entries = new Signal<readonly Entry[]>();
  readonly gone = new Signal<readonly number[]>();
  readonly exit = new Signal<ChatExit>();

  private readonly journal: Journal;
  private readonly connection: Connection;
  private readonly requests: Requests;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  private readonly keys: KeySupply;
  private readonly presence: Presence;
  private readonly reading: Reading;
  private readonly memo: Memo;
  private status: Status = "connecting";
  private quiet: Cancel | null = null;
  private unsubscribe: Cancel = () => undefined;
  private halt: Halt | null = null;
  /** The hello of this connection asked for everything that the bridge has. */
  private askedAnew = false;
  private over = false;

  constructor(
    private readonly world: World,
    store: ChatStore,
    private readonly machine: CryptoMachine,
    chat: JoinedChat,
    snapshot: Pick<Snapshot, "entries" | "staged" | "sent">,
  ) {
    this.journal = new Journal(store, machine, chat, snapshot);
    this.connection = new Connection(world, (nonce, storeId) => this.hello(nonce, storeId));
    this.requests = new Requests(world.clock, this.connection);
    this.inbox = new Inbox(this.journal, world.clock, {
      stored: (seq) => this.onStored(seq),
      gap: () => this.connection.restart(),
      missing: () => this.stopFor("set_back"),
      ended: () => this.onEnded(),
    });
    this.outbox = new Outbox(this.journal, this.requests, world.clock, world.notice, {
      outOfStep: () => this.stopFor("out_of_step"),
      reconnect: () => this.connection.restart(),
      learned: () => this.show(),
    });
    this.keys = new KeySupply(this.journal, this.requests, world.clock);
    const send = (frame: ClientFrame): boolean => this.connection.line.get() === "open" && this.connection.send(frame);
    this.presence = new Presence(world.clock, send, () => this.journal.newestOfHost());
    this.memo = new Memo(world.clock, (changes) => void this.unlessBroken(this.remember(changes)));
    // Without a mark, from before there were any, all that there is counts as read.
    const seen = chat.seen ?? snapshot.entries.reduce((pos, entry) => Math.max(pos, entry.pos), 0);
    this.reading = new Reading(seen, () => this.history(), (pos) => this.memo.keep({ seen: pos }));
    this.view = new Value<ChatView>({ chat, status: this.status, blocked: null, halt: null, typing: false });
    this.journal.gone.subscribe((places) => {
      this.reading.changed();
      this.gone.emit(places);
    });
    this.journal.written.subscribe((entries) => {
      const shown = entries.filter(isShown);
      if (shown.some(({ kind }) => kind === "theirs")) this.presence.hear(false);
      this.reading.changed();
      this.entries.emit(shown);
      // A message that was taken moved the deadline.
      this.show();
    });
    this.journal.broken.subscribe((fault) => this.leaveTab({ kind: "store", fault }));
    this.outbox.blocked.bind(() => this.show());
    this.presence.typing.bind(() => this.show());
    this.connection.line.bind((line) => this.onLine(line));
    this.connection.frames.subscribe((frame) => this.onFrame(frame));
    this.connection.otherProtocol.subscribe((theirs) => this.leaveTab({ kind: "other_protocol", theirs }));
  }

  get unread(): Value<Unread> {
    return this.reading.unread;
  }

  history(): readonly Entry[] {
    return this.journal.entries().filter(isShown);
  }

  answered(eventId: string): Mine | Theirs | null {
    return this.journal.byEvent(eventId);
  }

  compose(typing: boolean): void {
    this.presence.compose(typing);
  }

  keepDraft(draft: string): void {
    if (draft !== (this.journal.chat.draft ?? "")) this.memo.keep({ draft });
    else this.memo.drop("draft");
  }

  setAlerts(alerts: Alerts): void {
    this.memo.keep({ alerts });
    this.memo.flush();
  }

  looking(isLooking: boolean): void {
    this.presence.looking(isLooking);
    this.reading.looking(isLooking);
  }

  start(): void {
    if (this.journal.chat.ending?.kind === "ended") return;
    this.unsubscribe = this.world.network.subscribe((event) => this.onNetwork(event));
    this.connection.start();
  }

  /** Nothing is sent or written after this. */
  async stop(): Promise<void> {
    this.over = true;
    this.quiet?.();
    this.unsubscribe();
    this.memo.flush();
    this.connection.stop();
    await this.journal.close();
  }

  async say(text: string): Promise<boolean> {
    const body = tidy(text);
    if (body === "" || isTooLong(body) || this.journal.chat.ending !== null) return false;
    const ts = this.world.clock.now();
    await this.write((draft) => {
      draft.add({ kind: "mine", body, state: "waiting", n: null, eventId: null, ts });
      // Together, so that no reload finds in the field again what was sent.
      const waiting = this.memo.take();
      if (Object.keys(waiting).length > 0 || draft.chat.draft !== undefined) draft.update({ ...waiting, draft: "" });
    });
    this.reading.said();
    this.outbox.nudge();
    return true;
  }

  async retry(pos: number): Promise<void> {
    const ts = this.world.clock.now();
    await this.write((draft) => {
      const entry = draft.mine(pos);
      if (entry?.state !== "failed") return;
      // At the end, because that is where the host will see it.
      draft.remove(pos);
      draft.add({ kind: "mine", body: entry.body, state: "waiting", n: null, eventId: null, ts });
    });
    this.outbox.nudge();
  }

  async remove(pos: number): Promise<void> {
    const now = this.world.clock.now();
    await this.write((draft) => takeBack(draft, pos, now));
    this.outbox.nudge();
  }

  async acceptIdentity(): Promise<void> {
    await this.write((draft) => {
      const items = readItems(draft.machine.acceptIdentity());
      const now = this.world.clock.now();
      draft.add({ kind: "note", what: "identity_accepted", ts: now });
      applyItems(draft, items, now);
      noteSafety(draft, false, now);
    });
    this.outbox.blocked.set(null);
    this.outbox.nudge();
  }

  async leave(): Promise<void> {
    await this.write((draft) => {
      this.memo.take();
      draft.update({ ending: { kind: "leaving" }, draft: "" });
      draft.stage(null);
      draft.settle(draft.chat.lastN);
      draft.dropEntries();
    });
    this.connection.send({ type: "leave" });
  }

  private async remember(changes: Remembered): Promise<void> {
    // Nobody writes on in a chat that is over, and what is erased stays so.
    await this.write((draft) => draft.chat.ending === null && draft.update(changes));
  }

  private async hello(nonce: string, storeId: string | null): Promise<ClientFrame> {
    const hello = await this.journal.write((draft) => {
      const { portal, device } = draft.chat;
      const signature = this.machine.signHello(this.world.origin, portal, nonce);
      return { type: "hello" as const, portal, device, signature, ...countsFor(draft, storeId) };
    });
    this.askedAnew = "last_n" in hello;
    this.inbox.greeted(this.askedAnew);
    return hello;
  }

  private onLine(line: Line): void {
    if (line === "connecting" || line === "waiting" || line === "stopped") {
      this.outbox.disconnected();
      this.requests.dropAll();
      this.keys.disconnected();
      this.presence.disconnected();
      this.inbox.disconnected();
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
        void this.unlessBroken(this.write((draft) => draft.machine.keysChanged()).then(() => this.outbox.lookAtKeys()));
        return;
      case "one_time_keys":
        this.keys.report(frame.count, frame.fallbackUnused);
        return;
      case "typing":
        this.presence.hear(frame.typing);
        return;
      case "read":
        void this.unlessBroken(this.write((draft) => applyRead(draft, frame.eventId)));
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
    const verdict = await this.journal.write((draft) => {
      const found = compare(draft, frame, this.askedAnew);
      if (found === "fits") takeOver(draft, frame, this.world.clock.now());
      return found;
    });
    if (verdict === "anew") {
      this.connection.restart();
      return;
    }
    if (verdict !== "fits") {
      this.stopFor(verdict);
      return;
    }
    this.outbox.blocked.set(null);
    if (this.connection.line.get() !== "open") return;
    this.setStatus("open");
    if (this.leaveIfMeant()) return;
    // Only now: before the counts were compared, the bridge might have thrown away what was new.
    const { lastSeq } = this.journal.chat;
    if (lastSeq !== null && lastSeq > frame.ackedSeq) this.connection.send({ type: "ack", seq: lastSeq });
    this.outbox.connected(frame.lastN);
    this.presence.connected(frame);
    if (frame.oneTimeKeys !== null) this.keys.report(frame.oneTimeKeys, frame.fallbackUnused ?? true);
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
        // With it goes whatever the guest left.
        if (this.journal.chat.ending?.kind === "leaving") this.leaveTab({ kind: "left" });
        else this.stopFor("unknown");
        return;
      case "damaged":
        this.stopFor("damaged");
        return;
      default:
        this.connection.restart();
    }
  }

  /** Says why, shows what there is, and neither sends nor receives any more. */
  private stopFor(halt: Halt): void {
    this.halt = halt;
    this.connection.stop();
    this.show();
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
    if (this.quiet !== null || this.isAway()) return;
    this.quiet = this.world.clock.after(QUIET_MS, () => this.setStatus(this.away()));
  }

  private isAway(): boolean {
    return this.status === "offline" || this.status === "reconnecting";
  }

  private away(): Status {
    return this.world.network.online() ? "reconnecting" : "offline";
  }

  private onNetwork(event: NetworkEvent): void {
    // The page may never come back.
    if (event === "hidden" || event === "away") this.memo.flush();
    // A socket notices only after a while that its network is gone.
    if (event === "offline" && !this.isAway()) this.lookOfflineSoon();
    else if ((event === "offline" || event === "online") && this.isAway()) this.setStatus(this.away());
  }

  private setStatus(status: Status): void {
    this.quiet?.();
    this.quiet = null;
    this.status = status;
    this.show();
  }

  private show(): void {
    const { status, halt } = this;
    const { chat } = this.journal;
    // Known from the rows too, so that nobody who is offline reads that all is well.
    const blocked = chat.safety?.doubted === true ? "identity_changed" : this.outbox.blocked.get();
    this.view.set({ chat, status, blocked, halt, typing: this.presence.typing.get() });
  }
}

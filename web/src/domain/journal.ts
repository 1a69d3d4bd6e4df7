/**
 * One chat's memory: what is on disk, and the only way to change it.
 *
 * Each change is one synchronous job over a draft. Whatever the job did to the machine, the history,
 * the counters and the staged frame is written in one transaction, and the promise resolves after
 * it is on disk. So code that awaits `write` before it sends or shows can't get the order wrong.
 */

import { drain } from "./machine.ts";
import type { CryptoMachine } from "./machine.ts";
import { Signal } from "./observe.ts";
import { StoreError } from "./ports.ts";
import type { ChatStore, StoreFault } from "./ports.ts";
import { inOrder } from "./records.ts";
import type { Batch, Entry, JoinedChat, Mine, Note, Snapshot, Staged, Theirs } from "./records.ts";

/** An entry before it has its place. */
export type NewEntry = Omit<Mine, "pos"> | Omit<Theirs, "pos"> | Omit<Note, "pos">;

export class Journal {
  /** Entries that are now on disk, new ones and changed ones. */
  readonly written = new Signal<readonly Entry[]>();
  /** Places of entries that are gone from the disk. */
  readonly gone = new Signal<readonly number[]>();
  /** Nothing can be written any more, so nothing may be sent. */
  readonly broken = new Signal<StoreFault>();

  private readonly byPos = new Map<number, Entry>();
  private lastPos = 0;
  private tail: Promise<unknown> = Promise.resolve();
  private fault: StoreFault | null = null;
  private shut = false;

  private chatNow: JoinedChat;
  private stagedNow: Staged | null;
  /** In the order of their numbers. */
  private sentNow: readonly Staged[];

  constructor(
    private readonly store: ChatStore,
    private readonly machine: CryptoMachine,
    chat: JoinedChat,
    snapshot: Pick<Snapshot, "entries" | "staged" | "sent">,
  ) {
    this.chatNow = chat;
    this.stagedNow = snapshot.staged;
    this.sentNow = [...snapshot.sent].sort((a, b) => a.n - b.n);
    this.keep([...snapshot.entries].sort((a, b) => a.pos - b.pos));
  }

  /** As it is on disk. */
  get chat(): JoinedChat {
    return this.chatNow;
  }

  get staged(): Staged | null {
    return this.stagedNow;
  }

  /**
   * The frame to send next to a bridge that counted up to `n`: one that it took and forgot, or the
   * one that it has not answered.
   */
  frameAfter(n: number): Staged | null {
    return this.sentNow.find((frame) => frame.n > n) ?? this.stagedNow;
  }

  /** In their order. */
  entries(): readonly Entry[] {
    return inOrder([...this.byPos.values()]);
  }

  entry(pos: number): Entry | undefined {
    return this.byPos.get(pos);
  }

  /** The oldest message that is not encrypted yet. */
  nextWaiting(): Mine | null {
    for (const entry of this.byPos.values()) {
      if (entry.kind === "mine" && entry.state === "waiting" && entry.n === null && !this.isEarly(entry)) return entry;
    }
    return null;
  }

  /** A message that is on its way can be taken back only once its event is known. */
  private isEarly({ errand }: Mine): boolean {
    const message = errand?.kind === "redact" ? this.byPos.get(errand.pos) : undefined;
    return message?.kind === "mine" && message.eventId === null;
  }

  byEvent(eventId: string): Mine | Theirs | null {
    for (const entry of this.byPos.values()) {
      if (entry.kind !== "note" && entry.eventId === eventId) return entry;
    }
    return null;
  }

  /** The host's newest event, as far as the order of their coming tells. */
  newestOfHost(): string | null {
    let newest: string | null = null;
    for (const entry of this.byPos.values()) {
      if (entry.kind === "theirs" && entry.before === undefined) newest = entry.eventId;
    }
    return newest;
  }

  /** Whether the machine waits for the host's device keys. */
  wantsKeys(): boolean {
    return !this.shut && this.machine.wantsKeys();
  }

  /** Whether a device of the host needs a new Olm session. */
  wantsHealing(now: number): boolean {
    return !this.shut && this.machine.wantsHealing(now);
  }

  /**
   * Runs the job after all those before it are on disk, and resolves when its own changes are.
   * Throws `StoreError` if they can't be: the machine is then ahead of the disk, and this journal
   * takes no more jobs.
   */
  write<T>(job: (draft: Draft) => T): Promise<T> {
    const run = this.tail.then(() => this.perform(job));
    this.tail = run.catch(() => undefined);
    return run;
  }

  /** After the jobs already begun nothing is written any more, and the machine's memory is freed. */
  close(): Promise<void> {
    const end = this.tail.then(() => {
      if (this.shut) return;
      this.shut = true;
      this.machine.free();
    });
    this.tail = end;
    return end;
  }

  private async perform<T>(job: (draft: Draft) => T): Promise<T> {
    if (this.fault !== null) throw new StoreError(this.fault);
    if (this.shut) throw new StoreError("superseded");
    const draft = new Draft(this.machine, this.chatNow, this.stagedNow, this.sentNow, this.byPos, this.lastPos);
    const output = job(draft);
    const batch = draft.batch(drain(this.machine));
    if (Object.keys(batch).length === 0) return output;
    try {
      await this.store.commit(batch);
    } catch (error) {
      this.fault = error instanceof StoreError ? error.fault : "failed";
      this.broken.emit(this.fault);
      throw error;
    }
    this.chatNow = draft.chat;
    this.stagedNow = draft.staged;
    this.sentNow = draft.sent;
    if (batch.dropEntries === true) this.byPos.clear();
    for (const pos of batch.goneEntries ?? []) this.byPos.delete(pos);
    this.keep(batch.entries ?? []);
    if (batch.goneEntries !== undefined) this.gone.emit(batch.goneEntries);
    if (batch.entries !== undefined) this.written.emit(batch.entries);
    return output;
  }

  private keep(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.byPos.set(entry.pos, entry);
      this.lastPos = Math.max(this.lastPos, entry.pos);
    }
  }
}

/** What one job sees and changes. Good only while the job runs. */
export class Draft {
  private readonly changed = new Map<number, Entry>();
  private readonly gone = new Set<number>();
  private readonly kept: Staged[] = [];
  private settledTo: number | null = null;
  private dropped: { records: boolean; entries: boolean } = { records: false, entries: false };

  constructor(
    readonly machine: CryptoMachine,
    private chatNow: JoinedChat,
    private stagedNow: Staged | null,
    private readonly sentBefore: readonly Staged[],
    private readonly stored: ReadonlyMap<number, Entry>,
    private lastPos: number,
  ) {
    this.initial = { chat: chatNow, staged: stagedNow };
  }

  private readonly initial: { readonly chat: JoinedChat; readonly staged: Staged | null };

  get chat(): JoinedChat {
    return this.chatNow;
  }

  get staged(): Staged | null {
    return this.stagedNow;
  }

  /** Frames that the bridge took and nobody has settled, in the order of their numbers. */
  get sent(): readonly Staged[] {
    const settled = this.settledTo ?? 0;
    return [...this.sentBefore, ...this.kept].filter(({ n }) => n > settled);
  }

  update(change: Partial<Omit<JoinedChat, "stage" | "version">>): void {
    this.chatNow = { ...this.chatNow, ...change };
  }

  stage(frame: Staged | null): void {
    this.stagedNow = frame;
  }

  /** The bridge took the frame; what becomes of it is not known yet. */
  keep(frame: Staged): void {
    this.kept.push(frame);
  }

  /** What became of every frame up to this number is known. */
  settle(n: number): void {
    this.settledTo = Math.max(n, this.settledTo ?? 0);
  }

  /** Puts an entry at the end. */
  add(entry: NewEntry): Entry {
    this.lastPos += 1;
    const placed = { ...entry, pos: this.lastPos } as Entry;
    this.changed.set(placed.pos, placed);
    return placed;
  }

  /** Replaces the entry of the same place. */
  put(entry: Entry): void {
    this.changed.set(entry.pos, entry);
  }

  /** Forgets the entry of this place. */
  remove(pos: number): void {
    this.changed.delete(pos);
    this.gone.add(pos);
  }

  mine(pos: number): Mine | null {
    const entry = this.gone.has(pos) ? undefined : (this.changed.get(pos) ?? this.stored.get(pos));
    return entry?.kind === "mine" ? entry : null;
  }

  mineByNumber(n: number): Mine | null {
    return this.find((entry): entry is Mine => entry.kind === "mine" && entry.n === n);
  }

  mineByEvent(eventId: string): Mine | null {
    return this.find((entry): entry is Mine => entry.kind === "mine" && entry.eventId === eventId);
  }

  theirsByEvent(eventId: string): Theirs | null {
    return this.find((entry): entry is Theirs => entry.kind === "theirs" && entry.eventId === eventId);
  }

  /** Before which of the host's messages one belongs that was written at this time: the first of all the last ones that are younger. */
  placeBefore(ts: number): number | undefined {
    const theirs = inOrder(this.all()).filter((entry) => entry.kind === "theirs");
    let place: number | undefined;
    for (const entry of theirs.reverse()) {
      if (entry.ts <= ts) break;
      place = entry.pos;
    }
    return place;
  }

  /** What no answer came for yet. */
  allWaiting(): readonly Mine[] {
    return this.all().filter((entry): entry is Mine => entry.kind === "mine" && entry.state === "waiting");
  }

  /** Every entry as the job has it now. */
  all(): readonly Entry[] {
    return [...new Map([...this.stored, ...this.changed]).values()].filter(({ pos }) => !this.gone.has(pos));
  }

  /** The next number of `order`. */
  tell(): number {
    const told = (this.chatNow.told ?? 0) + 1;
    this.update({ told });
    return told;
  }

  /** The keys of a chat that is over serve nobody. */
  dropRecords(): void {
    this.dropped.records = true;
  }

  dropEntries(): void {
    this.dropped.entries = true;
    this.changed.clear();
  }

  batch(records: ReadonlyMap<string, string | null>): Batch {
    return {
      ...(this.chatNow === this.initial.chat ? {} : { chat: this.chatNow }),
      ...(this.stagedNow === this.initial.staged ? {} : { staged: this.stagedNow }),
      ...(this.changed.size === 0 ? {} : { entries: [...this.changed.values()] }),
      ...(this.gone.size === 0 ? {} : { goneEntries: [...this.gone] }),
      ...(this.kept.length === 0 ? {} : { sent: this.kept }),
      ...(this.sentBefore.some(({ n }) => n <= (this.settledTo ?? 0)) ? { settled: this.settledTo ?? 0 } : {}),
      ...(this.dropped.entries ? { dropEntries: true } : {}),
      ...(this.dropped.records ? { dropRecords: true } : records.size === 0 ? {} : { records }),
    };
  }

  private find<E extends Entry>(is: (entry: Entry) => entry is E): E | null {
    for (const entry of this.changed.values()) if (is(entry)) return entry;
    for (const entry of this.stored.values()) {
      if (!this.changed.has(entry.pos) && !this.gone.has(entry.pos) && is(entry)) return entry;
    }
    return null;
  }
}

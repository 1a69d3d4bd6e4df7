import { StoreError } from "../../src/domain/ports.ts";
import type { ChatStore, ChatSummary, Remnant, Shelf } from "../../src/domain/ports.ts";
import type { Batch, Chat, Entry, Snapshot, Staged } from "../../src/domain/records.ts";
import type { Changes } from "../../src/domain/machine.ts";

interface Kept {
  epoch: number;
  chat: Chat;
  records: Map<string, string>;
  entries: Map<number, Entry>;
  staged: Staged | null;
  sent: Map<number, Staged>;
}

/** A disk: what a commit wrote is there, and nothing else. Commits can be held back, or fail. */
export class MemoryShelf implements Shelf {
  readonly kept = new Map<string, Kept>();
  /** Each commit that reached the disk, in order. */
  readonly commits: Batch[] = [];
  failing = false;
  failNext = false;
  /** What this browser doesn't let go. */
  remnants: readonly Remnant[] = [];
  private gate: Promise<void> = Promise.resolve();

  /** Commits wait until the returned function is called. */
  hold(): () => void {
    let open: () => void = () => undefined;
    this.gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  }

  list(): Promise<readonly ChatSummary[]> {
    if (this.failing) return Promise.reject(new StoreError("failed"));
    return Promise.resolve([...this.kept].map(([id, { chat }]) => ({ id, chat })));
  }

  add(id: string, chat: Chat, records: Changes): Promise<ChatStore> {
    if (this.failing || this.kept.has(id)) return Promise.reject(new StoreError("failed"));
    this.kept.set(id, { epoch: 1, chat, records: new Map(), entries: new Map(), staged: null, sent: new Map() });
    const store = this.store(id, 1);
    return store.commit({ records }).then(() => store);
  }

  take(id: string): Promise<{ store: ChatStore; snapshot: Snapshot } | null> {
    const kept = this.kept.get(id);
    if (kept === undefined) return Promise.resolve(null);
    kept.epoch += 1;
    const { chat, records, entries, staged, sent } = structuredClone(kept);
    const snapshot = { chat, records, entries: [...entries.values()], staged, sent: [...sent.values()] };
    return Promise.resolve({ store: this.store(id, kept.epoch), snapshot });
  }

  erase(id: string): Promise<readonly Remnant[]> {
    if (this.remnants.length === 0) this.kept.delete(id);
    return Promise.resolve(this.remnants);
  }

  only(): Kept {
    const [kept] = this.kept.values();
    if (kept === undefined || this.kept.size !== 1) throw new Error(`${this.kept.size} chats`);
    return kept;
  }

  private store(id: string, epoch: number): ChatStore {
    return {
      commit: async (batch) => {
        await this.gate;
        const fails = this.failing || this.failNext;
        this.failNext = false;
        if (fails) throw new StoreError("failed");
        const kept = this.kept.get(id);
        if (kept?.epoch !== epoch) throw new StoreError("superseded");
        apply(kept, structuredClone(batch));
        this.commits.push(batch);
      },
    };
  }
}

function apply(kept: Kept, batch: Batch): void {
  if (batch.chat !== undefined) kept.chat = batch.chat;
  if (batch.dropRecords === true) kept.records.clear();
  for (const [key, value] of batch.records ?? []) {
    if (value === null) kept.records.delete(key);
    else kept.records.set(key, value);
  }
  if (batch.dropEntries === true) kept.entries.clear();
  for (const pos of batch.goneEntries ?? []) kept.entries.delete(pos);
  for (const entry of batch.entries ?? []) kept.entries.set(entry.pos, entry);
  if (batch.staged !== undefined) kept.staged = batch.staged;
  for (const frame of batch.sent ?? []) kept.sent.set(frame.n, frame);
  for (const n of [...kept.sent.keys()]) if (n <= (batch.settled ?? 0)) kept.sent.delete(n);
}

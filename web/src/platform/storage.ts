/** The chats of this browser, in IndexedDB, each wrapped with its own key. */

import { StoreError } from "../domain/ports.ts";
import type { ChatStore, ChatSummary, Remnant, Shelf } from "../domain/ports.ts";
import type { Batch, Chat, Entry, Snapshot, Staged } from "../domain/records.ts";
import { STORES, answer, dropDatabase, finished, hasDatabase, inTime, ofChat, openDatabase, patiently, strictly } from "./rows.ts";
import type { ChatRow, EntryRow, RecordRow, SentRow, StagedRow, Timer } from "./rows.ts";
import { newWrappingKey, unwrap, wrap } from "./wrapping.ts";

/** What is authenticated with each row. */
const place = {
  chat: (id: string) => `chat|${id}`,
  record: (id: string, name: string) => `record|${id}|${name}`,
  entry: (id: string, pos: number) => `entry|${id}|${pos}`,
  staged: (id: string) => `staged|${id}`,
  sent: (id: string, n: number) => `sent|${id}|${n}`,
};

/** `name` keeps several bridges on one origin apart. Makes the database with the first chat. */
export function indexedShelf(factory: IDBFactory, clock: Timer, name: string): Shelf {
  let opening: Promise<IDBDatabase> | null = null;
  const forget = (): void => {
    opening = null;
  };
  const db = (): Promise<IDBDatabase> => {
    // Another tab may delete the database with its last chat, or bring a newer one.
    opening ??= openDatabase(factory, name, forget);
    return opening;
  };
  /** Who has only looked at a link leaves nothing in the browser. */
  const existing = async (): Promise<IDBDatabase | null> =>
    opening === null && (await hasDatabase(factory, name)) === false ? null : db();
  const found = <T>(work: () => Promise<T>): Promise<T> =>
    orFailed(() =>
      inTime(clock, work()).catch((error: unknown) => {
        // The next look asks the browser anew.
        forget();
        throw error;
      }),
    );
  const patient = <T>(look: () => Promise<T>): Promise<T> => patiently(clock, look, forget);
  return {
    list: () =>
      found(() =>
        patient(async () => {
          const open = await existing();
          return open === null ? [] : list(open);
        }),
      ),
    add: (id, chat, records) =>
      found(async () => {
        const key = await newWrappingKey();
        const store = new IndexedChat(clock, await patient(db), id, key, 1);
        await store.create({ chat, records });
        return store;
      }),
    take: (id) => found(() => patient(async () => take(clock, await db(), id))),
    erase: (id) =>
      orFailed(async () => {
        const open = await patient(existing);
        if (open === null) return [];
        await erase(open, id);
        const left = await remnants(open, id);
        if (left.length > 0 || !(await isEmpty(open))) return left;
        open.close();
        forget();
        return (await dropDatabase(factory, clock, name)) ? [] : ["database"];
      }),
  };
}

async function list(db: IDBDatabase): Promise<readonly ChatSummary[]> {
  const rows = await answer<ChatRow[]>(db.transaction("chats").objectStore("chats").getAll());
  return Promise.all(rows.map(async (row) => ({ id: row.id, chat: (await unwrap(row.key, place.chat(row.id), row)) as Chat })));
}

async function take(clock: Timer, db: IDBDatabase, id: string): Promise<{ store: ChatStore; snapshot: Snapshot } | null> {
  const transaction = strictly(db);
  const done = finished(transaction);
  const chats = transaction.objectStore("chats");
  const row = (await answer(chats.get(id))) as ChatRow | undefined;
  if (row === undefined) return null;
  const epoch = row.epoch + 1;
  chats.put({ ...row, epoch });
  // Begun together: a transaction that has nothing to do while something else is awaited ends.
  const [records, entries, staged, sent] = await Promise.all([
    answer<RecordRow[]>(transaction.objectStore("records").getAll(ofChat(id))),
    answer<EntryRow[]>(transaction.objectStore("entries").getAll(ofChat(id))),
    answer(transaction.objectStore("staged").get(id)) as Promise<StagedRow | undefined>,
    answer<SentRow[]>(transaction.objectStore("sent").getAll(ofChat(id))),
  ]);
  await done;
  const { key } = row;
  const snapshot: Snapshot = {
    chat: (await unwrap(key, place.chat(id), row)) as Chat,
    records: new Map(
      await Promise.all(
        records.map(async (r) => [r.name, (await unwrap(key, place.record(id, r.name), r)) as string] as const),
      ),
    ),
    entries: await Promise.all(entries.map(async (e) => (await unwrap(key, place.entry(id, e.pos), e)) as Entry)),
    staged: staged === undefined ? null : ((await unwrap(key, place.staged(id), staged)) as Staged),
    sent: await Promise.all(sent.map(async (s) => (await unwrap(key, place.sent(id, s.n), s)) as Staged)),
  };
  return { store: new IndexedChat(clock, db, id, key, epoch), snapshot };
}

async function erase(db: IDBDatabase, id: string): Promise<void> {
  const transaction = strictly(db);
  transaction.objectStore("chats").delete(id);
  transaction.objectStore("staged").delete(id);
  transaction.objectStore("records").delete(ofChat(id));
  transaction.objectStore("entries").delete(ofChat(id));
  transaction.objectStore("sent").delete(ofChat(id));
  await finished(transaction);
}

const KINDS: readonly (readonly [(typeof STORES)[number], Remnant])[] = [
  ["chats", "keys"], ["records", "keys"], ["entries", "messages"], ["staged", "queue"], ["sent", "queue"],
];

/** Which kinds of rows there are of this chat, in a transaction of its own. */
async function remnants(db: IDBDatabase, id: string): Promise<readonly Remnant[]> {
  const transaction = db.transaction(STORES);
  const counts = await Promise.all(
    KINDS.map(([store]) => {
      const isSingle = store === "chats" || store === "staged";
      return answer(transaction.objectStore(store).count(isSingle ? id : ofChat(id)));
    }),
  );
  return [...new Set(KINDS.flatMap(([, kind], index) => (counts[index] === 0 ? [] : [kind])))];
}

async function isEmpty(db: IDBDatabase): Promise<boolean> {
  return (await answer(db.transaction("chats").objectStore("chats").count())) === 0;
}

/** A batch's rows, encrypted. */
interface Wrappings {
  readonly chat: ChatRow | null;
  readonly records: readonly RecordRow[];
  /** Names of records that go. */
  readonly gone: readonly string[];
  readonly entries: readonly EntryRow[];
  readonly staged: StagedRow | null;
  readonly sent: readonly SentRow[];
}

class IndexedChat implements ChatStore {
  private tail: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly clock: Timer,
    private readonly db: IDBDatabase,
    private readonly id: string,
    private readonly key: CryptoKey,
    private readonly epoch: number,
  ) {}

  commit(batch: Batch): Promise<void> {
    // Encrypting takes differently long; batches still reach the disk in their order. One that fails was aborted, so
    // it can be written again.
    const run = this.tail.then(() => orFailed(() => patiently(this.clock, () => this.write(batch, false))));
    this.tail = run.catch(() => undefined);
    return run;
  }

  /** The first batch; fails if the chat is there already. */
  create(batch: Batch): Promise<void> {
    return this.write(batch, true);
  }

  private async write(batch: Batch, fresh: boolean): Promise<void> {
    const rows = await this.wrapAll(batch);
    const transaction = strictly(this.db);
    const done = finished(transaction);
    // Awaited only below; without this a superseded writer would report its abort twice.
    done.catch(() => undefined);
    const chats = transaction.objectStore("chats");
    const now = (await answer(chats.get(this.id))) as ChatRow | undefined;
    if (fresh ? now !== undefined : now?.epoch !== this.epoch) {
      transaction.abort();
      throw new StoreError("superseded");
    }
    try {
      if (rows.chat !== null) chats.put(rows.chat);
      this.putAll(transaction, batch, rows);
    } catch (error) {
      // What was put before would else be committed without what comes after it.
      transaction.abort();
      throw error;
    }
    await done;
  }

  private putAll(transaction: IDBTransaction, batch: Batch, rows: Wrappings): void {
    const { id } = this;
    const records = transaction.objectStore("records");
    const entries = transaction.objectStore("entries");
    const staged = transaction.objectStore("staged");
    const sent = transaction.objectStore("sent");
    if (batch.dropRecords === true) records.delete(ofChat(id));
    for (const name of rows.gone) records.delete([id, name]);
    for (const row of rows.records) records.put(row);
    if (batch.dropEntries === true) entries.delete(ofChat(id));
    for (const pos of batch.goneEntries ?? []) entries.delete([id, pos]);
    for (const row of rows.entries) entries.put(row);
    if (rows.staged !== null) staged.put(rows.staged);
    else if (batch.staged === null) staged.delete(id);
    for (const row of rows.sent) sent.put(row);
    if (batch.settled !== undefined) sent.delete(ofChat(id, batch.settled));
  }

  /** Before the transaction begins, because it would end while encryption is awaited. */
  private async wrapAll(batch: Batch): Promise<Wrappings> {
    const { id, key, epoch } = this;
    const changes = [...(batch.records ?? [])];
    const present = changes.filter((change): change is [string, string] => change[1] !== null);
    const chat: ChatRow | null =
      batch.chat === undefined ? null : { id, epoch, key, ...(await wrap(key, place.chat(id), batch.chat)) };
    const records: RecordRow[] = await Promise.all(
      present.map(async ([name, value]) => ({ chat: id, name, ...(await wrap(key, place.record(id, name), value)) })),
    );
    const entries: EntryRow[] = await Promise.all(
      (batch.entries ?? []).map(async (entry) => ({
        chat: id,
        pos: entry.pos,
        ...(await wrap(key, place.entry(id, entry.pos), entry)),
      })),
    );
    const staged: StagedRow | null =
      batch.staged === undefined || batch.staged === null
        ? null
        : { chat: id, ...(await wrap(key, place.staged(id), batch.staged)) };
    const sent: SentRow[] = await Promise.all(
      (batch.sent ?? []).map(async (frame) => ({ chat: id, n: frame.n, ...(await wrap(key, place.sent(id, frame.n), frame)) })),
    );
    return { chat, records, entries, staged, sent, gone: changes.filter(([, value]) => value === null).map(([name]) => name) };
  }
}

async function orFailed<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof StoreError ? error : new StoreError("failed", { cause: error });
  }
}

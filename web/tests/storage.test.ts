import assert from "node:assert/strict";
import { test } from "node:test";
import { IDBDatabase as FDBDatabase, IDBFactory, IDBObjectStore as FDBObjectStore } from "fake-indexeddb";
import { StoreError } from "../src/domain/ports.ts";
import type { Entry, JoiningChat, Staged } from "../src/domain/records.ts";
import { indexedShelf } from "../src/platform/storage.ts";
import { newWrappingKey, unwrap, wrap } from "../src/platform/wrapping.ts";
import { FakeClock } from "./support/clock.ts";

// fake-indexeddb reads its range class from its own module; the page takes the browser's.
import { IDBKeyRange } from "fake-indexeddb";
Object.assign(globalThis, { IDBKeyRange });

const clock = new FakeClock();
const chat: JoiningChat = {
  version: 1, stage: "joining", token: "0123456789abcdefghjkmnpqrs", expiresAt: 5, ghost: "@g:e", device: "ABCDEFGHIJ",
  host: { userId: "@alice:e", displayName: "CANARY-HOST" }, idleLimitMs: 1, name: "CANARY-NAME",
};
const entry: Entry = { kind: "mine", pos: 1, ts: 2, body: "CANARY-TEXT", state: "waiting", n: null, eventId: null };
const staged: Staged = { kind: "send", n: 1, content: { ciphertext: "CANARY-CIPHER" }, pos: 1 };
const records = new Map<string, string | null>([["account", "CANARY-KEY"], ["olm", "CANARY-OLM"]]);

async function everything(factory: IDBFactory): Promise<string> {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const request = factory.open("test") as unknown as IDBOpenDBRequest;
    request.onsuccess = () => resolve(request.result);
  });
  let dump = "";
  for (const store of db.objectStoreNames) {
    const rows = await new Promise<object[]>((resolve) => {
      const request = db.transaction(store).objectStore(store).getAll();
      request.onsuccess = () => resolve(request.result as object[]);
    });
    for (const row of rows) {
      for (const value of Object.values(row)) {
        const bytes = value instanceof ArrayBuffer || value instanceof Uint8Array;
        dump += bytes ? Buffer.from(value as ArrayBuffer).toString("latin1") : JSON.stringify(value);
      }
    }
  }
  return dump;
}

test("what was committed is there again, and changes and deletions too", async () => {
  const factory = new IDBFactory();
  const store = await indexedShelf(factory, clock, "test").add("a", chat, records);
  await store.commit({ entries: [entry], staged, records: new Map([["olm", null], ["megolm", "new"]]) });
  await store.commit({ entries: [{ ...entry, state: "sent" }], chat: { ...chat, name: "Maja" } });

  const again = indexedShelf(factory, clock, "test");
  assert.deepEqual(await again.list(), [{ id: "a", chat: { ...chat, name: "Maja" } }]);
  const taken = await again.take("a");
  assert.deepEqual(taken?.snapshot, {
    chat: { ...chat, name: "Maja" },
    records: new Map([["account", "CANARY-KEY"], ["megolm", "new"]]),
    entries: [{ ...entry, state: "sent" }],
    staged,
    sent: [],
  });
  await taken?.store.commit({ staged: null, dropEntries: true, dropRecords: true });
  const empty = await again.take("a");
  assert.deepEqual([empty?.snapshot.records.size, empty?.snapshot.entries, empty?.snapshot.staged], [0, [], null]);
});

const sent: Staged[] = [1, 2, 3].map((n) => ({ ...staged, n }));

test("sent frames are kept until they are settled, and entries can go one by one", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  const store = await shelf.add("a", chat, records);
  await (await shelf.add("b", chat, records)).commit({ sent });
  await store.commit({ sent, entries: [entry, { ...entry, pos: 2 }] });
  await store.commit({ settled: 2, goneEntries: [1] });
  const taken = (await shelf.take("a")) ?? assert.fail();
  assert.deepEqual(taken.snapshot.sent, sent.slice(2));
  assert.deepEqual(taken.snapshot.entries.map(({ pos }) => pos), [2]);
  assert.deepEqual((await shelf.take("b"))?.snapshot.sent, sent);
  await shelf.erase("b");
  assert.doesNotMatch(await everything(factory), /"b"/);
});

test("a database of the first version is taken over, and gets what it lacks", async () => {
  const factory = new IDBFactory();
  const old = await new Promise<IDBDatabase>((resolve) => {
    const request = factory.open("test", 1) as unknown as IDBOpenDBRequest;
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore("chats", { keyPath: "id" });
      db.createObjectStore("records", { keyPath: ["chat", "name"] });
      db.createObjectStore("entries", { keyPath: ["chat", "pos"] });
      db.createObjectStore("staged", { keyPath: "chat" });
    };
    request.onsuccess = () => resolve(request.result);
  });
  const key = await newWrappingKey();
  const row = { id: "a", epoch: 1, key, ...(await wrap(key, "chat|a", chat)) };
  await new Promise<void>((resolve) => {
    const transaction = old.transaction("chats", "readwrite");
    transaction.objectStore("chats").put(row);
    transaction.oncomplete = () => resolve();
  });
  old.close();
  const taken = (await indexedShelf(factory, clock, "test").take("a")) ?? assert.fail();
  assert.deepEqual([taken.snapshot.chat, taken.snapshot.sent], [chat, []]);
  await taken.store.commit({ sent });
});

test("a batch that breaks off in the middle leaves nothing", async () => {
  const shelf = indexedShelf(new IDBFactory(), clock, "test");
  const store = await shelf.add("a", chat, records);
  const put = FDBObjectStore.prototype.put;
  let left = 3;
  FDBObjectStore.prototype.put = function (this: IDBObjectStore, ...row: Parameters<typeof put>): ReturnType<typeof put> {
    left -= 1;
    if (left === 0) throw new Error("it can't be put");
    return put.apply(this, row);
  };
  try {
    const batch = { chat: { ...chat, name: "Maja" }, records: new Map([["olm", "new"]]), entries: [entry], staged };
    await assert.rejects(store.commit(batch), (error) => error instanceof StoreError && error.fault === "failed");
  } finally {
    FDBObjectStore.prototype.put = put;
  }
  assert.equal(left, 0);
  const { snapshot } = (await shelf.take("a")) ?? assert.fail();
  assert.deepEqual([snapshot.chat, snapshot.entries, snapshot.staged], [chat, [], null]);
  assert.equal(snapshot.records.get("olm"), "CANARY-OLM");
});

test("every transaction that writes has to reach the disk before it counts", async () => {
  const transaction = FDBDatabase.prototype.transaction;
  const durable: unknown[] = [];
  FDBDatabase.prototype.transaction = function (this: IDBDatabase, ...how: Parameters<typeof transaction>): ReturnType<typeof transaction> {
    if (how[1] === "readwrite") durable.push((how as unknown[])[2]);
    return transaction.apply(this, how);
  };
  try {
    const shelf = indexedShelf(new IDBFactory(), clock, "test");
    await (await shelf.add("a", chat, records)).commit({ entries: [entry] });
    await shelf.take("a");
    await shelf.erase("a");
  } finally {
    FDBDatabase.prototype.transaction = transaction;
  }
  assert.deepEqual(durable, Array(4).fill({ durability: "strict" }));
});

test("a batch that was on its way when another tab took the chat is not written", async () => {
  const written: boolean[] = [];
  for (let delay = 0; delay < 8; delay += 1) {
    const shelf = indexedShelf(new IDBFactory(), clock, "test");
    const first = await shelf.add("a", chat, records);
    const late: Promise<boolean> = first.commit({ entries: [entry], records: new Map([["olm", "old owner"]]), staged }).then(() => true, () => false);
    for (let turn = 0; turn < delay; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const { store, snapshot } = (await shelf.take("a")) ?? assert.fail();
    // Either the new owner has read it, or it never happened.
    assert.equal(await late, snapshot.staged !== null, `after ${delay} turns`);
    written.push(await late);
    assert.equal(snapshot.records.get("olm"), (await late) ? "old owner" : "CANARY-OLM");
    await store.commit({ records: new Map([["olm", "new owner"]]) });
    assert.equal((await shelf.take("a"))?.snapshot.records.get("olm"), "new owner");
  }
  assert.equal(written[0], false, "taken before it was encrypted");
});

test("nothing is readable on the disk, and the key gives no bytes", async () => {
  const factory = new IDBFactory();
  const store = await indexedShelf(factory, clock, "test").add("a", chat, records);
  await store.commit({ entries: [entry], staged });
  const dump = await everything(factory);
  assert.ok(dump.length > 500);
  assert.doesNotMatch(dump, /CANARY|0123456789abcdef/);
  const key = await newWrappingKey();
  await assert.rejects(crypto.subtle.exportKey("raw", key));
});

test("a store that was superseded writes nothing", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  const first = await shelf.add("a", chat, records);
  const second = await shelf.take("a");
  await assert.rejects(first.commit({ entries: [entry] }), (error) => error instanceof StoreError && error.fault === "superseded");
  await second?.store.commit({ entries: [{ ...entry, body: "second" }] });
  const { snapshot } = (await shelf.take("a")) ?? assert.fail();
  assert.deepEqual(snapshot.entries, [{ ...entry, body: "second" }]);
});

test("batches reach the disk in the order in which they were given", async () => {
  const shelf = indexedShelf(new IDBFactory(), clock, "test");
  const store = await shelf.add("a", chat, records);
  const big = "x".repeat(1_000_000);
  await Promise.all([
    store.commit({ entries: [{ ...entry, body: big }] }),
    store.commit({ entries: [{ ...entry, body: "small" }] }),
  ]);
  assert.deepEqual((await shelf.take("a"))?.snapshot.entries, [{ ...entry, body: "small" }]);
});

test("a chat is made once, chats are apart, and erasing one leaves the other", async () => {
  const shelf = indexedShelf(new IDBFactory(), clock, "test");
  const a = await shelf.add("a", chat, records);
  await assert.rejects(shelf.add("a", chat, records), StoreError);
  const b = await shelf.add("b", { ...chat, name: "B" }, records);
  await a.commit({ entries: [entry], staged });
  await b.commit({ entries: [entry], staged });
  await shelf.erase("a");
  assert.equal(await shelf.take("a"), null);
  assert.equal((await shelf.take("b"))?.snapshot.entries.length, 1);
  await assert.rejects(a.commit({ entries: [entry] }), StoreError, "an erased chat does not come back");
  assert.deepEqual((await shelf.list()).map(({ id }) => id), ["b"]);
});

test("a wrapped value opens at its own place only, and not after a change", async () => {
  const key = await newWrappingKey();
  const wrapped = await wrap(key, "entry|a|1", { secret: 1 });
  assert.deepEqual(await unwrap(key, "entry|a|1", wrapped), { secret: 1 });
  await assert.rejects(unwrap(key, "entry|a|2", wrapped));
  await assert.rejects(unwrap(await newWrappingKey(), "entry|a|1", wrapped));
  new Uint8Array(wrapped.data)[0]! ^= 1;
  await assert.rejects(unwrap(key, "entry|a|1", wrapped));
});

test("with the last chat goes the database; what is not gone is named", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  const a = await shelf.add("a", chat, records);
  await shelf.add("b", chat, records);
  await a.commit({ entries: [entry], staged, sent });
  assert.deepEqual(await shelf.erase("a"), []);
  assert.equal((await factory.databases()).length, 1, "another chat is still there");
  assert.deepEqual(await shelf.erase("b"), []);
  assert.deepEqual(await factory.databases(), []);
  // And it begins anew when it is needed again.
  const again = await shelf.add("a", chat, records);
  await again.commit({ entries: [entry], staged, sent });
  const prototype = FDBObjectStore.prototype as { delete: (key: unknown) => unknown };
  const original = prototype.delete;
  prototype.delete = function (this: IDBObjectStore) {
    return this.count();
  };
  try {
    assert.deepEqual(await shelf.erase("a"), ["keys", "messages", "queue"]);
  } finally {
    prototype.delete = original;
  }
  assert.deepEqual(await shelf.erase("a"), []);
});

test("another tab's open database doesn't keep it, and that tab goes on with a new one", async () => {
  const factory = new IDBFactory();
  const here = indexedShelf(factory, clock, "test");
  const there = indexedShelf(factory, clock, "test");
  await here.add("a", chat, records);
  assert.equal((await there.list()).length, 1);
  assert.deepEqual(await here.erase("a"), []);
  assert.deepEqual(await there.list(), []);
  await there.add("b", chat, records);
  assert.equal((await here.list()).length, 1);
});

/** Another tab's connection to the database. */
function connect(factory: IDBFactory): Promise<IDBDatabase> {
  return new Promise((resolve) => {
    const request = factory.open("test");
    request.onsuccess = () => resolve(request.result as unknown as IDBDatabase);
  });
}

test("a tab that lets go late is waited for, one that never does is named", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  await shelf.add("a", chat, records);
  const late = await connect(factory);
  const erasing = shelf.erase("a");
  await clock.advance(2000);
  late.close();
  assert.deepEqual(await erasing, []);

  await shelf.add("a", chat, records);
  const hanging = await connect(factory);
  const left: (readonly string[])[] = [];
  void shelf.erase("a").then((remnants) => left.push(remnants));
  // Nothing tells when the erasing has come so far that it waits.
  for (let i = 0; i < 100 && left.length === 0; i += 1) await clock.advance(500);
  assert.deepEqual(left, [["database"]]);
  hanging.close();
});

test("looking for chats makes no database, nor does erasing what isn't there", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  assert.deepEqual(await shelf.list(), []);
  assert.deepEqual(await shelf.erase("a"), []);
  assert.deepEqual(await factory.databases(), []);
  await shelf.add("a", chat, records);
  assert.equal((await indexedShelf(factory, clock, "test").list()).length, 1);
});

test("a database that doesn't open is a fault after a while, and it may open later", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  const open = factory.open.bind(factory);
  let isOver = false;
  const adding = new Promise<void>((opened) => {
    factory.open = () => {
      opened();
      return {} as ReturnType<typeof open>;
    };
  });
  const refused = assert.rejects(shelf.add("a", chat, records), StoreError).then(() => (isOver = true));
  await adding;
  await clock.advance(9999);
  assert.equal(isOver, false);
  await clock.advance(1);
  await refused;
  factory.open = open;
  await shelf.add("a", chat, records);
  assert.equal((await shelf.list()).length, 1);
});

/** A factory whose first attempts to open fail as a browser's disk does. */
function stumbling(times: number, name: string, factory = new IDBFactory()): { factory: IDBFactory; opened: () => number } {
  const open = factory.open.bind(factory);
  let tries = 0;
  factory.open = (...of) => {
    tries += 1;
    if (tries > times) return open(...of);
    const request = { error: new DOMException("Internal error", name) } as unknown as ReturnType<typeof open>;
    setImmediate(() => request.onerror?.(new Event("error") as never));
    return request;
  };
  return { factory, opened: () => tries };
}

/** Moves the clock until it is done; gives how long that was for the clock, in ms. */
async function waited(work: Promise<unknown>): Promise<number> {
  const began = clock.now();
  let isDone = false;
  work.then(() => (isDone = true), () => (isDone = true));
  for (let i = 0; i < 1000 && !isDone; i += 1) await clock.advance(10);
  assert.ok(isDone);
  return clock.now() - began;
}

test("a database that can't be opened just now is tried again, and a refusal is said at once", async () => {
  const { factory } = stumbling(3, "UnknownError");
  const shelf = indexedShelf(factory, clock, "test");
  const adding = shelf.add("a", chat, records);
  assert.ok((await waited(adding)) >= 2600);
  await adding;
  assert.equal((await shelf.list()).length, 1);
  const erasing = indexedShelf(stumbling(3, "AbortError", factory).factory, clock, "test").erase("a");
  await waited(erasing);
  assert.deepEqual(await erasing, []);

  const never = stumbling(Infinity, "UnknownError");
  const failed = assert.rejects(indexedShelf(never.factory, clock, "test").add("a", chat, records), { name: "StoreError", message: "failed: UnknownError" });
  await waited(failed);
  await failed;
  assert.equal(never.opened(), 4);

  const refusing = stumbling(1, "SecurityError");
  await assert.rejects(indexedShelf(refusing.factory, clock, "test").add("a", chat, records), StoreError);
  assert.equal(refusing.opened(), 1);
});

test("chats that can't be read just now are read anew, with another connection", async () => {
  const factory = new IDBFactory();
  await (await indexedShelf(factory, clock, "test").add("a", chat, records)).commit({ entries: [entry] });
  const prototype = FDBObjectStore.prototype as { getAll: (...of: unknown[]) => IDBRequest };
  const original = prototype.getAll;
  let broken = 0;
  const open = factory.open.bind(factory);
  let opened = 0;
  factory.open = (...of) => {
    opened += 1;
    return open(...of);
  };
  prototype.getAll = function (this: IDBObjectStore, ...of) {
    if (broken < 1) {
      broken += 1;
      throw new DOMException("", "UnknownError");
    }
    return original.apply(this, of);
  };
  try {
    const shelf = indexedShelf(factory, clock, "test");
    const listing = shelf.list();
    await waited(listing);
    assert.equal((await listing).length, 1);
    assert.equal(opened, 2);
    broken = 0;
    const taking = shelf.take("a");
    await waited(taking);
    assert.deepEqual((await taking)?.snapshot.entries, [entry]);
  } finally {
    prototype.getAll = original;
  }
});

test("a batch that can't be written just now is written when it can be, before the next one", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, clock, "test");
  const store = await shelf.add("a", chat, records);
  const prototype = FDBObjectStore.prototype as { put: (...of: unknown[]) => IDBRequest };
  const original = prototype.put;
  const failures = ["UnknownError", "AbortError"];
  prototype.put = function (this: IDBObjectStore, ...of) {
    const name = this.name === "entries" ? failures.shift() : undefined;
    if (name !== undefined) throw new DOMException("", name);
    return original.apply(this, of);
  };
  const order: string[] = [];
  try {
    const first = store.commit({ entries: [entry], records: new Map([["olm", "first"]]) }).then(() => order.push("first"));
    const second = store.commit({ records: new Map([["olm", "second"]]) }).then(() => order.push("second"));
    await waited(Promise.all([first, second]));
    assert.deepEqual(order, ["first", "second"]);
    failures.push("QuotaExceededError");
    await assert.rejects(store.commit({ entries: [{ ...entry, pos: 2 }] }), { message: "failed: QuotaExceededError" });
  } finally {
    prototype.put = original;
  }
  const { snapshot } = (await shelf.take("a")) ?? assert.fail();
  assert.deepEqual([snapshot.entries, snapshot.records.get("olm")], [[entry], "second"]);
});

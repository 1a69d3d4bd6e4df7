import assert from "node:assert/strict";
import { test } from "node:test";
import { IDBFactory } from "fake-indexeddb";
import { StoreError } from "../src/domain/ports.ts";
import type { Entry, JoiningChat, Staged } from "../src/domain/records.ts";
import { indexedShelf } from "../src/platform/storage.ts";
import { newWrappingKey, unwrap, wrap } from "../src/platform/wrapping.ts";

// fake-indexeddb reads its range class from its own module; the page takes the browser's.
import { IDBKeyRange } from "fake-indexeddb";
Object.assign(globalThis, { IDBKeyRange });

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
  const store = await indexedShelf(factory, "test").add("a", chat, records);
  await store.commit({ entries: [entry], staged, records: new Map([["olm", null], ["megolm", "new"]]) });
  await store.commit({ entries: [{ ...entry, state: "sent" }], chat: { ...chat, name: "Maja" } });

  const again = indexedShelf(factory, "test");
  assert.deepEqual(await again.list(), [{ id: "a", chat: { ...chat, name: "Maja" } }]);
  const taken = await again.take("a");
  assert.deepEqual(taken?.snapshot, {
    chat: { ...chat, name: "Maja" },
    records: new Map([["account", "CANARY-KEY"], ["megolm", "new"]]),
    entries: [{ ...entry, state: "sent" }],
    staged,
  });
  await taken?.store.commit({ staged: null, dropEntries: true, dropRecords: true });
  const empty = await again.take("a");
  assert.deepEqual([empty?.snapshot.records.size, empty?.snapshot.entries, empty?.snapshot.staged], [0, [], null]);
});

test("nothing is readable on the disk, and the key gives no bytes", async () => {
  const factory = new IDBFactory();
  const store = await indexedShelf(factory, "test").add("a", chat, records);
  await store.commit({ entries: [entry], staged });
  const dump = await everything(factory);
  assert.ok(dump.length > 500);
  assert.doesNotMatch(dump, /CANARY|0123456789abcdef/);
  const key = await newWrappingKey();
  await assert.rejects(crypto.subtle.exportKey("raw", key));
});

test("a store that was superseded writes nothing", async () => {
  const factory = new IDBFactory();
  const shelf = indexedShelf(factory, "test");
  const first = await shelf.add("a", chat, records);
  const second = await shelf.take("a");
  await assert.rejects(first.commit({ entries: [entry] }), (error) => error instanceof StoreError && error.fault === "superseded");
  await second?.store.commit({ entries: [{ ...entry, body: "second" }] });
  const { snapshot } = (await shelf.take("a")) ?? assert.fail();
  assert.deepEqual(snapshot.entries, [{ ...entry, body: "second" }]);
});

test("batches reach the disk in the order in which they were given", async () => {
  const shelf = indexedShelf(new IDBFactory(), "test");
  const store = await shelf.add("a", chat, records);
  const big = "x".repeat(1_000_000);
  await Promise.all([
    store.commit({ entries: [{ ...entry, body: big }] }),
    store.commit({ entries: [{ ...entry, body: "small" }] }),
  ]);
  assert.deepEqual((await shelf.take("a"))?.snapshot.entries, [{ ...entry, body: "small" }]);
});

test("a chat is made once, chats are apart, and erasing one leaves the other", async () => {
  const shelf = indexedShelf(new IDBFactory(), "test");
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

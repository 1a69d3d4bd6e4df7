/** The database: its stores, the shapes of their rows, and promises over its requests. */

import { pause } from "../domain/ports.ts";
import type { Clock } from "../domain/ports.ts";
import type { Wrapped } from "./wrapping.ts";

/** The key is a `CryptoKey`: the browser stores it, but hands out no bytes of it. */
export interface ChatRow extends Wrapped {
  readonly id: string;
  /** Raised by each tab that takes the chat; a writer with an older one is refused. */
  readonly epoch: number;
  readonly key: CryptoKey;
}

export interface RecordRow extends Wrapped {
  readonly chat: string;
  readonly name: string;
}

export interface EntryRow extends Wrapped {
  readonly chat: string;
  readonly pos: number;
}

export interface StagedRow extends Wrapped {
  readonly chat: string;
}

export interface SentRow extends Wrapped {
  readonly chat: string;
  readonly n: number;
}

export const STORES = ["chats", "records", "entries", "staged", "sent"] as const;

/** 2 added "sent". */
const VERSION = 2;

export type Timer = Pick<Clock, "after">;

/**
 * How long the browser may take to find what is stored. WebKit may never open a database again, until it
 * is restarted, when a page was left just while that database was made.
 */
const FINDING_MS = 10_000;

/** Fails when the work takes too long; what it does nevertheless, nobody waits for. */
export function inTime<T>(clock: Timer, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(FINDING_MS, () => reject(fault(null)));
    work.then(resolve, reject).finally(cancel);
  });
}

/**
 * What browsers call a failure that may pass: a disk that couldn't be read, a connection that they broke off
 * themselves, a database that a browser before them, killed but not quite ended, still holds.
 */
const PASSING: readonly string[] = ["UnknownError", "AbortError"];
const DELAYS_MS = [100, 500, 2000] as const;

/**
 * Does it again for as long as what it failed for may pass, after `before` each time. `work` must leave nothing when
 * it fails, or do what is the same when done twice.
 */
export async function patiently<T>(clock: Timer, work: () => Promise<T>, before?: () => void): Promise<T> {
  for (const delay of DELAYS_MS) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Error && PASSING.includes(error.name))) throw error;
    }
    await pause(clock, delay);
    before?.();
  }
  return work();
}

/** How long another tab may take to let go of the database; one in the background is given less to run. */
const LETTING_GO_MS = 3000;

/** `closed`: another tab needed it out of its way. */
export function openDatabase(factory: IDBFactory, name: string, closed: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, VERSION);
    request.onupgradeneeded = ({ oldVersion }) => {
      const db = request.result;
      if (oldVersion < 1) {
        db.createObjectStore("chats", { keyPath: "id" });
        db.createObjectStore("records", { keyPath: ["chat", "name"] });
        db.createObjectStore("entries", { keyPath: ["chat", "pos"] });
        db.createObjectStore("staged", { keyPath: "chat" });
      }
      db.createObjectStore("sent", { keyPath: ["chat", "n"] });
    };
    request.onsuccess = () => {
      // A newer page in another tab must not wait for this one to close.
      request.result.onversionchange = () => {
        request.result.close();
        closed();
      };
      resolve(request.result);
    };
    request.onerror = () => reject(fault(request.error));
  });
}

/** Whether there is one, without making it; `null` where the browser doesn't tell: Firefox does since 126. */
export async function hasDatabase(factory: IDBFactory, name: string): Promise<boolean | null> {
  return "databases" in factory ? (await factory.databases()).some((database) => database.name === name) : null;
}

/** Whether it is gone, as far as the browser tells. */
export async function dropDatabase(factory: IDBFactory, clock: Timer, name: string): Promise<boolean> {
  const isDeleted = await new Promise<boolean>((resolve) => {
    const request = factory.deleteDatabase(name);
    request.onsuccess = () => resolve(true);
    request.onerror = () => resolve(false);
    // Another tab has it open and has been told: its last transaction may still run, or it hangs.
    request.onblocked = () => clock.after(LETTING_GO_MS, () => resolve(false));
  });
  return isDeleted && (await hasDatabase(factory, name)) !== true;
}

export function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(fault(request.error));
  });
}

/** Resolves when the transaction is on disk, as far as the browser can tell. */
export function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(fault(transaction.error));
  });
}

/**
 * A transaction that is reported complete only after the disk has it. By default browsers are content
 * with the system's cache, which survives the browser's death but not a power cut: a ciphertext could
 * have left whose ratchet step is forgotten, and the next text would be encrypted with the same key.
 */
export function strictly(db: IDBDatabase): IDBTransaction {
  return db.transaction(STORES, "readwrite", { durability: "strict" });
}

/**
 * All rows whose compound key begins with this chat, or those of them up to a number. Arrays sort
 * after every number and string.
 */
export function ofChat(id: string, upTo: number | readonly [] = []): IDBKeyRange {
  return IDBKeyRange.bound([id], [id, upTo]);
}

function fault(cause: DOMException | null): Error {
  return cause ?? new Error("IndexedDB");
}

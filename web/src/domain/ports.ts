/** What the view models need of the world. `platform/` has the real ones, the tests have others. */

import type { ErrorBody, JoinAnswer, JoinRequest, LinkInfo } from "../protocol.ts";
import type { NoticeWords } from "./errands.ts";
import type { Batch, Chat, Snapshot } from "./records.ts";
import type { Changes, Machines } from "./machine.ts";
import type { Cancel } from "./observe.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  after(ms: number, action: () => void): Cancel;
}

/** Resolves after so many milliseconds. */
export function pause(clock: Pick<Clock, "after">, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}

export interface Random {
  /** From 0 up to, but not including, 1; for jitter, not for secrets. */
  fraction(): number;
  /** This many random capital letters, from the system's secure source. */
  letters(count: number): string;
}

export interface SocketEvents {
  message(text: string): void;
  /** Once, however it ended; never after `close()`. */
  closed(): void;
}

export interface Socket {
  send(text: string): void;
  close(): void;
}

export interface Sockets {
  /** Dials ahead: one will be opened in a moment. */
  warmUp(): void;
  open(events: SocketEvents): Socket;
}

/** `away`: the page was left, and may come back as it is. */
export type NetworkEvent = "online" | "offline" | "visible" | "hidden" | "away";

/** What the browser knows of its network and of being looked at. */
export interface Network {
  online(): boolean;
  subscribe(listener: (event: NetworkEvent) => void): Cancel;
}

/** A request that was refused, or got no answer (`code` is then `offline`). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: string;
  readonly retryAfterMs: number | null;
  readonly triesLeft: number | null;
  constructor(body: ErrorBody) {
    super(body.code);
    this.code = body.code;
    this.retryAfterMs = body.retryAfterMs;
    this.triesLeft = body.triesLeft ?? null;
  }
}

/** The HTTP part of the protocol. Both throw `ApiError`. */
export interface Api {
  link(token: string): Promise<LinkInfo>;
  join(request: JoinRequest): Promise<JoinAnswer>;
}

/**
 * `superseded`: another tab took the chat since, and nothing was written.
 * `failed`: the browser refused (disk full, private mode, storage cleared).
 */
export type StoreFault = "superseded" | "failed";

export class StoreError extends Error {
  override readonly name = "StoreError";
  constructor(readonly fault: StoreFault, options?: ErrorOptions) {
    // The name says what the browser had; a message could quote what it could not read.
    super(options?.cause instanceof Error ? `${fault}: ${options.cause.name}` : fault, options);
  }
}

/** Writes for one chat, for as long as no other tab takes it. */
export interface ChatStore {
  /** All of it or nothing, on disk when the promise resolves. Throws `StoreError`. */
  commit(batch: Batch): Promise<void>;
}

export interface ChatSummary {
  readonly id: string;
  readonly chat: Chat;
}

/** What is still there of a chat that was erased. */
export type Remnant = "keys" | "messages" | "queue" | "database";

/** The chats of this browser. A chat's id is the hash of its link's token. */
export interface Shelf {
  list(): Promise<readonly ChatSummary[]>;
  add(id: string, chat: Chat, records: Changes): Promise<ChatStore>;
  /** From here on every other `ChatStore` of this chat is superseded. `null`: no such chat. */
  take(id: string): Promise<{ readonly store: ChatStore; readonly snapshot: Snapshot } | null>;
  /** Deletes all of it, the whole database with the last chat, and looks whether it is gone: gives what is not. */
  erase(id: string): Promise<readonly Remnant[]>;
}

/**
 * How well a browser remembers. `app`: inside another app, which may forget everything when it is closed.
 * `week`: after seven days without a visit (WebKit's Intelligent Tracking Prevention). `well`: as far as one
 * can tell; a private window doesn't tell.
 */
export type Memory = "well" | "week" | "app";

/** One tab owns a chat. */
export interface Locks {
  /** `null` when another tab has it; `steal` takes it from that tab. `lost` is called when that happens to us. */
  take(id: string, steal: boolean, lost: () => void): Promise<Cancel | null>;
}

/**
 * `token`: until the chat is joined. `chat`: which one the tab shows. `reloaded`: for which version of the
 * protocol the page was loaded once more by itself.
 */
export type TabKey = "token" | "chat" | "reloaded";

/** What one tab remembers over a reload. */
export interface TabMemory {
  /** False where the browser stores nothing: then all is forgotten with the page. */
  readonly lasting: boolean;
  get(key: TabKey): string | null;
  set(key: TabKey, value: string | null): void;
}

export interface World {
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets: Sockets;
  readonly network: Network;
  readonly api: Api;
  readonly shelf: Shelf;
  readonly locks: Locks;
  readonly tab: TabMemory;
  readonly machines: Machines;
  /** Resolves when there are words to show a chat with; no stored chat is opened before. */
  readonly ready: Promise<void>;
  /** What the host reads when something came that the guest can't see. Not before `ready`. */
  readonly notice: NoticeWords;
  /** Of the page, as it stands in the hello's signature. */
  readonly origin: string;
  /** Lets the browser draw and answer before long work goes on. */
  breath(): Promise<void>;
  /** SHA-256 in hexadecimal digits. */
  digest(text: string): Promise<string>;
  reload(): void;
}

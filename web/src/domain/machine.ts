/** The crypto machine as the page sees it: the class that the WebAssembly exports, JSON in and out. */

import { string } from "../shape.ts";
import type { Json } from "../shape.ts";

/**
 * One device of the ghost. Synchronous; after any call that may change it, `changes()` must be
 * stored before a ciphertext leaves or a message is shown. Errors are thrown with a stable `name`.
 */
export interface CryptoMachine {
  /** `{record key: base64 | null}`: everything that changed since the last call. */
  changes(): string;
  /** The `keys` object of a join. */
  publicKeys(): string;
  /** The bridge accepted the keys that were last handed out. */
  markPublished(): void;
  signHello(origin: string, portal: string, nonce: string): string;
  /** Gives `Item[]`: the events that a new room key made readable. */
  receiveToDevice(event: string, nowMs: number): string;
  /** Gives `Item[]`. */
  receiveEvent(roomId: string, event: string, nowMs: number): string;
  /** Takes a `/keys/query` answer, gives `KeysReport`. */
  receiveKeys(response: string, nowMs: number): string;
  /** Gives `Item[]`: what waited for the host's new identity to be accepted. */
  acceptIdentity(): string;
  /**
   * What host and guest compare, of the identity that the host was last seen with, accepted or not. None
   * before the host's keys came, and while their account has no cross-signing.
   */
  safetyCode(): string | undefined;
  keysChanged(): void;
  /** The host joined, left or was invited: the next message begins a new session, with their devices of then. */
  membershipChanged(roomId: string): void;
  /** Whether a room key waits for a `/keys/query` answer, so that one should be asked for at once. */
  wantsKeys(): boolean;
  /** Whether `heal` has something to do now. */
  wantsHealing(nowMs: number): boolean;
  /** Gives `Need`: what must happen so that a device of the host whose messages can't be read begins anew. */
  heal(nowMs: number): string;
  /** Gives `Need`: what must happen before the next `encrypt`. */
  prepare(roomId: string, nowMs: number): string;
  /** Takes a `/keys/claim` answer. */
  receiveClaim(response: string, nowMs: number): void;
  /** The bridge has the to-device frame with this id of `prepare`. */
  toDeviceStored(id: string): void;
  /** Takes an `Outgoing`, gives the content of one `m.room.encrypted` event. */
  encrypt(roomId: string, message: string, nowMs: number): string;
  /** Gives the keys to upload, or `null`; the same ones again until `markPublished`. */
  oneTimeKeys(count: number, fallbackUnused: boolean, nowMs: number): string;
  /** When keys are due that are wanted but were made moments ago; nothing if none are wanted. */
  oneTimeKeysAt(count: number, fallbackUnused: boolean): number | undefined;
  free(): void;
}

/** Makes machines; the first call loads the WebAssembly. */
export interface Machines {
  /** Starts loading, so that the first call finds it there. */
  warmUp(): void;
  create(userId: string, deviceId: string, hostId: string, nowMs: number): Promise<CryptoMachine>;
  open(records: ReadonlyMap<string, string>): Promise<CryptoMachine>;
}

/** What can't be shown, by its kind. */
export const UNSUPPORTED = [
  "image", "file", "audio", "voice", "video", "sticker", "location", "poll", "reaction", "edit", "call", "verification", "unencrypted", "other",
] as const;
export type UnsupportedKind = (typeof UNSUPPORTED)[number];

/** A call that rings: until when, and what an answer names. Without an id, its event is named. */
export interface Ring {
  readonly call_id?: string;
  readonly hangup: boolean;
  readonly until: number;
}

interface ItemBase {
  readonly event_id: string;
  readonly sender: string;
  readonly ts: number;
}

/** What the machine makes of an event. A later item with the same `event_id` replaces it. */
export type Item = ItemBase &
  (
    | { readonly kind: "text"; readonly msgtype: "m.text" | "m.emote" | "m.notice"; readonly body: string; readonly reply_to?: string }
    | { readonly kind: "redaction"; readonly redacts: string }
    /** `part`: of something that has its line already. */
    | { readonly kind: "unsupported"; readonly what: UnsupportedKind | "part"; readonly ring?: Ring }
    | { readonly kind: "undecryptable"; readonly reason: "no_key" | "replay" | "malformed" | "mismatch" }
  );

/** All that the machine can say. */
export type Outgoing =
  | { readonly kind: "text" | "notice"; readonly body: string }
  | { readonly kind: "reject"; readonly call_id: string; readonly hangup: boolean }
  | { readonly kind: "decline"; readonly event_id: string };

export type Need =
  | { readonly kind: "ready" }
  | { readonly kind: "keys_query" }
  | { readonly kind: "keys_claim"; readonly devices: readonly string[] }
  | { readonly kind: "to_device"; readonly id: string; readonly event_type: string; readonly messages: Json }
  | { readonly kind: "blocked"; readonly reason: Blocked };

export type Blocked = "identity_changed" | "no_devices";

export interface KeysReport {
  readonly identity: "first" | "same" | "changed" | "none";
  readonly devices: number;
  /** What can be read now that the device which sent the key is known. */
  readonly items: readonly Item[];
}

export interface Upload {
  readonly one_time_keys: Json;
  readonly fallback_keys: Json;
}

/** Record key to new value (base64), or `null` for "delete". */
export type Changes = ReadonlyMap<string, string | null>;

/** The machine is part of the page, so its JSON is read without checks, here and nowhere else. */
function own<T>(json: string): T {
  return JSON.parse(json) as T;
}

export const readItems = (json: string): readonly Item[] => own(json);
export const readNeed = (json: string): Need => own(json);
export const readKeysReport = (json: string): KeysReport => own(json);
export const readObject = (json: string): Json => own(json);
export const readUpload = (json: string): Upload | null => own(json);

/** All that changed since the last call, empty when nothing did. */
export function drain(machine: CryptoMachine): Changes {
  const changes = own<Record<string, string | null>>(machine.changes());
  return new Map(Object.entries(changes).map(([key, value]) => [key, value === null ? null : string(value, "changes")]));
}

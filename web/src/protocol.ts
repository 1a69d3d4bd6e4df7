/** What the page and the bridge say to each other: the mirror of `docs/protocol.md`. */

import { LABELLED_LENGTH, shownName } from "./domain/text.ts";
import { ShapeError, boolean, object, optional, parseObject, string, whole } from "./shape.ts";
import type { Json } from "./shape.ts";

/** The version of the protocol that this page speaks. */
export const PROTOCOL = 1;

/** The other person. Their name is what they chose themselves: show it isolated, never as HTML. */
export interface HostView {
  readonly userId: string;
  readonly displayName: string;
}

/** The answer of `POST api/v1/link`. Times in milliseconds since the epoch. */
export interface LinkInfo {
  readonly host: HostView;
  /** The Matrix user that will stand for the guest; the keys are signed together with it. */
  readonly ghost: string;
  readonly expiresAt: number;
  readonly idleLimitMs: number;
  /** The join must bring a passcode. */
  readonly passcode: boolean;
}

/** The answer of `POST api/v1/join`. */
export interface JoinAnswer {
  readonly portal: string;
  /** The name with its label, as the host sees it. */
  readonly name: string;
  readonly host: HostView;
}

export interface JoinRequest {
  readonly token: string;
  readonly name: string;
  readonly device_id: string;
  readonly passcode?: string;
  readonly keys: Json;
}

/** Why something was not accepted. */
export interface ErrorBody {
  readonly code: string;
  readonly retryAfterMs: number | null;
  /** After a wrong passcode: how many more may be tried. */
  readonly triesLeft?: number | null;
}

export const END_REASONS = ["host", "guest", "expired", "failed", "third_party", "admin"] as const;
export type EndReason = (typeof END_REASONS)[number];

/** A frame that is repeated until `ack` covers its `seq`. */
export type InboxFrame =
  | { readonly type: "event"; readonly seq: number; readonly event: HostEvent; readonly deadline: number }
  | { readonly type: "to_device"; readonly seq: number; readonly event: Json }
  | { readonly type: "delivered"; readonly seq: number; readonly n: number; readonly eventId: string }
  | { readonly type: "undelivered"; readonly seq: number; readonly n: number; readonly code: string }
  | { readonly type: "host"; readonly seq: number; readonly joined: boolean }
  | { readonly type: "deadline"; readonly seq: number; readonly deadline: number }
  | { readonly type: "ended"; readonly seq: number; readonly reason: EndReason };

/** A room event. The machine reads all of it; the page only what is named here. */
export interface HostEvent extends Json {
  readonly event_id: string;
  readonly sender: string;
  readonly origin_server_ts: number;
  /** It was found in the room's past, so younger ones may have come before it. */
  readonly late: boolean;
}

export interface WelcomeFrame {
  readonly type: "welcome";
  readonly roomId: string;
  readonly name: string;
  readonly host: HostView;
  readonly hostJoined: boolean;
  readonly lastN: number;
  /** The highest `seq` that was acknowledged, and the highest there is. */
  readonly ackedSeq: number;
  readonly lastSeq: number;
  readonly deadline: number;
  readonly idleLimitMs: number;
  readonly keys: Json;
  readonly oneTimeKeys: number | null;
  readonly fallbackUnused: boolean | null;
  /** The event up to which the host has read, as far as they tell. */
  readonly hostRead: string | null;
  /** Whether typing and read marks are relayed. */
  readonly typing: boolean;
  readonly receipts: boolean;
}

export type ResultFrame =
  | { readonly type: "result"; readonly to: FrameName; readonly ok: true; readonly body: Json | null; readonly deadline: number | null }
  | { readonly type: "result"; readonly to: FrameName; readonly ok: false; readonly error: ErrorBody };

/** Which frame of the page a result answers. */
export type FrameName = { readonly n: number } | { readonly id: number };

export type ServerFrame =
  | { readonly type: "challenge"; readonly nonce: string; readonly protocol: number; readonly storeId: string | null }
  | { readonly type: "opening" }
  | WelcomeFrame
  | InboxFrame
  | ResultFrame
  | { readonly type: "keys_changed" }
  | { readonly type: "one_time_keys"; readonly count: number; readonly fallbackUnused: boolean }
  | { readonly type: "typing"; readonly typing: boolean }
  | { readonly type: "read"; readonly eventId: string }
  | { readonly type: "error"; readonly code: string };

export type NumberedFrame =
  | { readonly type: "send"; readonly n: number; readonly content: Json }
  | { readonly type: "to_device"; readonly n: number; readonly event_type: string; readonly messages: Json }
  | { readonly type: "redact"; readonly n: number; readonly event_id: string };

export type AskFrame =
  | { readonly type: "keys_query"; readonly id: number }
  | { readonly type: "keys_claim"; readonly id: number; readonly devices: readonly string[] }
  | { readonly type: "keys_upload"; readonly id: number; readonly one_time_keys: Json; readonly fallback_keys: Json };

export type ClientFrame =
  | {
      readonly type: "hello"; readonly portal: string; readonly device: string; readonly signature: string;
      readonly last_seq: number; readonly last_n?: number;
    }
  | NumberedFrame
  | AskFrame
  | { readonly type: "ack"; readonly seq: number }
  | MomentFrame
  | { readonly type: "leave" };

/** Neither numbered nor answered. */
export type MomentFrame =
  | { readonly type: "typing"; readonly typing: boolean }
  | { readonly type: "read"; readonly event_id: string };

/** Reads one frame of the bridge; throws `ShapeError` when it is none of those in the table. */
export function parseServerFrame(text: string): ServerFrame {
  const frame = parseObject(text, "frame");
  const type = string(frame["type"], "frame.type");
  switch (type) {
    case "challenge":
      return {
        type,
        nonce: string(frame["nonce"], "challenge.nonce"),
        protocol: whole(frame["protocol"], "challenge.protocol"),
        storeId: optional(frame["store_id"], "challenge.store_id", string),
      };
    case "opening":
    case "keys_changed":
      return { type };
    case "welcome":
      return welcome(frame);
    case "result":
      return result(frame);
    case "one_time_keys":
      return {
        type,
        count: whole(frame["count"], "one_time_keys.count"),
        fallbackUnused: boolean(frame["fallback_unused"], "one_time_keys.fallback_unused"),
      };
    case "typing":
      return { type, typing: boolean(frame["typing"], "typing.typing") };
    case "read":
      return { type, eventId: string(frame["event_id"], "read.event_id") };
    case "error":
      return { type, code: string(frame["code"], "error.code") };
    default:
      return inboxFrame(type, frame);
  }
}

function inboxFrame(type: string, frame: Json): InboxFrame {
  const seq = (): number => whole(frame["seq"], `${type}.seq`);
  switch (type) {
    case "event":
      return { type, seq: seq(), event: hostEvent(frame["event"]), deadline: whole(frame["deadline"], "event.deadline") };
    case "to_device":
      return { type, seq: seq(), event: object(frame["event"], "to_device.event") };
    case "delivered":
      return { type, seq: seq(), n: whole(frame["n"], "delivered.n"), eventId: string(frame["event_id"], "delivered.event_id") };
    case "undelivered":
      return { type, seq: seq(), n: whole(frame["n"], "undelivered.n"), code: string(frame["code"], "undelivered.code") };
    case "host":
      return { type, seq: seq(), joined: boolean(frame["joined"], "host.joined") };
    case "deadline":
      return { type, seq: seq(), deadline: whole(frame["deadline"], "deadline.deadline") };
    case "ended":
      return { type, seq: seq(), reason: endReason(frame["reason"]) };
    default:
      throw new ShapeError("frame.type", "a known type");
  }
}

function hostEvent(value: unknown): HostEvent {
  const event = object(value, "event.event");
  const event_id = string(event["event_id"], "event.event_id");
  const sender = string(event["sender"], "event.sender");
  const origin_server_ts = whole(event["origin_server_ts"], "event.origin_server_ts");
  const late = optional(event["late"], "event.late", boolean) ?? false;
  return { ...event, event_id, sender, origin_server_ts, late };
}

function endReason(value: unknown): EndReason {
  const reason = END_REASONS.find((known) => known === value);
  if (reason === undefined) throw new ShapeError("ended.reason", "a known reason");
  return reason;
}

function welcome(frame: Json): WelcomeFrame {
  return {
    type: "welcome",
    roomId: string(frame["room_id"], "welcome.room_id"),
    name: guestName(frame["name"], "welcome.name"),
    host: hostView(frame["host"], "welcome.host"),
    hostJoined: boolean(frame["host_joined"], "welcome.host_joined"),
    lastN: whole(frame["last_n"], "welcome.last_n"),
    ackedSeq: whole(frame["acked_seq"], "welcome.acked_seq"),
    lastSeq: whole(frame["last_seq"], "welcome.last_seq"),
    deadline: whole(frame["deadline"], "welcome.deadline"),
    idleLimitMs: whole(frame["idle_limit_ms"], "welcome.idle_limit_ms"),
    keys: object(frame["keys"], "welcome.keys"),
    oneTimeKeys: optional(frame["one_time_keys"], "welcome.one_time_keys", whole),
    fallbackUnused: optional(frame["fallback_unused"], "welcome.fallback_unused", boolean),
    hostRead: optional(frame["host_read"], "welcome.host_read", string),
    typing: optional(frame["typing"], "welcome.typing", boolean) ?? false,
    receipts: optional(frame["receipts"], "welcome.receipts", boolean) ?? false,
  };
}

function result(frame: Json): ResultFrame {
  const n = optional(frame["n"], "result.n", whole);
  const to: FrameName = n === null ? { id: whole(frame["id"], "result.id") } : { n };
  if (!boolean(frame["ok"], "result.ok")) return { type: "result", to, ok: false, error: errorBody(frame["error"]) };
  return {
    type: "result",
    to,
    ok: true,
    body: optional(frame["body"], "result.body", object),
    deadline: optional(frame["deadline"], "result.deadline", whole),
  };
}

function errorBody(value: unknown): ErrorBody {
  const error = object(value, "error");
  return {
    code: string(error["code"], "error.code"),
    retryAfterMs: optional(error["retry_after_ms"], "error.retry_after_ms", whole),
    triesLeft: optional(error["tries_left"], "error.tries_left", whole),
  };
}

function guestName(value: unknown, place: string): string {
  return shownName(string(value, place), "?", LABELLED_LENGTH);
}

function hostView(value: unknown, place: string): HostView {
  const host = object(value, place);
  const userId = string(host["user_id"], `${place}.user_id`);
  return { userId, displayName: shownName(string(host["display_name"], `${place}.display_name`), shownName(userId, "?")) };
}

/** Reads the answer of `POST api/v1/link`. */
export function parseLinkInfo(text: string): LinkInfo {
  const answer = parseObject(text, "link");
  return {
    host: hostView(answer["host"], "link.host"),
    ghost: string(answer["ghost"], "link.ghost"),
    expiresAt: whole(answer["expires_at"], "link.expires_at"),
    idleLimitMs: whole(answer["idle_limit_ms"], "link.idle_limit_ms"),
    passcode: boolean(answer["passcode"], "link.passcode"),
  };
}

/** Reads the answer of `POST api/v1/join`. */
export function parseJoinAnswer(text: string): JoinAnswer {
  const answer = parseObject(text, "join");
  return {
    portal: string(answer["portal"], "join.portal"),
    name: guestName(answer["name"], "join.name"),
    host: hostView(answer["host"], "join.host"),
  };
}

/** Reads the body of a refused request. */
export function parseHttpError(text: string): ErrorBody {
  return errorBody(parseObject(text, "answer")["error"]);
}

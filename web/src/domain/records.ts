/** What the browser keeps of a chat. All of it is encrypted before it is stored. */

import type { EndReason, HostView } from "../protocol.ts";
import type { Json } from "../shape.ts";
import type { Changes, UnsupportedKind } from "./machine.ts";

interface ChatBase {
  readonly version: 1;
  /** The Matrix user that stands for the guest, and this browser's device of it. */
  readonly ghost: string;
  readonly device: string;
  readonly host: HostView;
  /** After how many milliseconds without a message the chat ends. */
  readonly idleLimitMs: number;
  /** As typed by the guest while joining; with its label afterwards. */
  readonly name: string;
}

/** Keys exist and are stored, but the bridge has not said yet that it took them. */
export interface JoiningChat extends ChatBase {
  readonly stage: "joining";
  readonly token: string;
  readonly expiresAt: number;
  /** Whether the link asks for a passcode. Missing from before there were any. */
  readonly passcode?: boolean;
}

export interface JoinedChat extends ChatBase {
  readonly stage: "joined";
  readonly portal: string;
  /** Not known before the first welcome. */
  readonly roomId: string | null;
  readonly hostJoined: boolean;
  /**
   * The highest `seq` that is stored here. `null`: the bridge counts anew, as after its store was
   * restored from a backup, so everything that it has is asked for again.
   */
  readonly lastSeq: number | null;
  /** Which store of the bridge the `seq` belong to. Missing until the bridge has named it. */
  readonly storeId?: string;
  /** The highest number given to a frame; it may still be on its way. */
  readonly lastN: number;
  readonly deadline: number | null;
  /** The deadline that the bridge warned of. It says nothing any more once a message moved the deadline. */
  readonly warnedOf?: number;
  /** How many messages of either side were told of by the bridge: the last `order`. */
  readonly told?: number;
  /** The event up to which the host has read. */
  readonly hostRead?: string;
  /** When the host was last told that something could not be seen. */
  readonly noticedAt?: number;
  /** The last calls that were turned down. */
  readonly calls?: readonly string[];
  /** Missing until the host's keys came. */
  readonly safety?: Safety;
  /** What stands in the field and is not sent yet. */
  readonly draft?: string;
  /** The place of the newest entry that the guest has had before their eyes. */
  readonly seen?: number;
  /** Off until the guest switches them on. */
  readonly alerts?: Alerts;
  readonly ending: Ending | null;
}

/** Who the host is, as far as keys tell. */
export interface Safety {
  /**
   * What host and guest compare. `null`: the host's account has no cross-signing, so there is nothing to
   * compare, and every device that their homeserver names gets the keys.
   */
  readonly code: string | null;
  /** When it became another one, in milliseconds since the epoch. */
  readonly since?: number;
  /** The host's identity changed, and the guest has not accepted the new one: nothing is sent. */
  readonly doubted?: true;
}

/** What draws the guest's attention while they look elsewhere. */
export interface Alerts {
  readonly sound: boolean;
  readonly notify: boolean;
}

/** `leaving`: the guest ended the chat and its history is gone, but the bridge doesn't know yet. */
export type Ending = { readonly kind: "leaving" } | { readonly kind: "ended"; readonly reason: EndReason };

export type Chat = JoiningChat | JoinedChat;

/**
 * `waiting`: not accepted by the bridge yet. `sent`: it is. `delivered`: the homeserver has it.
 * `read`: the host has seen it.
 */
export type SendState = "waiting" | "sent" | "delivered" | "read" | "failed";

/**
 * Why a message failed. `refused`: by the bridge. `undelivered`: by the homeserver. `ended`: the
 * chat was over before it left.
 */
export type Why = "too_large" | "refused" | "undelivered" | "ended";

interface EntryBase {
  /** Its place in the chat, counted from 1. */
  readonly pos: number;
  /** Milliseconds since the epoch: of this browser for one's own, of the homeserver for the host's. */
  readonly ts: number;
  /**
   * When the bridge told of it, counted over both sides: whoever has read one message has read those
   * before it. Not of what was found in the room's past, whose moment is unknown.
   */
  readonly order?: number;
}

export interface Mine extends EntryBase {
  readonly kind: "mine";
  readonly body: string;
  readonly state: SendState;
  /** Only of a failed one. */
  readonly why?: Why;
  /** The number of the frame that carries it, once it is encrypted. */
  readonly n: number | null;
  readonly eventId: string | null;
  /** The guest or the host took it back, and its text is gone. `asked`: the homeserver doesn't know yet. */
  readonly removal?: "asked" | "done" | "failed";
  /** It was not written by the guest and is never shown. */
  readonly errand?: Errand;
}

/** What the page sends by itself. */
export type Errand =
  /** The host is told that the guest could not see this; `null`: several things. */
  | { readonly kind: "notice"; readonly what: UnsupportedKind | null }
  | { readonly kind: "reject"; readonly callId: string; readonly hangup: boolean }
  | { readonly kind: "decline"; readonly eventId: string }
  /** Takes back the guest's message of this place. */
  | { readonly kind: "redact"; readonly pos: number };

export interface Theirs extends EntryBase {
  readonly kind: "theirs";
  readonly eventId: string;
  readonly says: Says;
  /** Only of one that came after those it was written before: the place of the first of them. */
  readonly before?: number;
}

export type Says =
  | {
      readonly kind: "text"; readonly style: "m.text" | "m.emote" | "m.notice"; readonly body: string;
      /** The event that it answers. */
      readonly replyTo?: string;
      /** What its author quoted of it, where it isn't known here. */
      readonly quote?: string;
    }
  | { readonly kind: "removed" }
  | { readonly kind: "unsupported"; readonly what: UnsupportedKind }
  | { readonly kind: "undecryptable"; readonly reason: "no_key" | "replay" | "malformed" | "mismatch" };

/** A line of the page itself. */
export interface Note extends EntryBase {
  readonly kind: "note";
  readonly what: "host_joined" | "identity_accepted";
}

export type Entry = Mine | Theirs | Note;

/** A numbered frame, as it was stored before it left: it never changes. */
export type Staged =
  | { readonly kind: "send"; readonly n: number; readonly content: Json; readonly pos: number }
  | { readonly kind: "to_device"; readonly n: number; readonly eventType: string; readonly messages: Json; readonly id: string }
  | { readonly kind: "redact"; readonly n: number; readonly eventId: string; readonly pos: number };

/** What is written together. Absent means unchanged. */
export interface Batch {
  readonly chat?: Chat;
  readonly records?: Changes;
  /** The keys of a chat that is over serve nobody. */
  readonly dropRecords?: boolean;
  readonly entries?: readonly Entry[];
  readonly dropEntries?: boolean;
  /** Places of entries that go. */
  readonly goneEntries?: readonly number[];
  readonly staged?: Staged | null;
  /** Frames that the bridge took, to be kept until they are settled. */
  readonly sent?: readonly Staged[];
  /** Sent frames up to this number are not needed any more. */
  readonly settled?: number;
}

/** Everything that is stored of one chat. */
export interface Snapshot {
  readonly chat: Chat;
  readonly records: ReadonlyMap<string, string>;
  readonly entries: readonly Entry[];
  /** The frame that is not answered yet. */
  readonly staged: Staged | null;
  /** Frames that the bridge took, but of which nobody has said what became of them. */
  readonly sent: readonly Staged[];
}

/** Whether it is for people. */
export function isShown(entry: Entry): boolean {
  return entry.kind !== "mine" || entry.errand === undefined;
}

/** As they are read: by place, except that what came late stands where it was written. */
export function inOrder(entries: readonly Entry[]): readonly Entry[] {
  const ordered = [...entries].sort((a, b) => a.pos - b.pos);
  for (const entry of [...ordered]) {
    if (entry.kind !== "theirs" || entry.before === undefined) continue;
    const anchor = ordered.findIndex(({ pos }) => pos === entry.before);
    if (anchor < 0) continue;
    ordered.splice(ordered.indexOf(entry), 1);
    ordered.splice(anchor, 0, entry);
  }
  return ordered;
}

/** What a view needs of a chat, whether it goes on or is over. */

import type { Blocked } from "./machine.ts";
import { Signal, Value } from "./observe.ts";
import type { Unread } from "./reading.ts";
import { inOrder, isShown } from "./records.ts";
import type { Alerts, Entry, JoinedChat, Mine, Theirs } from "./records.ts";

/**
 * How the way to the other side stands. `opening`: the room is being made. `reconnecting`: the bridge doesn't
 * answer. `offline`: nobody can, because this device has no network.
 */
export type Status = "connecting" | "opening" | "open" | "reconnecting" | "offline";

/**
 * Why nothing can go on, though nobody ended the chat. None of it is stored, and the keys stay: when
 * whoever runs the bridge mends what is wrong there, the page goes on after the next loading.
 *
 * `unknown`: the bridge doesn't know this chat. `damaged`: it can't read it any more.
 * `set_back`: this browser's store is older than what the bridge saw of it.
 * `out_of_step`: the bridge's store is older than what it told this browser, and can't be caught up.
 */
export type Halt = "unknown" | "damaged" | "set_back" | "out_of_step";

export interface ChatView {
  readonly chat: JoinedChat;
  readonly status: Status;
  readonly blocked: Blocked | null;
  readonly halt: Halt | null;
  /** The host is typing. */
  readonly typing: boolean;
}

export interface ChatModel {
  readonly view: Value<ChatView>;
  /** New and changed entries, after they are on disk. */
  readonly entries: Signal<readonly Entry[]>;
  /** Places of entries that are gone. */
  readonly gone: Signal<readonly number[]>;
  readonly unread: Value<Unread>;
  /** In their order. */
  history(): readonly Entry[];
  /** Keeps the text at once, and sends it when it can be. False: there is nothing to send, or too much. */
  say(text: string): Promise<boolean>;
  /** Sends a message again that could not be sent; it moves to the end. */
  retry(pos: number): Promise<void>;
  /** Takes a message back: here, and at the host's if it is on its way there. */
  remove(pos: number): Promise<void>;
  /** What is known of an event that a message answers. */
  answered(eventId: string): Mine | Theirs | null;
  /** After each key stroke: whether something stands in the field. False too when it was sent or left. */
  compose(typing: boolean): void;
  /** What stands in the field, to be there again after a reload. It is stored a moment later. */
  keepDraft(text: string): void;
  setAlerts(alerts: Alerts): void;
  /** Whether the guest sees the end of the messages. */
  looking(isLooking: boolean): void;
  /** The guest was told that the host's identity changed, and goes on. */
  acceptIdentity(): Promise<void>;
  /** Erases the history here and now, and ends the chat as soon as the bridge can be told. */
  leave(): Promise<void>;
}

/** A chat that is over: to be read, nothing else. */
export function closedChat(chat: JoinedChat, entries: readonly Entry[]): ChatModel {
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    view: new Value<ChatView>({ chat, status: "offline", blocked: null, halt: null, typing: false }),
    entries: new Signal(),
    gone: new Signal(),
    unread: new Value<Unread>({ count: 0, line: null }),
    history: () => inOrder(entries).filter(isShown),
    answered: (eventId) => entries.find((entry) => entry.kind !== "note" && entry.eventId === eventId) as Mine | Theirs | undefined ?? null,
    compose: () => undefined,
    keepDraft: () => undefined,
    setAlerts: () => undefined,
    looking: () => undefined,
    say: () => Promise.resolve(false),
    retry: nothing,
    remove: nothing,
    acceptIdentity: nothing,
    leave: nothing,
  };
}

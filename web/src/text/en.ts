/** English. Every other language is an object of the same shape, in a file of its own: only one is loaded. */

import type { Problem, Remedy } from "../domain/app.ts";
import type { UnsupportedKind } from "../domain/machine.ts";
import type { Halt } from "../domain/model.ts";
import type { Remnant } from "../domain/ports.ts";
import type { SendState, Why } from "../domain/records.ts";
import type { EndReason } from "../protocol.ts";
import type { Counted } from "./numbers.ts";

interface Words {
  readonly title: string;
  readonly text: string;
}

interface Ending {
  readonly title: string;
  readonly text: (host: string) => string;
}

const problems: Record<Problem, Words> = {
  "no-link": { title: "No chat here yet", text: "To start one, open the link that somebody sent you. If you had a chat before, open this page in the same browser as then." },
  "link-malformed": { title: "This link is not complete", text: "Part of it is missing or changed. Please open it again from the message it came in, or copy the whole of it." },
  "link-unknown": { title: "This link is not known", text: "Maybe a part of it is missing. Please check it against the message it came in, or ask for a new one." },
  "link-used": { title: "This link was already used", text: "It works for one person in one browser. If that was you, open it in the browser where you started the chat. Should it be this one, it has forgotten the chat, as browsers do when a private window is closed or their data is cleared. Then please ask for a new link." },
  "link-expired": { title: "This link has expired", text: "Please ask the person who sent it for a new one." },
  "link-revoked": { title: "This link was withdrawn", text: "The person who sent it took it back. You can ask them for a new one." },
  "link-damaged": { title: "This link can't be used any more", text: "The chat service lost part of it. Please ask the person who sent it for a new one." },
  paused: { title: "No new chats at the moment", text: "Your link stays good. Please try again a little later." },
  "host-busy": { title: "No new chat at the moment", text: "There are as many chats as there can be at once. Your link stays good. Please try again later, or tell the person who sent it." },
  "too-many-tries": { title: "Too many tries", text: "Please wait a few minutes, then try again. Your link stays good." },
  "passcode-spent": { title: "Too many tries", text: "The passcode was wrong too often, so this link was withdrawn. Please ask the person who sent it for a new one." },
  offline: { title: "You are offline", text: "This device has no connection to the internet. The page goes on by itself as soon as there is one." },
  unreachable: { title: "No connection", text: "The chat service can't be reached. Please check your connection and try again." },
  "join-failed": { title: "The chat could not be started", text: "Your link was not used up. Please open it once more." },
  elsewhere: { title: "This chat is open elsewhere", text: "It is open in another tab or window of this browser. One at a time can send and receive." },
  lost: { title: "This browser lost its keys", text: "Without them nobody can read this chat here any more, and none can be made up. That happens when a browser deletes part of what it stored. Please ask for a new link." },
  "page-older": { title: "This page is out of date", text: "There is a newer one. Please load it again; your chat stays as it is." },
  "page-newer": { title: "Just a moment", text: "The chat service is being updated. Please load this page again in a few minutes; your chat stays as it is." },
  storage: { title: "This browser can't store the chat", text: "Its storage is full, blocked, was cleared or doesn't answer. Make some room, allow this site to store data, leave private browsing, or close the browser and open it again; then load this page again." },
  erased: { title: "Erased", text: "This browser has looked: no key and no message of this chat is left in it. You can close this page." },
  "not-erased": { title: "Not everything is erased", text: "This browser kept a part of this chat. Please try again, or clear this site's data in the browser's settings. What is left:" },
  "too-old": { title: "This browser is too old", text: "It lacks what private chats need. Please update it, or open your link in a current Chrome, Edge, Firefox or Safari." },
  "not-secure": { title: "This page is not secure", text: "Private chats need an address that begins with https. Please check the link, or tell the person who sent it." },
};

const endings: Record<EndReason | Halt, Ending> = {
  host: { title: "This chat has ended", text: (host) => `${host} ended it. To talk again, ask for a new link.` },
  guest: { title: "You ended this chat", text: () => "To talk again, ask for a new link." },
  expired: { title: "This chat has ended", text: () => "Nobody had written for a while, so it closed by itself. To talk again, ask for a new link." },
  failed: { title: "This chat can't go on", text: () => "A safe room for it could not be made or kept. Please ask for a new link." },
  admin: { title: "This chat was closed", text: () => "An administrator of this service ended it." },
  third_party: { title: "This chat was closed", text: () => "Somebody else appeared in it, so it was closed to keep it private. Please ask for a new link." },
  unknown: { title: "This chat has ended", text: () => "The chat service doesn't have it any more. To talk again, ask for a new link." },
  damaged: { title: "This chat can't go on", text: () => "Part of it can't be read any more. Please ask for a new link." },
  set_back: { title: "This chat can't go on here", text: () => "What this browser has stored is older than the chat, as after a restored backup. To be safe, nothing more is sent. Please ask for a new link." },
  out_of_step: { title: "This chat can't go on", text: () => "The chat service lost part of it, perhaps in a repair. To be safe, nothing more is sent. Please ask for a new link." },
};

const TEXT_ONLY = "Guest chats carry text only.";

/** What the host did, once and several times (`#`), and what follows from it. */
const unsupported: Record<UnsupportedKind, readonly [one: string, other: string, then?: string]> = {
  image: ["sent a photo", "sent # photos"],
  file: ["sent a file", "sent # files"],
  audio: ["sent an audio file", "sent # audio files"],
  voice: ["sent a voice message", "sent # voice messages"],
  video: ["sent a video", "sent # videos"],
  sticker: ["sent a sticker", "sent # stickers"],
  location: ["shared a location", "shared # locations"],
  poll: ["started a poll", "started # polls"],
  reaction: ["reacted to a message", "reacted to # messages"],
  edit: ["edited a message", "edited # messages", "This chat shows messages as they were first sent."],
  call: ["tried to call", "tried to call # times"],
  verification: ["asked to compare emoji", "asked # times to compare emoji", "This page can't do that yet."],
  unencrypted: ["sent a message without encryption", "sent # messages without encryption", "It is not shown."],
  other: ["sent something this page can't show", "sent # things this page can't show"],
};

/** What the guest could not do with it; the host reads it. */
const missed: Partial<Record<UnsupportedKind, string>> = {
  image: "see your photo",
  file: "get your file",
  audio: "hear your audio file",
  voice: "hear your voice message",
  video: "see your video",
  sticker: "see your sticker",
  location: "see your location",
  poll: "see your poll",
  reaction: "see your reaction",
  call: "take your call",
};

function notice(what: UnsupportedKind | null, guest: string): string {
  if (what === "edit") return `Guest chats don't show edits, so ${guest} still reads the message as it was. Please send the new text as a message of its own.`;
  if (what === "verification") return `Guest chats can't compare emoji yet, so ${guest} could not answer your request.`;
  return `${TEXT_ONLY.slice(0, -1)}, so ${guest} could not ${(what === null ? null : missed[what]) ?? "see all of what you sent"}.`;
}

const remnants: Record<Remnant, string> = {
  keys: "The keys, which open what is left",
  messages: "Messages",
  queue: "Messages that were on their way",
  database: "The empty store; another tab of this page holds it",
};

const states: Record<SendState, string> = {
  waiting: "Waiting to be sent",
  sent: "Sent",
  delivered: "Delivered",
  read: "Read",
  failed: "Not sent",
};

const failures: Record<Why, string> = {
  too_large: "Not sent: it is too long.",
  refused: "Not sent: the chat service refused it.",
  undelivered: "Not delivered: the host's server refused it.",
  ended: "Not sent: the chat ended before.",
};

const remedies: Record<Remedy["kind"], string> = {
  again: "Try again",
  "use-here": "Use here",
  reload: "Load again",
  erase: "Erase from this browser",
};

export const catalogue = {
  language: "en",
  direction: "ltr" as "ltr" | "rtl",
  title: "Private chat",
  loading: "Opening…",
  slow: "This takes longer than it should. Please check your connection.",
  problems,
  remedies,
  remnants,
  join: {
    invites: (host: string) => `${host} invites you to a chat`,
    promise: (host: string) => `Private chat. Only you and ${host} can read it.`,
    name: "Your name",
    nameHelp: (host: string) => `This is how ${host} sees you.`,
    nameRefused: "Please type your own name, in 1 to 40 characters.",
    passcode: "Passcode",
    passcodeHelp: (host: string) => `Six digits that ${host} tells you.`,
    passcodeNeeded: "Please type the six digits of the passcode.",
    passcodeWrong: (left: Counted) => `This passcode is wrong. You have ${left({ one: "# try", other: "# tries" })} left.`,
    start: "Start chat",
    starting: "Starting…",
    troubled: "No answer yet. Still trying…",
    facts: {
      free: "No account, no app, text only.",
      idle: (time: string) => `Ends after ${time} without a message.`,
      back: "You can come back to it in this browser.",
      erase: "You can end and erase it at any time.",
    },
    expires: (time: string) => `This link works for another ${time}, for one person.`,
    terms: "Terms of use",
    termsOf: (organisation: string) => `Terms of use of ${organisation}`,
    /** Where the browser is known to forget. */
    forgets: {
      app: "You opened this inside another app, which may forget the chat when you close it. Better copy the link and open it in your browser.",
      week: "Please come back within 7 days: Safari deletes what is not visited for that long.",
      copy: "Copy link",
      copied: "Copied",
    },
  },
  chat: {
    readers: {
      pair: (host: string) => `Only you and ${host} can read this chat`,
      unsigned: (host: string) => `Only you and ${host} can read, if the server is honest`,
      doubted: (host: string) => `Nothing is sent: is it still ${host}?`,
      third: () => "Somebody else came in. Nothing more is sent.",
    },
    safety: {
      title: "Safety code",
      how: (host: string) => `Ask ${host} to send “verify” with this chat's number to the bot, and read the codes to each other by phone. If they differ, don't trust this chat.`,
      none: (host: string) => `There is none: ${host}'s account has no cross-signing. So nothing shows whether ${host}'s server lets another device read along.`,
      since: (host: string, date: string) => `New since ${date}, when ${host}'s security identity changed.`,
      copy: "Copy",
      copied: "Copied",
    },
    you: (name: string) => `You are ${name}`,
    idle: (time: string) => `Ends after ${time} without a message`,
    deadline: (date: string, time: string) => `Ends on ${date} if nobody writes (${time} without a message).`,
    menu: "Menu",
    build: (id: string) => `Version of this page: ${id}`,
    log: "Messages",
    field: "Message",
    send: "Send",
    room: (left: Counted) => left({ one: "# character left", other: "# characters left" }),
    tooLong: (over: Counted) => over({ one: "Too long by # character", other: "Too long by # characters" }),
    empty: (host: string) => `Say hello. ${host} gets it end-to-end encrypted.`,
    newer: "New messages",
    newCount: (count: Counted) => count({ one: "# new message", other: "# new messages" }),
    toEnd: "To the newest message",
    copy: "Copy",
    copied: "Copied",
    options: {
      sound: "Sound for new messages",
      notify: "Notify me while this page is open",
      denied: "This browser doesn't allow it. You can change that in its settings for this page.",
      unable: "This browser can't show notifications from a page.",
      save: "Save as a text file",
      saveNote: "Not encrypted: whoever has the file can read it.",
    },
    notification: { title: "Private chat", body: "There is something new to read." },
    transcript: {
      title: "Transcript of a private chat",
      saved: (time: string) => `Saved by the guest from their browser, ${time}`,
      between: (host: string, guest: string) => `Between ${host}, marked <-, and ${guest}, marked ->`,
      times: (zone: string) => `Times of ${zone}. Lines marked -- are the page's own.`,
      open: "This file is not encrypted: whoever has it can read it.",
    },
    today: "Today",
    yesterday: "Yesterday",
    from: { mine: "You", host: (host: string) => host },
    states,
    failures,
    again: "Send again",
    remove: "Remove",
    status: {
      connecting: "Connecting…",
      opening: "Waiting for the room. You can write already.",
      reconnecting: "Connecting again… What you write is sent as soon as there is a connection.",
      offline: "You are offline. What you write is sent as soon as there is a connection.",
    },
    invited: (host: string) => `${host} has not opened the chat yet. You can write already.`,
    endsSoon: (date: string) => `This chat ends on ${date} unless somebody writes.`,
    noDevices: (host: string) => `${host} has no device that can read this chat yet. Your messages wait here.`,
    identity: {
      text: (host: string) => `${host}'s security identity has changed: the account was set up anew, or somebody pretends to be ${host}. Until you go on, nothing is sent, and new messages are held back.`,
      code: (host: string) => `If in doubt, ask ${host} in another way first. The new safety code:`,
      noCode: (host: string) => `If in doubt, ask ${host} in another way first. There is no safety code any more.`,
      accept: "Go on",
    },
    notes: {
      host_joined: (host: string) => `${host} is here now`,
      identity_accepted: (host: string) => `You went on with ${host}'s new security identity`,
    },
    unsupported: (host: string, what: UnsupportedKind, times: Counted) => {
      const [one, other, then = TEXT_ONLY] = unsupported[what];
      return `${host} ${times({ one, other })}. ${then}`;
    },
    removed: "This message was removed",
    removing: "This message is being removed…",
    removedHere: (host: string) => `Removed here. It could not be taken back from ${host}.`,
    earlier: "An earlier message",
    answers: "In reply to",
    typing: (host: string) => `${host} is typing…`,
    more: "Options for this message",
    takeBack: "Remove for both",
    noKey: "This message can't be read yet. Please wait a moment.",
    noKeyStill: (host: string) => `A message could not be read: its key has not come, or came from a device that ${host} has not verified. You can ask ${host} to send it again.`,
    held: (host: string) => `This message is held back until you go on with ${host}'s new security identity.`,
    unreadable: "A message arrived that can't be read. It is not shown, to be safe.",
  },
  end: {
    item: "End and erase",
    title: "End and erase this chat?",
    text: (host: string) => `The chat ends for both of you, and everything in this browser is erased. ${host} keeps what they received.`,
    confirm: "End and erase",
    cancel: "Keep chatting",
    leaving: { title: "Erased", text: "Your messages are gone from this browser. Keep this page open for a moment, until the chat service knows it too." },
  },
  endings,
  notice,
  choice: { title: "Your chats in this browser", with: (host: string) => `Chat with ${host}`, over: "Ended", begun: "Not started yet", since: (date: string) => `Ends on ${date} if nobody writes` },
};

export type Catalogue = typeof catalogue;

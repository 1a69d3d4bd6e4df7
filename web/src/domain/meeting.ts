/**
 * The beginning of a connection: what the bridge has counted against what is stored here.
 *
 * Both stores can be older than they were: a browser's profile or the bridge was restored from a
 * backup. The browser's is never caught up, because its ratchets would repeat themselves. The bridge's
 * is: everything that it has is asked for once more (what came before is recognised and shown once),
 * and the frames that it forgot are sent again as they were, under their numbers.
 */

import type { WelcomeFrame } from "../protocol.ts";
import type { Draft } from "./journal.ts";
import { learnHostKeys } from "./keys.ts";
import type { Halt } from "./model.ts";
import { applyRead } from "./receipts.ts";
import type { JoinedChat, Staged } from "./records.ts";

/** What a hello says of the counts. */
export interface Counts {
  readonly last_seq: number;
  readonly last_n?: number;
}

/** What the hello says. The numbers of another store of the bridge mean nothing. */
export function countsFor(draft: Draft, storeId: string | null): Counts {
  const { chat } = draft;
  if (storeId !== null && chat.storeId !== storeId) {
    // The first time it is named there is nothing to compare it with.
    draft.update(chat.storeId === undefined ? { storeId } : { storeId, lastSeq: null });
  }
  const { lastSeq } = draft.chat;
  return lastSeq === null ? { last_seq: 0, last_n: settledN(draft) } : { last_seq: lastSeq };
}

/** `anew`: a new hello must ask for everything. */
export type Verdict = "fits" | "anew" | Halt;

/** `asked`: whether this connection's hello asked for everything. */
export function compare(draft: Draft, frame: WelcomeFrame, asked: boolean): Verdict {
  const { chat } = draft;
  const { lastSeq } = chat;
  if (chat.ending !== null) return "fits";
  if (frame.lastN > chat.lastN) return "set_back";
  const forgetful = frame.lastN < answeredN(draft) || (lastSeq !== null && frame.lastSeq < lastSeq);
  if (forgetful && !asked) {
    draft.update({ lastSeq: null });
    return "anew";
  }
  if (frame.lastN < settledN(draft)) return "out_of_step";
  // Acknowledged was only what had been stored.
  if (lastSeq !== null && frame.ackedSeq > lastSeq) return "set_back";
  if (lastSeq === null) draft.update({ lastSeq: frame.ackedSeq });
  draft.sent.filter(({ n }) => n > frame.lastN).forEach((forgotten) => waitAgain(draft, forgotten));
  return "fits";
}

/** Takes over what the bridge knows better. */
export function takeOver(draft: Draft, frame: WelcomeFrame, now: number): void {
  const { roomId, name, host, hostJoined, deadline, idleLimitMs } = frame;
  if (draft.chat.roomId !== null && hostJoined !== draft.chat.hostJoined) draft.machine.membershipChanged(roomId);
  draft.update({ roomId, name, host, hostJoined, deadline, idleLimitMs });
  if (frame.hostRead !== null) applyRead(draft, frame.hostRead);
  try {
    learnHostKeys(draft, frame.keys, now);
  } catch {
    // An answer that the machine refuses changes nothing: `prepare` asks for a better one.
    draft.machine.keysChanged();
  }
}

/** The highest number that the bridge said it took. */
function answeredN({ chat, staged }: { readonly chat: JoinedChat; readonly staged: Staged | null }): number {
  return staged === null ? chat.lastN : staged.n - 1;
}

/** The highest number up to which it is known what became of each frame. */
function settledN(draft: Draft): number {
  const [first] = draft.sent;
  return first === undefined ? answeredN(draft) : first.n - 1;
}

/** Its tick must not say more than is true. */
function waitAgain(draft: Draft, frame: Staged): void {
  const entry = frame.kind === "to_device" ? null : draft.mine(frame.pos);
  if (entry?.state === "sent") draft.put({ ...entry, state: "waiting" });
}

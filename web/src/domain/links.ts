/**
 * Finds the web addresses in a text. A link is there to be tapped: nothing of it is ever fetched, and
 * what it says is what it opens, or the true host stands beside it.
 */

export interface Link {
  /** As it was written. */
  readonly text: string;
  /** Absolute, http or https. */
  readonly href: string;
  /** The host that opens, in ASCII, if the written one could be taken for another. */
  readonly host: string | null;
}

export type Piece = string | Link;

/** An address with its scheme, or one that begins with `www.`, up to what can't be part of one. */
const CANDIDATE = /(?:https?:\/\/(?=[^\s/?#])|www\.)[^\s<>"`{}|\\^«»“”„‹›、。，；！？（）「」『』【】《》〈〉\p{C}\p{Z}]+/giu;
/** After one of these a word goes on, so no address begins. */
const GOES_ON = /[\w+@\-]$/;
const WWW_GOES_ON = /[\p{L}\p{N}_@:./\-]$/u;
/** What invisible marks and a backslash hide would be read as a part of the address. */
const HIDES_MORE = /^\p{Cf}*[\\\p{L}\p{N}.\-@]/u;
const TRAILING = /[.,:;!?'*_~…]/;
/** Longer ones serve nobody who reads what they tap. */
const MAX_LENGTH = 2_048;

/** The text in pieces that together are the text, unchanged. */
export function findLinks(text: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(CANDIDATE)) {
    const link = read(match, text.slice(Math.max(0, index - 2), index), text.slice(index + match.length, index + match.length + 16));
    if (link === null) continue;
    if (index > done) pieces.push(text.slice(done, index));
    pieces.push(link);
    done = index + link.text.length;
  }
  if (done < text.length || pieces.length === 0) pieces.push(text.slice(done));
  return pieces;
}

function read(match: string, before: string, after: string): Link | null {
  const isBare = /^www/i.test(match);
  if ((isBare ? WWW_GOES_ON : GOES_ON).test(before) || HIDES_MORE.test(after)) return null;
  const text = withoutTail(match);
  if (text.length > MAX_LENGTH) return null;
  let url: URL;
  try {
    url = new URL(isBare ? `https://${text}` : text);
  } catch {
    return null;
  }
  const { protocol, hostname, username, password } = url;
  const isWeb = protocol === "https:" || protocol === "http:";
  // What stands before an @ looks like a host and is none.
  if (!isWeb || username !== "" || password !== "" || /^[^/?#]*@/.test(text.replace(/^\w+:\/\//, ""))) return null;
  const written = (/^(?:\w+:\/\/)?([^/?#]*)/.exec(text)?.[1] ?? "").replace(/:\d*$/, "");
  if (isBare && !/\..*\./.test(written)) return null;
  return { text, href: url.href, host: isPlain(written, hostname) ? null : hostname };
}

/** Without the punctuation of the sentence, and without brackets that were opened outside. */
function withoutTail(match: string): string {
  const surplus = (open: string, close: string): number => match.split(close).length - match.split(open).length;
  const extra = new Map([[")", surplus("(", ")")], ["]", surplus("[", "]")]]);
  let end = match.length;
  for (; end > 0; end -= 1) {
    const last = match.charAt(end - 1);
    const more = extra.get(last) ?? 0;
    if (more > 0) extra.set(last, more - 1);
    else if (!TRAILING.test(last)) break;
  }
  return match.slice(0, end);
}

/** Letters of everyday words in languages with Latin script. Others, dotless i first, serve to imitate. */
const LATIN = /^[a-z\däöüßàâæçéèêëîïôœùûñáíóúåøãõ\-]+$/;
const EAST_ASIAN = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}ー\d\-]+$/u;
const ASCII = /^[a-z\d\-]+$/;
const CYRILLIC = /^[а-яёєіїґ\d\-]+$/;

/** Whether a reader takes the written host for the one that opens. */
function isPlain(written: string, opened: string): boolean {
  const host = written.toLowerCase();
  // A capital I among small letters is read as an l.
  if (host === opened) return !/I/.test(written) || !/[a-z]/.test(written);
  if (!opened.includes("xn--")) return false;
  const labels = host.normalize("NFC").split(".");
  const all = (...scripts: readonly RegExp[]): boolean => labels.every((label) => scripts.some((script) => script.test(label)));
  // Cyrillic only below a domain that is Cyrillic too: elsewhere аррӏе would pass for apple.
  return all(LATIN) || all(EAST_ASIAN, ASCII) || all(CYRILLIC);
}

/** Replies as older clients write them: what they answer stands above the text, as a quotation. */

/** The first line names who is quoted. Without it, a quotation is the author's own. */
const FIRST = /^> (?:\* ?)?<@[^>\s]+> ?/;
const LENGTH = 160;

export function splitReply(body: string): { readonly quote: string | null; readonly text: string } {
  const lines = body.split("\n");
  if (!FIRST.test(body)) return { quote: null, text: body };
  let end = lines.findIndex((line) => !line.startsWith(">"));
  if (end < 0) end = lines.length;
  const [first = "", ...others] = lines.slice(0, end);
  const quoted = [first.replace(FIRST, ""), ...others.map((line) => line.replace(/^> ?/, ""))];
  const text = lines.slice(lines[end] === "" ? end + 1 : end).join("\n");
  // A quotation with nothing under it is no answer to anything.
  return text === "" ? { quote: null, text: body } : { quote: shorten(quoted.join("\n")), text };
}

/** As much of a message as a quotation shows. */
export function shorten(text: string): string {
  const letters = [...text];
  return letters.length <= LENGTH ? text : `${letters.slice(0, LENGTH - 1).join("")}…`;
}

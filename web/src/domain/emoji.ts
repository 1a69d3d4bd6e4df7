/** Whether a message is one to three emoji and nothing else, which are then shown big. */

const PART = String.raw`\p{Extended_Pictographic}[\p{Emoji_Modifier}\uFE0F]?`;
const FIRST = String.raw`(?:\p{Emoji_Presentation}\p{Emoji_Modifier}?\uFE0F?|\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier}))`;
/** A flag, a key cap, or a picture with its skin, its tags and what is joined to it (UTS #51, 1.4.9). */
const ONE = String.raw`(?:\p{RI}{2}|[#*\d]\uFE0F?\u20E3|${FIRST}(?:[\u{E0020}-\u{E007E}]{1,10}\u{E007F})?(?:\u200D${PART}){0,6})`;
const ONLY = new RegExp(`^(?:${ONE}\\s?){1,3}$`, "u");
/** The longest three there are. */
const MAX_LENGTH = 120;

export function isOnlyEmoji(text: string): boolean {
  return text.length <= MAX_LENGTH && ONLY.test(text);
}

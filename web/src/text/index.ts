/** Which of the page's languages somebody reads. */

export type { Catalogue } from "./en.ts";
export { datesFor } from "./dates.ts";
export type { Dates } from "./dates.ts";
export { numbersFor } from "./numbers.ts";
export type { Counted, Numbers } from "./numbers.ts";

/** Each has a file of its name here. */
export const LANGUAGES = ["en", "de", "fr", "es", "pt", "ar"] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Choice {
  readonly language: Language;
  /** For dates and numbers: the reader's own region, where they name one. */
  readonly locale: string;
}

/** The first wanted language that there is (`de` serves `de-AT`), or English as the first wanted region writes it. */
export function choose(wanted: readonly string[]): Choice {
  for (const tag of wanted) {
    const locale = localeOf(tag);
    const language = LANGUAGES.find((known) => known === locale?.language);
    if (locale !== null && language !== undefined) return { language, locale: locale.baseName };
  }
  const region = localeOf(wanted[0] ?? "")?.region;
  return { language: "en", locale: region === undefined ? "en" : `en-${region}` };
}

function localeOf(tag: string): Intl.Locale | null {
  try {
    return new Intl.Locale(tag);
  } catch {
    // Not a language tag: some browsers can be told to send anything.
    return null;
  }
}

/** Numbers and lengths of time, as the reader's language says them. */

import { lazy } from "./lazy.ts";

/** What is counted, by the plural forms of the language (Unicode TR 35); `#` stands for the number. */
export type Forms = { readonly [form in Intl.LDMLPluralRule]?: string } & { readonly other: string };

/** A number that waits for the words around it. */
export type Counted = (forms: Forms) => string;

export interface Numbers {
  counted(count: number): Counted;
  /** "10 days", "6 hours", "5 minutes": never less than a minute. */
  span(ms: number): string;
}

const MINUTE_MS = 60_000;

export function numbersFor(locale: string): Numbers {
  const plain = lazy(() => new Intl.NumberFormat(locale));
  const rules = lazy(() => new Intl.PluralRules(locale));
  const unit = (name: string): (() => Intl.NumberFormat) =>
    lazy(() => new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay: "long" }));
  const [minute, hour, day] = [unit("minute"), unit("hour"), unit("day")];
  return {
    counted: (count) => (forms) => (forms[rules().select(count)] ?? forms.other).replace("#", plain().format(count)),
    span(ms) {
      const minutes = Math.max(1, Math.round(ms / MINUTE_MS));
      if (minutes < 90) return minute().format(minutes);
      const hours = Math.round(minutes / 60);
      return hours < 48 ? hour().format(hours) : day().format(Math.round(hours / 24));
    },
  };
}

/** Days and times, as the reader's language writes them. */

import type { Catalogue } from "./en.ts";
import { lazy } from "./lazy.ts";

export interface Dates {
  /** "14:05" */
  time(ms: number): string;
  /** "Today", "Yesterday", "Friday, 13 November" */
  day(ms: number, now: number): string;
  /** "13 November, 14:05" */
  moment(ms: number): string;
  /** "2026-11-13 14:05", where the reader is: the same in every language, for files. */
  stamp(ms: number): string;
  /** "Europe/Berlin" */
  zone(): string;
  /** Two times with the same key are on the same day. */
  dayKey(ms: number): string;
}

export function datesFor(words: Catalogue, locale: string): Dates {
  const format = (language: string, options: Intl.DateTimeFormatOptions): (() => Intl.DateTimeFormat) =>
    lazy(() => new Intl.DateTimeFormat(language, options));
  const time = format(locale, { hour: "numeric", minute: "2-digit" });
  const day = format(locale, { weekday: "long", day: "numeric", month: "long" });
  const moment = format(locale, { day: "numeric", month: "long", hour: "numeric", minute: "2-digit" });
  // Swedish writes dates as ISO 8601 does.
  const stamp = format("sv", { dateStyle: "short", timeStyle: "short" });
  const dayKey = (ms: number): string => new Date(ms).toDateString();
  return {
    time: (ms) => time().format(ms),
    moment: (ms) => moment().format(ms),
    stamp: (ms) => stamp().format(ms),
    zone: () => stamp().resolvedOptions().timeZone,
    dayKey,
    day(ms, now) {
      const yesterday = new Date(now);
      yesterday.setDate(yesterday.getDate() - 1);
      if (dayKey(ms) === dayKey(now)) return words.chat.today;
      return dayKey(ms) === dayKey(yesterday.getTime()) ? words.chat.yesterday : day().format(ms);
    },
  };
}

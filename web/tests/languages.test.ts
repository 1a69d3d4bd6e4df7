import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { UNSUPPORTED } from "../src/domain/machine.ts";
import { LANGUAGES, choose, datesFor, numbersFor } from "../src/text/index.ts";
import type { Catalogue, Language } from "../src/text/index.ts";
import { loadWords } from "../src/text/load.ts";
import { catalogue as ar } from "../src/text/ar.ts";
import { catalogue as de } from "../src/text/de.ts";
import { catalogue as en } from "../src/text/en.ts";
import { catalogue as es } from "../src/text/es.ts";
import { catalogue as fr } from "../src/text/fr.ts";
import { catalogue as pt } from "../src/text/pt.ts";
import { FakeClock, settle } from "./support/clock.ts";

declare const REPOSITORY: string;

const all: Readonly<Record<Language, Catalogue>> = { en, de, fr, es, pt, ar };

/** Texts with a number in them, by what they are called. */
const COUNTED = new Set(["join.passcodeWrong", "chat.room", "chat.tooLong", "chat.newCount"]);
/** The number, and each placeholder, as they are looked for in what comes out. */
const NUMBER = 7;
const place = (index: number): string => `<${index}>`;

/** Every text of a catalogue by its path; each placeholder is filled with its own mark. */
function texts(words: Catalogue, locale: string): Map<string, string> {
  const { counted } = numbersFor(locale);
  const found = new Map<string, string>();
  const walk = (node: unknown, path: string): void => {
    if (typeof node === "string") found.set(path, node);
    else if (path === "chat.unsupported") {
      for (const what of UNSUPPORTED) for (const count of [1, 2, NUMBER, 12]) found.set(`${path}.${what}.${count}`, words.chat.unsupported(place(0), what, counted(count)));
    } else if (path === "notice") {
      for (const what of [...UNSUPPORTED, null]) found.set(`${path}.${what}`, words.notice(what, place(0)));
    } else if (COUNTED.has(path)) found.set(path, (node as (count: typeof counted extends (n: number) => infer C ? C : never) => string)(counted(NUMBER)));
    else if (typeof node === "function") found.set(path, (node as (...values: string[]) => string)(...Array.from({ length: 3 }, (_, index) => place(index))));
    else for (const [key, value] of Object.entries(node as object)) walk(value, path === "" ? key : `${path}.${key}`);
  };
  walk(words, "");
  return found;
}

const english = texts(en, "en");
const marks = (text: string): string[] => [...new Set(text.match(/<\d>/g))].sort();

test("each language has a file, each file is a language, and names itself", () => {
  const files = readdirSync(join(REPOSITORY, "web/src/text")).filter((name) => /^[a-z]{2}\.ts$/.test(name));
  assert.deepEqual(files.map((name) => name.slice(0, 2)), [...LANGUAGES].sort());
  for (const language of LANGUAGES) {
    assert.equal(all[language].language, language);
    assert.equal(all[language].direction, language === "ar" ? "rtl" : "ltr");
  }
});

for (const language of LANGUAGES) {
  const own = texts(all[language], language);

  test(`${language}: every text is there, speaks of what the English one speaks of, and has nothing that would turn or break a line`, () => {
    assert.deepEqual([...own.keys()], [...english.keys()]);
    for (const [path, text] of own) {
      assert.ok(text.trim() !== "" && text === text.trim(), path);
      assert.deepEqual(marks(text), marks(english.get(path) ?? ""), path);
      assert.doesNotMatch(text, /\p{Cc}|\p{Co}|[\u200E\u200F\u202A-\u202E\u2066-\u2069]| {2}|[{}#]|undefined|null|\bNaN\b/u, path);
    }
  });

  if (language === "en") continue;

  test(`${language}: nothing was left in English`, () => {
    // Words that are the same, and codes.
    const same = new Set(["language", "direction", "chat.from.host", "chat.menu", "chat.log", "chat.field"]);
    for (const [path, text] of own) if (!same.has(path)) assert.notEqual(text, english.get(path), path);
    if (language === "ar") for (const [path, text] of own) if (!same.has(path) || path === "chat.menu") assert.match(text, /\p{Script=Arabic}/u, path);
  });

  test(`${language}: counted things have a number, or a word for it`, () => {
    const { counted } = numbersFor(language);
    const words = all[language];
    const kinds = [words.join.passcodeWrong, words.chat.room, words.chat.tooLong, words.chat.newCount];
    for (const say of kinds) {
      const said = [1, 2, 3, 11, 100].map((count) => say(counted(count)));
      assert.equal(new Set(said).size, said.length, said.join(" | "));
      assert.match(say(counted(11)), /11|١١/);
    }
  });
}

test("a blocked chat reads like an ended one in every language: there are no words for it", () => {
  for (const [path] of english) assert.doesNotMatch(path, /block/i);
});

test("the first language that the reader wants and the page has is taken", () => {
  assert.deepEqual(choose(["de-AT", "en"]), { language: "de", locale: "de-AT" });
  assert.deepEqual(choose(["nl", "pt-BR", "fr"]), { language: "pt", locale: "pt-BR" });
  assert.deepEqual(choose(["AR-eg"]), { language: "ar", locale: "ar-EG" });
  assert.deepEqual(choose(["en-US"]), { language: "en", locale: "en-US" });
});

test("who reads none of them gets English, with dates as in their region", () => {
  assert.deepEqual(choose(["nl-NL", "sv"]), { language: "en", locale: "en-NL" });
  assert.deepEqual(choose(["nl"]), { language: "en", locale: "en" });
  for (const wanted of [[], [""], ["*"], ["not a tag"], ["x"]]) assert.deepEqual(choose(wanted), { language: "en", locale: "en" });
  assert.match(datesFor(en, "en-NL").time(13 * 3_600_000), /^\d\d?:\d\d$/, "no am or pm");
});

test("lengths of time are said in whole units that fit", () => {
  const HOUR = 3_600_000;
  // French keeps the two together with a space that doesn't break.
  const span = (ms: number, locale: string): string => numbersFor(locale).span(ms).replace("\u00A0", " ");
  assert.equal(span(0, "en"), "1 minute");
  assert.equal(span(5 * 60_000, "en"), "5 minutes");
  assert.equal(span(6 * HOUR, "en"), "6 hours");
  assert.equal(span(47 * HOUR, "en"), "47 hours");
  assert.equal(span(240 * HOUR, "en"), "10 days");
  assert.equal(span(240 * HOUR, "de"), "10 Tage");
  assert.equal(span(240 * HOUR, "fr"), "10 jours");
  assert.equal(span(240 * HOUR, "es"), "10 días");
  assert.equal(span(240 * HOUR, "pt"), "10 dias");
  assert.match(span(240 * HOUR, "ar"), /^(10|١٠) أيام$/);
});

test("words that don't load are asked for until they do", async () => {
  const clock = new FakeClock();
  const attempts: number[] = [];
  let troubled = 0;
  let loaded: Catalogue | null = null;
  const load = (attempt: number): Promise<Catalogue> => {
    attempts.push(attempt);
    return attempt < 3 ? Promise.reject(new TypeError("network")) : Promise.resolve(de);
  };
  void loadWords(load, clock, () => (troubled += 1)).then((words) => (loaded = words));
  await settle();
  assert.deepEqual([attempts, troubled], [[0], 1]);
  await clock.advance(5_000);
  assert.deepEqual([attempts, troubled], [[0, 1, 2, 3], 1]);
  assert.equal(loaded, de);
});

test("a formatter is made when it is first used, and once", () => {
  const made: string[] = [];
  const { DateTimeFormat, NumberFormat, PluralRules } = Intl;
  const counting = <T extends abstract new (...values: never[]) => object>(name: string, real: T): T =>
    new Proxy(real, {
      construct: (target, values, self): object => {
        made.push(name);
        return Reflect.construct(target, values, self) as object;
      },
    });
  Object.assign(Intl, {
    DateTimeFormat: counting("date", DateTimeFormat),
    NumberFormat: counting("number", NumberFormat),
    PluralRules: counting("plural", PluralRules),
  });
  try {
    const dates = datesFor(de, "de");
    const numbers = numbersFor("de");
    assert.deepEqual(made, []);
    dates.time(0);
    dates.time(1);
    assert.deepEqual(made, ["date"]);
    numbers.span(864_000_000);
    numbers.span(864_000_000);
    assert.deepEqual(made, ["date", "number"]);
  } finally {
    Object.assign(Intl, { DateTimeFormat, NumberFormat, PluralRules });
  }
});

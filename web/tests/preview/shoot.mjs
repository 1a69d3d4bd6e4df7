// Takes pictures of every screen, on a phone and on a desk, light and dark, in English and Arabic, into
// `tests/pictures/`, which is not committed: `npm run pictures [-- PART OF A SCENE'S NAME …]`. `LANGUAGES="de fr"`
// and `THEMES="light"` choose, `LOOK="narrow zoomed forced still"` is for how some people see it.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { SCENES, play } from "./scenes.mjs";
import { newToken, serve } from "./serve.mjs";

const PHONE = { width: 390, height: 844, touch: true };
const SHAPES = {
  phone: PHONE,
  desk: { width: 1280, height: 800 },
  narrow: { width: 320, height: 568, touch: true },
  // What a window of 1280 by 1024 has left at 400 %.
  zoomed: { width: 320, height: 256 },
  forced: { ...PHONE, forced: true },
  still: { ...PHONE, still: true },
};
const chosen = (variable, otherwise) => (process.env[variable] ?? otherwise).split(" ");
const LANGUAGES = chosen("LANGUAGES", "en ar");
const THEMES = chosen("THEMES", "light dark");
const LOOKS = chosen("LOOK", "phone desk");

// Below `tests/`: what lies beside `src/` is what a page is built from, and a new picture would build it anew.
const folder = fileURLToPath(new URL("../pictures/", import.meta.url));
await mkdir(folder, { recursive: true });
const wanted = process.argv.slice(2);
const names = Object.keys(SCENES).filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

const bridge = await serve();
const browser = await launch();
try {
  for (const language of LANGUAGES) {
    for (const shape of LOOKS) {
      const options = SHAPES[shape];
      for (const name of names) {
        const { tab, close } = await play(name, { browser, bridge, newToken }, { ...options, language });
        for (const theme of THEMES) {
          await tab.look({ dark: theme === "dark" });
          await tab.shoot(`${folder}${name}-${shape}-${theme}-${language}.png`);
        }
        await close();
      }
      console.log(`${language}, ${shape}: ${names.length * THEMES.length} pictures`);
    }
  }
} finally {
  await browser.close();
  bridge.close();
}
console.log(`They are in ${folder}`);

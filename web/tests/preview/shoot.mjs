// Takes pictures of every screen, on a phone and on a desk, light and dark, in English and Arabic, into
// `pictures/`, which is not committed: `npm run pictures [-- PART OF A SCENE'S NAME …]`.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { SCENES, play } from "./scenes.mjs";
import { newToken, serve } from "./serve.mjs";

const SHAPES = { phone: { width: 390, height: 844, touch: true }, desk: { width: 1280, height: 800 } };
const LANGUAGES = (process.env.LANGUAGES ?? "en ar").split(" ");

const folder = fileURLToPath(new URL("../../pictures/", import.meta.url));
await mkdir(folder, { recursive: true });
const wanted = process.argv.slice(2);
const names = Object.keys(SCENES).filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

const bridge = await serve();
const browser = await launch();
try {
  for (const language of LANGUAGES) {
    for (const [shape, options] of Object.entries(SHAPES)) {
      for (const name of names) {
        const { tab, close } = await play(name, { browser, bridge, newToken }, { ...options, language });
        for (const theme of ["light", "dark"]) {
          await tab.look({ dark: theme === "dark" });
          await tab.shoot(`${folder}${name}-${shape}-${theme}-${language}.png`);
        }
        await close();
      }
      console.log(`${language}, ${shape}: ${names.length * 2} pictures`);
    }
  }
} finally {
  await browser.close();
  bridge.close();
}
console.log(`They are in ${folder}`);

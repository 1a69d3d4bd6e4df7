// The played bridge and a Chromium for the tests of one file: who imports this has both while they run.

import { after, before } from "node:test";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

export let bridge;
export let browser;

before(async () => {
  bridge = await serve();
  browser = await launch();
});
after(async () => {
  await browser.close();
  bridge.close();
});

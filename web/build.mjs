// Builds web/dist: one script, one style sheet, the WebAssembly and the entry page. Each file but the
// entry carries a hash of its content in its name, so that browsers may keep it for ever.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const wasm = here("wasm/pkg/vestibule_web_bg.wasm");

if (!existsSync(wasm)) {
  console.error("web/wasm/pkg is missing: `cargo xtask page` makes it, and then this.");
  process.exit(1);
}

const dist = here("dist");
await rm(dist, { recursive: true, force: true });
await mkdir(dist);

/** Writes a file under its hashed name, and gives that name. */
async function emit(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 12);
  const hashed = name.replace(/\.(\w+)$/, `-${hash}.$1`);
  await writeFile(`${dist}/${hashed}`, content);
  return hashed;
}

const files = { "vestibule_bg.wasm": await emit("vestibule_bg.wasm", await readFile(wasm)) };

const bundle = await build({
  entryPoints: { main: here("src/main.ts"), style: here("src/styles/main.css") },
  outdir: dist,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "esm",
  // The oldest browsers with all that the page needs; IndexedDB, locks and keys are asked for at run time.
  target: ["chrome94", "edge94", "firefox96", "safari15.4"],
  define: {
    WASM_FILE: JSON.stringify(files["vestibule_bg.wasm"]),
    // The glue's own default for where the WebAssembly lies, never used: it is always told.
    "import.meta.url": '"https://invalid.invalid/"',
  },
  legalComments: "none",
  logLevel: "warning",
  write: false,
});
for (const { path, contents } of bundle.outputFiles) {
  const name = path.endsWith(".css") ? "main.css" : "main.js";
  files[name] = await emit(name, contents);
}
for (const name of ["favicon.svg", "favicon-unread.svg"]) files[name] = await emit(name, await readFile(here(`src/${name}`)));

let html = await readFile(here("index.html"), "utf8");
for (const name of ["main.js", "main.css", "favicon.svg", "favicon-unread.svg"]) {
  if (!html.includes(`"./${name}"`)) throw new Error(`index.html does not name ${name}`);
  html = html.replace(`"./${name}"`, `"./${files[name]}"`);
}
await writeFile(`${dist}/index.html`, html);

// Builds web/dist: one script, one file of words for each language (of which a guest loads one), one style
// sheet, the WebAssembly, the entry page, and what an installed page needs. Each file but the entry carries a
// hash of its content in its name, so that browsers may keep it for ever.

import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
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

// The oldest browsers with all that the page needs; IndexedDB, locks and keys are asked for at run time.
const common = { bundle: true, minify: true, charset: "utf8", format: "esm", target: ["chrome94", "edge94", "firefox96", "safari15.4"], legalComments: "none", logLevel: "warning", write: false };

const texts = {};
for (const file of (await readdir(here("src/text"))).sort()) {
  const language = /^([a-z]{2})\.ts$/.exec(file)?.[1];
  if (language === undefined) continue;
  const { outputFiles } = await build({ ...common, entryPoints: [here(`src/text/${language}.ts`)] });
  texts[language] = await emit(`text-${language}.js`, outputFiles[0].contents);
}

const bundle = await build({
  ...common,
  // Shorter names for what only its own class can see.
  mangleProps: new RegExp(`^(?:${(await privateNames()).join("|")})$`),
  entryPoints: { main: here("src/main.ts"), style: here("src/styles/main.css") },
  outdir: dist,
  define: {
    WASM_FILE: JSON.stringify(files["vestibule_bg.wasm"]),
    TEXT_FILES: JSON.stringify(texts),
    // The glue's own default for where the WebAssembly lies, never used: it is always told.
    "import.meta.url": '"https://invalid.invalid/"',
  },
});
for (const { path, contents } of bundle.outputFiles) {
  const name = path.endsWith(".css") ? "main.css" : "main.js";
  files[name] = await emit(name, contents);
}
for (const icon of ["favicon.svg", "favicon-unread.svg", "icon-180.png", "icon-192.png", "icon-512.png", "icon-mask.png"]) {
  files[icon] = await emit(icon, await readFile(here(`src/icons/${icon}`)));
}
files["app.webmanifest"] = await emit("app.webmanifest", named(await readFile(here("src/app.webmanifest"), "utf8")));
await writeFile(`${dist}/index.html`, named(await readFile(here("index.html"), "utf8")));

/**
 * The private members of all classes, except for those whose names are used for anything else: what is stored
 * or sent, or belongs to the browser, keeps its names.
 */
async function privateNames() {
  const sources = (await readdir(here("src"), { recursive: true })).filter((name) => name.endsWith(".ts"));
  const texts = await Promise.all(sources.sort().map((name) => readFile(here(`src/${name}`), "utf8")));
  const code = texts.join("\n").replace(/\/\*.*?\*\/|^\s*\/\/.*?$/gms, "");
  const declared = /\bprivate (?:(?:readonly|static|async|get|set) )*(\w+)/g;
  const names = new Set([...code.matchAll(declared)].map(([, name]) => name));
  const count = (pattern) => code.match(new RegExp(pattern, "g"))?.length ?? 0;
  const isOwn = (name) => count(`\\b${name}\\b`) === count(`\\bthis\\.${name}\\b|\\bprivate (?:\\w+ )*${name}\\b`);
  return [...names].filter(isOwn);
}

/** With every `"./name"` replaced by the name that the file has got; a name that no file has is an error. */
function named(text) {
  return text.replace(/"\.\/([^"]+)"/g, (_, name) => {
    if (files[name] === undefined) throw new Error(`there is no ${name}`);
    return `"./${files[name]}"`;
  });
}

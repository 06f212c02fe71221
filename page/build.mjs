// Builds the page: `node build.mjs [folder]`. What it makes depends on the sources and the locked tools alone, so that it can be compared.

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 80_000; // bytes of all, compressed
const BUNDLED = ["preact", "@lezer/common", "@lezer/highlight", "@lezer/lr", "@lezer/python"]; // what is in page.js besides ours
const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? join(here, "../src/manyhands/watch/observer/page");

/** Names of all that decides what is built, in order. tools/page_check.py makes the same sum. */
function sources() {
  const below = (name) => readdirSync(join(here, name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(here.length + 1));
  return ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json", ...below("src"), ...below("style")].sort();
}

function digest() {
  const sum = createHash("sha256");
  for (const name of sources()) sum.update(`${name}\0`).update(readFileSync(join(here, name))).update("\0");
  return sum.digest("hex");
}

function licences() {
  return BUNDLED.map((name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`).join("\n----\n\n");
}

mkdirSync(folder, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx" },
  outdir: folder,
  bundle: true,
  minify: true,
  format: "iife", // a saved report has it in its own document
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: `/* Built from page/, sources sha256 ${digest()}; licences of what is bundled: LICENSES.txt */` },
  logLevel: "warning",
});
copyFileSync(join(here, "index.html"), join(folder, "index.html"));
writeFileSync(join(folder, "LICENSES.txt"), licences());

let total = 0;
for (const name of ["index.html", "page.css", "page.js"]) {
  const content = readFileSync(join(folder, name));
  const size = gzipSync(content, { level: 9 }).length;
  total += size;
  console.log(`${name.padEnd(12)} ${String(content.length).padStart(7)} bytes, ${String(size).padStart(6)} compressed`);
}
console.log(`${"all".padEnd(28)} ${String(total).padStart(6)} compressed`);
if (total > LIMIT) {
  console.error(`more than ${LIMIT} bytes`);
  process.exit(1);
}

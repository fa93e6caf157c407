// Writes a .br and a .gz beside every file of the built dashboard that shrinks by it, so that the
// server never compresses one. Run by Trunk after a release build; by hand: node scripts/compress.mjs FOLDER

import { readdir, readFile, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const COMPRESSIBLE = new Set([
  ".css", ".html", ".ico", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest", ".xml",
]);

const ENCODINGS = [
  [".br", (bytes) => promisify(brotliCompress)(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  })],
  [".gz", (bytes) => promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION })],
];

async function* files(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (COMPRESSIBLE.has(extname(entry.name))) yield path;
  }
}

async function compress(path) {
  const bytes = await readFile(path);
  const sizes = await Promise.all(ENCODINGS.map(async ([suffix, encode]) => {
    const smaller = await encode(bytes);
    if (smaller.length >= bytes.length) return bytes.length;
    await writeFile(path + suffix, smaller);
    return smaller.length;
  }));
  return [bytes.length, ...sizes];
}

// A hook of Trunk gets the folder before it is moved into place, and runs in debug builds as well.
if (process.env.TRUNK_PROFILE === undefined || process.env.TRUNK_PROFILE === "release") {
  const folder = process.argv[2] ?? process.env.TRUNK_STAGING_DIR ?? "frontend/dist";
  const paths = [];
  for await (const path of files(folder)) paths.push(path);
  const sizes = await Promise.all(paths.map(compress));
  const sum = (column) => (sizes.reduce((total, row) => total + row[column], 0) / 1024).toFixed(0);
  console.log(`compressed ${paths.length} files: ${sum(0)} KiB, ${sum(1)} KiB brotli, ${sum(2)} KiB gzip`);
}

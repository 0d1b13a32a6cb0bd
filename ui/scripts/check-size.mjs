// Prints what a build weighs and fails where the first load is over its budget.
// "First load" is the entry, what it imports statically, and the chunk of the page at `/`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const BUDGET_KB = 350;
const FIRST_PAGE = 'src/pages/overview/Overview.tsx';
const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const manifest = JSON.parse(readFileSync(`${dist}manifest.json`, 'utf8'));
const gzipKb = (file) => gzipSync(readFileSync(dist + file), { level: 9 }).length / 1024;

function reach(key, seen = new Set()) {
  if (seen.has(key) || !manifest[key]) return seen;
  seen.add(key);
  for (const next of manifest[key].imports ?? []) reach(next, seen);
  return seen;
}

const first = reach('index.html');
for (const key of reach(FIRST_PAGE)) first.add(key);
if (!manifest[FIRST_PAGE]) fail(`${FIRST_PAGE} is not a chunk of its own any more: name the first page's chunk in scripts/check-size.mjs`);

const rows = Object.entries(manifest)
  .filter(([, chunk]) => chunk.file.endsWith('.js'))
  .map(([key, chunk]) => ({ file: chunk.file, kb: gzipKb(chunk.file), first: first.has(key) }))
  .sort((a, b) => Number(b.first) - Number(a.first) || b.kb - a.kb);
for (const row of rows) console.log(`${row.kb.toFixed(1).padStart(8)} KB  ${row.first ? 'first' : 'later'}  ${row.file}`);

const total = rows.filter((row) => row.first).reduce((sum, row) => sum + row.kb, 0);
console.log(`${total.toFixed(1).padStart(8)} KB  compressed script of the first load (budget ${BUDGET_KB} KB)`);
if (total > BUDGET_KB) fail(`the first load is ${(total - BUDGET_KB).toFixed(1)} KB over its budget: load what is not on the first page lazily`);

function fail(message) {
  console.error(`check-size: ${message}`);
  process.exit(1);
}

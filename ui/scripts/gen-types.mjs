// Writes src/api/types.gen.ts: the bodies that openapi.json describes. With --check it only says whether that file is what openapi.json gives.
// Paths are left out: the client addresses them in src/api/queries.ts, and the browser tests walk them against a real server.
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { COMMENT_HEADER, astToString } from 'openapi-typescript';

const target = new URL('../src/api/types.gen.ts', import.meta.url);
const document = JSON.parse(await readFile(new URL('../../openapi.json', import.meta.url), 'utf8'));
const text = COMMENT_HEADER + astToString(await openapiTS({ ...document, paths: {} }));

if (!process.argv.includes('--check')) {
  await writeFile(target, text);
} else if (text !== (await readFile(target, 'utf8').catch(() => ''))) {
  console.error('src/api/types.gen.ts is not what openapi.json gives: run `npm run gen:types`.');
  process.exit(1);
}

import { expect, it } from 'vitest';
import { type Kept, isEcho, listed } from './history';
import type { QueryRun } from './types';

const run = (id: string, query: string, more: Partial<QueryRun> = {}): QueryRun => ({ id, query, state: 'done', client: 'http', started_us: 1, elapsed_ms: 1, rows: 1, bytes_scanned: 0, cost_usd: 0, ...more });
const own = (id: string, query: string, more: Partial<Kept> = {}): Kept => ({ id, query, state: 'done', started_us: 1, elapsed_ms: 1, rows: 0, ...more });

it('lists a change once, with its own text', () => {
  const echo = run('a', "SELECT 'UPDATE' AS command, CAST(3 AS bigint) AS rows", { started_us: 2, elapsed_ms: 5 });
  const work = run('a', 'update lab.stock set x = 1', { client: 'pgwire', rows: 3, bytes_scanned: 84 });
  const [only, ...more] = listed([echo, work], []);
  expect(more).toEqual([]);
  expect(only).toMatchObject({ query: 'update lab.stock set x = 1', client: 'http', rows: 3, bytes_scanned: 84, elapsed_ms: 5 });
});

it('gives a change that the server does not tell the text that was sent', () => {
  const echo = run('a', "SELECT 'CREATE TABLE' AS command, CAST(NULL AS bigint) AS rows");
  expect(listed([echo], [own('a', 'create table lab.x (id bigint)')])[0]?.query).toBe('create table lab.x (id bigint)');
});

it('keeps what the server has forgotten, but nothing whose end is unknown', () => {
  const all = listed([run('b', 'select 2', { started_us: 5 })], [own('a', 'select 1', { started_us: 9 }), own('c', 'select 3', { state: 'running' })]);
  expect(all.map((each) => each.query)).toEqual(['select 1', 'select 2']);
});

it('knows the answers of changes', () => {
  expect(isEcho("SELECT 'TRUNCATE TABLE' AS command, CAST(NULL AS bigint) AS rows")).toBe(true);
  expect(isEcho("select 'UPDATE' as command, 3 as rows")).toBe(false);
});

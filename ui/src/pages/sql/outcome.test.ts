import { expect, it } from 'vitest';
import { RowsResult } from '@/lib/result/rows';
import { headlineOf, outcomeOf } from './outcome';

const answer = (row: unknown[], names = ['command', 'rows']) =>
  new RowsResult({ row_count: 1, truncated: false, elapsed_ms: 1, bytes_scanned: 0, cost_usd: 0, query_id: '', as_of: [], columns: names.map((name, at) => ({ name, type: at === 0 ? 'text' : 'bigint' })), rows: [row] });

it('says what a change did', () => {
  const told = (command: string, rows: number | null) => headlineOf({ command, rows });
  expect(told('UPDATE', 3)).toBe('3 rows updated');
  expect(told('INSERT', 1)).toBe('1 row inserted');
  expect(told('DELETE', 0)).toBe('No row deleted');
  expect(told('MERGE', 12_345)).toBe('12,345 rows changed');
  expect(told('SELECT', 10)).toBe('Table created with 10 rows');
  expect(told('CREATE SCHEMA', null)).toBe('Schema created');
  expect(told('DROP TABLE', null)).toBe('Table dropped');
  expect(told('ALTER TABLE', null)).toBe('Table changed');
  expect(told('TRUNCATE TABLE', null)).toBe('Table emptied');
  expect(told('COMMENT', null)).toBe('Comment kept');
});

it('takes only the answer of a change for one', () => {
  expect(outcomeOf('update a.b set x = 1', answer(['UPDATE', 3]))).toEqual({ command: 'UPDATE', rows: 3 });
  expect(outcomeOf('create schema a', answer(['CREATE SCHEMA', null]))).toEqual({ command: 'CREATE SCHEMA', rows: null });
  expect(outcomeOf("select 'UPDATE' as command, 3 as rows", answer(['UPDATE', 3]))).toBeUndefined();
  expect(outcomeOf('call system.upkeep()', answer(['a', 1], ['table_name', 'step']))).toBeUndefined();
});

import { expect, it } from 'vitest';
import { RowsResult } from '@/lib/result/rows';
import { chartOf, suggested } from './chart-of';

const result = (columns: [string, string][], rows: unknown[][]) =>
  new RowsResult({ columns: columns.map(([name, type]) => ({ name, type })), rows, row_count: rows.length, elapsed_ms: 0, bytes_scanned: 0, query_id: '' });

it('draws time as lines, split by a second name where times repeat', () => {
  const payments = result([['day', 'date'], ['method', 'text'], ['amount', 'decimal(12,2)']], [
    ['2026-01-02', 'card', '2.50'],
    ['2026-01-01', 'card', '1.00'],
    ['2026-01-01', 'cash', null],
  ]);
  const choice = suggested(payments);
  expect(choice).toEqual({ kind: 'line', x: 0, y: [2], by: 1 });
  const spec = chartOf(payments, choice!);
  expect(spec.series.map((series) => [series.name, series.points.map((point) => point[1])])).toEqual([
    ['card', [1, 2.5]],
    ['cash', [null]],
  ]);
});

it('does not take ids for figures and has nothing to say about text alone', () => {
  expect(suggested(result([['state', 'text'], ['loan_id', 'bigint'], ['loans', 'bigint']], [['open', 7, 3]]))).toEqual({ kind: 'bar', x: 0, y: [2] });
  expect(suggested(result([['state', 'text']], [['open']]))).toBeUndefined();
});

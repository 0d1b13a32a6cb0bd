import { Decimal, Int64, RecordBatch, Schema, Field, Struct, TimestampMicrosecond, Utf8, makeData, vectorFromArray } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { arrange, filterOf } from './arrange';
import { ArrowResult, dateText, decimalText, timestampText } from './arrow';
import { profile } from './profile';
import { RowsResult } from './rows';

const rows = (values: unknown[], type = 'bigint') =>
  new RowsResult({ columns: [{ name: 'v', type }], rows: values.map((value) => [value]), row_count: values.length, elapsed_ms: 1, bytes_scanned: 0, query_id: 'q' });

describe('exact values', () => {
  it.each([
    [0n, '1970-01-01'],
    [-1n, '1969-12-31'],
    [19_782n, '2024-02-29'],
    [-719_529n, '0002-12-31 BC'],
    [2_147_483_647n, '5881580-07-11'],
  ])('day %s is %s', (days, text) => expect(dateText(days)).toBe(text));
  it('keeps microseconds and scale', () => {
    expect(timestampText(1_700_000_000_123_456n, 6)).toBe('2023-11-14 22:13:20.123456');
    expect(timestampText(-1n, 6)).toBe('1969-12-31 23:59:59.999999');
    expect(decimalText(-5n, 2)).toBe('-0.05');
    expect(decimalText(12_345n, 0)).toBe('12345');
  });
  it('reads Arrow buffers over several batches without rounding', () => {
    const type = new TimestampMicrosecond('UTC');
    const decimals = makeData({ type: new Decimal(2, 38, 128), length: 2, data: new Uint32Array([1050, 0, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]) });
    const ids = vectorFromArray([9_007_199_254_740_993n, null], new Int64()).data[0]!;
    const times = makeData({ type, length: 2, data: new BigInt64Array([1_700_000_000_123_456n, 0n]) });
    const names = vectorFromArray(['a', 'ü'], new Utf8()).data[0]!;
    const children = [ids, times, decimals, names];
    const schema = new Schema(['id', 'at', 'amount', 'name'].map((name, at) => new Field(name, children[at]!.type, true)));
    const batch = new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length: 2, nullCount: 0, children }));
    const result = ArrowResult.empty(schema).with([batch, batch]);
    expect(result.columns.map((column) => column.type)).toEqual(['bigint', 'timestamptz', 'decimal(38,2)', 'text']);
    expect([0, 1, 2, 3].map((column) => result.text(column, 2))).toEqual(['9007199254740993', '2023-11-14 22:13:20.123456Z', '10.50', 'a']);
    expect([0, 1, 2, 3].map((column) => result.text(column, 3))).toEqual([null, '1970-01-01 00:00:00Z', '-0.01', 'ü']);
  });
});

describe('arranging', () => {
  it('sorts numbers as numbers with NULL last both ways and keeps ties in order', () => {
    const result = rows([10, null, '9', 100, 9]);
    expect([...(arrange(result, { column: 0, desc: false }, {}) ?? [])]).toEqual([2, 4, 0, 3, 1]);
    expect([...(arrange(result, { column: 0, desc: true }, {}) ?? [])]).toEqual([3, 0, 2, 4, 1]);
  });
  it.each([
    ['> 9', [10, 100]],
    ['9..10', [9, 10]],
    ['!=9', [10, 100]],
    ['1', [10, 100]],
  ])('%s', (typed, left) => {
    const values = [9, 10, null, 100];
    expect([...(arrange(rows(values), undefined, { 0: typed }) ?? [])].map((row) => values[row])).toEqual(left);
  });
  it('knows NULL from text', () => {
    expect(filterOf('null', false)?.(null)).toBe(true);
    expect(filterOf('!null', false)?.('nullable')).toBe(true);
    expect(filterOf('  ', false)).toBeUndefined();
    expect(arrange(rows([1]), undefined, {})).toBeUndefined();
  });
});

it('a profile counts NULLs and spreads values over bins', () => {
  const found = profile(rows([0, 16, 16, null]), 0);
  expect(found).toMatchObject({ nulls: 1, rows: 4, min: '0', max: '16' });
  expect(found.bins?.[0]).toBe(1);
  expect(found.bins?.at(-1)).toBe(2);
  expect(profile(rows(['a', 'b', 'a'], 'text'), 0).top?.[0]).toEqual({ value: 'a', count: 2 });
});

import { describe, expect, it } from 'vitest';
import { ago, bytes, count, dollars, duration, middle, number, ordinal, percent, rate } from './format';

describe('numbers', () => {
  it.each([
    [0, '0'],
    [7.25, '7.25'],
    [100, '100'],
    [999, '999'],
    [999.7, '1 k'],
    [1000, '1 k'],
    [1234, '1.23 k'],
    [12_345, '12.3 k'],
    [999_949, '1 M'],
    [1_200_000, '1.2 M'],
    [-2_500, '-2.5 k'],
    [3e12, '3 T'],
    [null, '–'],
    [Number.NaN, '–'],
  ])('%s reads %s', (value, text) => expect(number(value)).toBe(text));
  it('rates and counts carry their noun', () => {
    expect(rate(1_200_000)).toBe('1.2 M rows/s');
    expect(count(1, 'row')).toBe('1 row');
    expect(count(0, 'row')).toBe('0 rows');
    expect(count(2, 'query', 'queries')).toBe('2 queries');
  });
  it('shares never round to all or nothing', () => {
    expect(percent(0)).toBe('0 %');
    expect(percent(0.00001)).toBe('<0.1 %');
    expect(percent(0.99999)).toBe('>99.9 %');
    expect(percent(1)).toBe('100 %');
  });
});

describe('bytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [999_700, '1 MB'],
    [3_400_000_000, '3.4 GB'],
    [undefined, '–'],
  ])('%s reads %s', (value, text) => expect(bytes(value)).toBe(text));
});

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [0.0003, '300 ns'],
    [0.42, '420 µs'],
    [4.26, '4.3 ms'],
    [312, '312 ms'],
    [999.6, '1 s'],
    [1_340, '1.3 s'],
    [59_970, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [360_000_000, '4 d 4 h'],
  ])('%s ms reads %s', (value, text) => expect(duration(value)).toBe(text));
});

describe('times', () => {
  it('says how long ago, and how soon', () => {
    const now = 1_700_000_000_000;
    expect(ago(now * 1000, now)).toBe('now');
    expect(ago((now - 12_000) * 1000, now)).toBe('12 s ago');
    expect(ago((now - 7_200_000) * 1000, now)).toBe('2 h ago');
    expect(ago((now + 5_000) * 1000, now)).toBe('in 5 s');
  });
});

it('long names keep both ends', () => {
  expect(middle('short', 10)).toBe('short');
  expect(middle('abcdefghijklmnop', 9)).toBe('abcd…mnop');
});

it('counts places in a row', () => {
  expect([1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 128].map(ordinal)).toEqual(['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '111th', '128th']);
});

it('writes money without a tail of zeros', () => {
  expect([null, 0, 4.2e-10, 0.0000612, 0.25, 1.2, 1234.5].map(dollars)).toEqual(['–', '$0', '<$0.000001', '$0.000061', '$0.25', '$1.20', '$1,234.50']);
});

import { describe, expect, it } from 'vitest';
import { ceilingOf, roundUp } from './scale';

describe('ceilingOf', () => {
  const steady = Array.from({ length: 60 }, (_, at) => 500 + (at % 7) * 10);

  it('cuts a short burst and nothing else', () => {
    expect(ceilingOf([183_000, ...steady])).toBe(800);
    expect(ceilingOf(steady)).toBeUndefined();
    expect(ceilingOf([2_000, ...steady])).toBeUndefined();
  });

  it('shows a burst that lasts, and one that is all there is', () => {
    expect(ceilingOf([...Array.from({ length: 10 }, () => 183_000), ...steady])).toBeUndefined();
    expect(ceilingOf([183_000, ...steady.map(() => 0)])).toBeUndefined();
    expect(ceilingOf([183_000, 500, 500])).toBeUndefined();
  });
});

it('rounds up', () => {
  expect([0.4, 1, 700, 701, 1_010, 98_000].map(roundUp)).toEqual([0.4, 1, 800, 800, 1_500, 100_000]);
});

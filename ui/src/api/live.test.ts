import { expect, it } from 'vitest';
import { appended } from './live';

it('appends only what is newer and keeps ten minutes', () => {
  const old = Array.from({ length: 600 }, (_, second) => ({ at_us: second * 1e6 }));
  const next = appended(old, [{ at_us: 599e6 }, { at_us: 600e6 }]);
  expect(next).toHaveLength(600);
  expect(next.at(0)?.at_us).toBe(1e6);
  expect(next.at(-1)?.at_us).toBe(600e6);
  expect(appended(old, [{ at_us: 5 }])).toBe(old);
});

it('replaces a second that was sent before it was over', () => {
  const old = [{ at_us: 1e6, rows: 500 }, { at_us: 2e6, rows: 40 }];
  expect(appended(old, [{ at_us: 2e6, rows: 480 }, { at_us: 3e6, rows: 30 }])).toEqual([{ at_us: 1e6, rows: 500 }, { at_us: 2e6, rows: 480 }, { at_us: 3e6, rows: 30 }]);
});

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

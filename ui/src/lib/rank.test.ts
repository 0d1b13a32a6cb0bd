import { expect, it } from 'vitest';
import { rank } from './rank';

it('puts the exact name first, then starts, then words, then the rest', () => {
  const names = ['silver.loans_history', 'gold.loans', 'Models', 'loans'];
  expect(rank(names, 'loans', (name) => name, (name) => (name === 'Models' ? 'about loans' : ''))).toEqual(['loans', 'silver.loans_history', 'gold.loans', 'Models']);
  expect(rank(names, 'pay', (name) => name, () => '')).toEqual([]);
  expect(rank(names, '', (name) => name, () => '')).toEqual(names);
});

import { expect, it } from 'vitest';
import { readAsOf } from './sql';

it('reads how far each source was seen', () => {
  expect(readAsOf('shop=0/16B3748,demo-2=a=1, b')).toEqual([
    { source: 'shop', cursor: '0/16B3748' },
    { source: 'demo-2', cursor: 'a=1, b' },
  ]);
  expect(readAsOf(null)).toEqual([]);
  expect(readAsOf('')).toEqual([]);
});

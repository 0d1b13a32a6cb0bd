import { expect, it } from 'vitest';
import { scheduleWords } from './schedule';

it('says usual schedules in words', () => {
  const said = ['* * * * *', '*/15 * * * *', '0 */15 * * * *', '0 * * * *', '5 * * * *', '0 */6 * * *', '0 3 * * *', '30 7 * * 1'].map(scheduleWords);
  expect(said).toEqual(['every minute', 'every 15 minutes', 'every 15 minutes', 'every hour', 'every hour, 5 min past', 'every 6 hours', 'daily at 03:00 UTC', 'Mondays at 07:30 UTC']);
});

it('leaves everything else as it is', () => {
  for (const schedule of ['on commit', 'manual', '0 3 1 * *', '0,30 * * * *', '0 9-17 * * *', '0 3 * * mon-fri', '*/5 3 * * *']) expect(scheduleWords(schedule)).toBe(schedule);
});

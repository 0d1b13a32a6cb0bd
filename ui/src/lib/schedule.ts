const two = (value: string) => value.padStart(2, '0');
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** A model's schedule as people say it: `on commit`, `every 15 minutes`, `daily at 03:00 UTC`; a cron expression that is none of the usual stays as it is. */
export function scheduleWords(schedule: string): string {
  const fields = schedule.trim().split(/\s+/);
  // Six fields begin with seconds.
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields.length === 6 && fields[0] === '0' ? fields.slice(1) : fields.length === 5 ? fields : [];
  if (day !== '*' || month !== '*') return schedule;
  const whole = (field: string) => /^\d{1,2}$/.test(field);
  if (weekday === '*') {
    if (hour === '*' && minute === '*') return 'every minute';
    const step = /^\*\/(\d{1,2})$/.exec(minute)?.[1];
    if (hour === '*' && step) return step === '1' ? 'every minute' : `every ${step} minutes`;
    if (hour === '*' && whole(minute)) return minute === '0' || minute === '00' ? 'every hour' : `every hour, ${Number(minute)} min past`;
    const hours = /^\*\/(\d{1,2})$/.exec(hour)?.[1];
    if (hours && (minute === '0' || minute === '00')) return hours === '1' ? 'every hour' : `every ${hours} hours`;
  }
  if (!whole(minute) || !whole(hour)) return schedule;
  const at = `${two(hour)}:${two(minute)} UTC`;
  if (weekday === '*') return `daily at ${at}`;
  const name = /^[0-7]$/.test(weekday) ? DAYS[Number(weekday)] : undefined;
  return name ? `${name}s at ${at}` : schedule;
}

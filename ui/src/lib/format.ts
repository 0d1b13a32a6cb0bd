/**
 * The one formatter of numbers, bytes, rates, durations and times. Every function takes the API's units (microseconds since 1970, milliseconds, bytes)
 * and gives text for people; `exact…` gives the full value for a tooltip. Absent values are an en dash, never `0` or `NaN`.
 */

export const NONE = '–';
type Num = number | null | undefined;
const known = (value: Num): value is number => typeof value === 'number' && Number.isFinite(value);

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 3 });
const SHORT: [number, string][] = [
  [1e12, ' T'],
  [1e9, ' G'],
  [1e6, ' M'],
  [1e3, ' k'],
];

/** Three significant digits at most: `1.2`, `12`, `123`. */
function short(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** `1.2 M`, `12 k`, `999`; fractions only below ten. */
export function number(value: Num): string {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  for (const [unit, name] of SHORT) {
    // 999 950 would read "1000 k": it belongs to the next unit.
    if (size >= unit * 0.9995) return short(value / unit) + name;
  }
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return short(value);
}

/** Every digit, grouped: `1,234,567`. */
export function exact(value: Num): string {
  return known(value) ? grouped.format(value) : NONE;
}

/** Decimal units, as disks and object stores bill: `3.4 GB`. */
export function bytes(value: Num): string {
  if (!known(value)) return NONE;
  if (Math.abs(value) < 999.5) return `${Math.round(value)} B`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let scaled = value / 1000;
  let unit = 0;
  while (Math.abs(scaled) >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${short(scaled)} ${units[unit] ?? 'PB'}`;
}

export const exactBytes = (value: Num): string => (known(value) ? `${grouped.format(value)} bytes` : NONE);

/** US dollars with two significant digits below one: `$0`, `<$0.000001`, `$0.000061`, `$1.20`. */
export function dollars(value: Num): string {
  if (!known(value)) return NONE;
  if (value === 0) return '$0';
  if (Math.abs(value) < 1e-6) return '<$0.000001';
  if (Math.abs(value) >= 0.995) return `$${value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${value.toLocaleString('en-US', { maximumSignificantDigits: 2 })}`;
}

/** `1.2 M rows/s`. */
export const rate = (perSecond: Num, what = 'rows'): string => (known(perSecond) ? `${number(perSecond)} ${what}/s` : NONE);

/** `1 row`, `2 rows`, `1.2 M rows`. */
export function count(value: Num, one: string, many = `${one}s`): string {
  return known(value) ? `${number(value)} ${value === 1 ? one : many}` : NONE;
}

/** A place in a row: `1st`, `2nd`, `3rd`, `11th`. */
export function ordinal(value: number): string {
  const suffix = Math.floor((value % 100) / 10) === 1 ? 'th' : (['th', 'st', 'nd', 'rd'][value % 10] ?? 'th');
  return `${exact(value)}${suffix}`;
}

/** A share from 0 to 1: `0 %`, `<0.1 %`, `12 %`, `>99.9 %`. */
export function percent(share: Num): string {
  if (!known(share)) return NONE;
  if (share > 0 && share < 0.001) return '<0.1 %';
  if (share < 1 && share > 0.999) return '>99.9 %';
  return `${short(share * 100)} %`;
}

/** `0.4 ms`, `12 ms`, `1.3 s`, `2 min 5 s`, `3 h 12 min`, `4 d 2 h`. */
export function duration(ms: Num): string {
  if (!known(ms)) return NONE;
  const size = Math.abs(ms);
  if (size === 0) return '0 ms';
  if (size < 0.001) return `${short(ms * 1e6)} ns`;
  if (size < 0.995) return `${short(ms * 1000)} µs`.replace(/^(\d+)\.\d+ µs/, '$1 µs');
  if (size < 999.5) return `${size < 9.95 ? short(Math.round(ms * 10) / 10) : Math.round(ms)} ms`;
  const seconds = Math.round(ms / 100) / 10;
  if (seconds < 59.95) return `${seconds < 10 ? seconds : Math.round(seconds)} s`;
  const whole = Math.round(ms / 1000);
  if (whole < 3600) return pair(Math.floor(whole / 60), 'min', whole % 60, 's');
  if (whole < 86_400) return pair(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min');
  return pair(Math.floor(whole / 86_400), 'd', Math.floor((whole % 86_400) / 3600), 'h');
}

function pair(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
}

/** How long ago, in one unit: `now`, `12 s ago`, `3 min ago`; the future is `in 5 s`. */
export function ago(us: Num, nowMs: number): string {
  if (!known(us)) return NONE;
  const seconds = Math.round((nowMs - us / 1000) / 1000);
  const size = Math.abs(seconds);
  if (size < 1) return 'now';
  const [value, unit] =
    size < 60
      ? [size, 's']
      : size < 3600
        ? [Math.round(size / 60), 'min']
        : size < 86_400
          ? [Math.round(size / 3600), 'h']
          : [Math.round(size / 86_400), 'd'];
  return seconds > 0 ? `${value} ${unit} ago` : `in ${value} ${unit}`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** Local wall clock, seconds: `15:04:09`. */
export function clock(us: Num): string {
  if (!known(us)) return NONE;
  const at = new Date(us / 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Local date and time: `2026-03-04 15:04:09`. */
export function time(us: Num): string {
  if (!known(us)) return NONE;
  const at = new Date(us / 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(us)}`;
}

/** The exact instant for a tooltip: UTC with milliseconds. */
export function exactTime(us: Num): string {
  return known(us) ? new Date(us / 1000).toISOString().replace('T', ' ').replace('Z', ' UTC') : NONE;
}

/** Cuts the middle out of long text, so that both ends stay readable: `s3://lake/silv…/data-1.parquet`. */
export function middle(text: string, max: number): string {
  if (text.length <= max) return text;
  const head = Math.ceil((max - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (max - 1 - head))}`;
}

/** `on commit` → `On commit`. */
export const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1).replaceAll('_', ' ');

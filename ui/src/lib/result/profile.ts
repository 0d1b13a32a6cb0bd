import { type ResultSet, asNumber } from './result';

/** What a column header tells of its column, over the rows that are here. */
export interface Profile {
  nulls: number;
  rows: number;
  /** Counts over equal ranges from the smallest to the largest value, for numbers and times. */
  bins?: number[];
  min?: string;
  max?: string;
  /** The commonest values, for text. */
  top?: { value: string; count: number }[];
  distinct?: number;
}

const BINS = 16;
const DISTINCT_MAX = 10_000;

export function profile(result: ResultSet, column: number): Profile {
  const kind = result.columns[column]?.kind;
  return kind === 'number' || kind === 'time' ? ranges(result, column) : values(result, column);
}

function ranges(result: ResultSet, column: number): Profile {
  const rows = result.rowCount;
  const numbers = new Float64Array(rows);
  let [nulls, min, max, minRow, maxRow] = [0, Infinity, -Infinity, -1, -1];
  for (let row = 0; row < rows; row += 1) {
    const raw = result.order(column, row);
    const value = typeof raw === 'string' ? Date.parse(raw) : asNumber(raw);
    if (raw === null) nulls += 1;
    numbers[row] = value ?? Number.NaN;
    if (value === null || Number.isNaN(value)) continue;
    if (value < min) [min, minRow] = [value, row];
    if (value > max) [max, maxRow] = [value, row];
  }
  if (minRow < 0) return { nulls, rows };
  const bins = new Array<number>(BINS).fill(0);
  const width = (max - min) / BINS || 1;
  for (const value of numbers) {
    if (Number.isNaN(value)) continue;
    const bin = Math.min(BINS - 1, Math.floor((value - min) / width));
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  return { nulls, rows, bins, min: result.text(column, minRow) ?? '', max: result.text(column, maxRow) ?? '' };
}

function values(result: ResultSet, column: number): Profile {
  const rows = result.rowCount;
  const counts = new Map<string, number>();
  let nulls = 0;
  for (let row = 0; row < rows; row += 1) {
    const value = result.text(column, row);
    if (value === null) nulls += 1;
    else if (counts.size < DISTINCT_MAX || counts.has(value)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const top = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5).map(([value, count]) => ({ value, count }));
  return { nulls, rows, top, distinct: counts.size };
}

import type { ChartSpec, Series } from '@/components/chart/spec';
import * as format from '@/lib/format';
import { type ResultSet, asNumber } from '@/lib/result/result';

export type ChartKind = 'bar' | 'line' | 'scatter';

/** What of a result is drawn: one column across, some up. Kept in the URL. */
export interface ChartChoice {
  kind: ChartKind;
  x: number;
  y: number[];
}

export const POINTS_MAX = 5_000;
const SERIES_MAX = 6;

/** The chart a result asks for: time runs as a line, names stand as bars. */
export function suggested(result: ResultSet): ChartChoice | undefined {
  const of = (kind: string) => result.columns.flatMap((column, at) => (column.kind === kind ? [at] : []));
  const numbers = of('number');
  const x = of('time')[0] ?? of('text')[0] ?? of('bool')[0] ?? (numbers.length > 1 ? numbers[0] : undefined);
  const y = numbers.filter((column) => column !== x);
  if (x === undefined || y.length === 0) return undefined;
  const kind = result.columns[x]?.kind;
  // An id beside figures would squash them: it is a name in digits.
  const figures = y.filter((column) => !/(^|_)id$/i.test(result.columns[column]?.name ?? ''));
  return { kind: kind === 'time' ? 'line' : kind === 'number' ? 'scatter' : 'bar', x, y: (figures.length > 0 ? figures : y).slice(0, kind === 'number' ? 1 : 3) };
}

export function chartOf(result: ResultSet, choice: ChartChoice): ChartSpec {
  const column = result.columns[choice.x];
  const rows = Math.min(result.rowCount, POINTS_MAX);
  const axis: ChartSpec['x'] = choice.kind === 'bar' ? 'category' : column?.kind === 'time' ? 'time' : column?.kind === 'number' ? 'value' : 'category';
  const across = (row: number): number | string => {
    const text = result.text(choice.x, row) ?? 'NULL';
    if (axis === 'time') return Date.parse(text.includes(' ') ? text.replace(' ', 'T') : text);
    return axis === 'value' ? (asNumber(Number(text)) ?? 0) : text;
  };
  const order = Array.from({ length: rows }, (_, row) => row);
  if (axis !== 'category') order.sort((a, b) => Number(across(a)) - Number(across(b)));
  const series = choice.y.slice(0, SERIES_MAX).map((y): Series => ({
    name: result.columns[y]?.name ?? '',
    kind: choice.kind,
    points: order.map((row) => {
      const text = result.text(y, row);
      return [across(row), text === null ? null : asNumber(Number(text))];
    }),
  }));
  const first = series[0];
  return {
    x: axis,
    series,
    format: format.number,
    formatX: (value) => (axis === 'time' ? format.time(Number(value) * 1000) : typeof value === 'number' ? format.exact(value) : value),
    ...(column ? { xName: column.name } : {}),
    ...(series.length === 1 && first ? { yName: first.name } : {}),
  };
}

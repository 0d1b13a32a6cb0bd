import type { ChartSpec, Series } from '@/components/chart/spec';
import * as format from '@/lib/format';
import { type ResultSet, asNumber } from '@/lib/result/result';

export type ChartKind = 'bar' | 'line' | 'scatter';

/** What of a result is drawn: one column across, some up, and one whose values split the only figure into series. Kept in the URL. */
export interface ChartChoice {
  kind: ChartKind;
  x: number;
  y: number[];
  by?: number;
}

export const POINTS_MAX = 5_000;
const SERIES_MAX = 6;

/** The chart a result asks for: time runs as a line, names stand as bars, a second name splits the figure. */
export function suggested(result: ResultSet): ChartChoice | undefined {
  const of = (kind: string) => result.columns.flatMap((column, at) => (column.kind === kind ? [at] : []));
  const numbers = of('number');
  const x = of('time')[0] ?? of('text')[0] ?? of('bool')[0] ?? (numbers.length > 1 ? numbers[0] : undefined);
  const y = numbers.filter((column) => column !== x);
  if (x === undefined || y.length === 0) return undefined;
  const kind = result.columns[x]?.kind;
  // An id beside figures would squash them: it is a name in digits.
  const figures = y.filter((column) => !/(^|_)id$/i.test(result.columns[column]?.name ?? ''));
  const drawn = figures.length > 0 ? figures : y;
  const by = [...of('text'), ...of('bool')].find((column) => column !== x && distinct(result, column) <= SERIES_MAX);
  const shape = kind === 'time' ? 'line' : kind === 'number' ? 'scatter' : 'bar';
  if (by !== undefined && distinct(result, x) < result.rowCount) return { kind: shape, x, y: drawn.slice(-1), by };
  return { kind: shape, x, y: drawn.slice(0, kind === 'number' ? 1 : 3) };
}

/** How many values a column has among the rows that are drawn; stops counting where it no longer matters. */
function distinct(result: ResultSet, column: number): number {
  const seen = new Set<string | null>();
  for (let row = 0; row < Math.min(result.rowCount, POINTS_MAX); row += 1) seen.add(result.text(column, row));
  return seen.size;
}

export function chartOf(result: ResultSet, choice: ChartChoice): ChartSpec {
  const column = result.columns[choice.x];
  const axis: ChartSpec['x'] = choice.kind === 'bar' ? 'category' : column?.kind === 'time' ? 'time' : column?.kind === 'number' ? 'value' : 'category';
  const across = (row: number): number | string => {
    const text = result.text(choice.x, row) ?? 'NULL';
    if (axis === 'time') return Date.parse(text.includes(' ') ? text.replace(' ', 'T') : text);
    return axis === 'value' ? (asNumber(Number(text)) ?? 0) : text;
  };
  const rows = Array.from({ length: Math.min(result.rowCount, POINTS_MAX) }, (_, row) => row);
  if (axis !== 'category') rows.sort((a, b) => Number(across(a)) - Number(across(b)));
  const line = (name: string, y: number, of: number[]): Series => ({
    name,
    kind: choice.kind,
    points: of.map((row) => {
      const text = result.text(y, row);
      return [across(row), text === null ? null : asNumber(Number(text))];
    }),
  });
  const [figure] = choice.y;
  const series =
    choice.by !== undefined && figure !== undefined
      ? [...grouped(rows, (row) => result.text(choice.by ?? 0, row) ?? 'NULL')].slice(0, SERIES_MAX).map(([name, of]) => line(name, figure, of))
      : choice.y.slice(0, SERIES_MAX).map((y) => line(result.columns[y]?.name ?? '', y, rows));
  return {
    x: axis,
    series,
    format: format.number,
    formatX: (value) => (axis === 'time' ? format.time(Number(value) * 1000) : typeof value === 'number' ? format.exact(value) : value),
    ...(column ? { xName: column.name } : {}),
    ...(choice.y.length === 1 && figure !== undefined ? { yName: result.columns[figure]?.name ?? '' } : {}),
  };
}

function grouped(rows: number[], key: (row: number) => string): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const row of rows) {
    const name = key(row);
    const group = groups.get(name);
    if (group) group.push(row);
    else groups.set(name, [row]);
  }
  return groups;
}

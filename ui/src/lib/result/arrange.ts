import type { ResultSet } from './result';

export interface Sort {
  column: number;
  desc: boolean;
}

/** Filters by column position, as typed. */
export type Filters = Record<number, string>;

type Test = (text: string | null) => boolean;

/**
 * What a filter of one column means: `null`, `!null`, `>5`, `>= 5`, `<5`, `!=x`, `=x`, `5..9`; anything else is text that the value contains.
 * Numbers compare as numbers, everything else as text. Returns undefined for an empty filter.
 */
export function filterOf(typed: string, numeric: boolean): Test | undefined {
  const wanted = typed.trim();
  if (wanted === '') return undefined;
  if (/^(is )?null$/i.test(wanted)) return (text) => text === null;
  if (/^(!|not |is not )null$/i.test(wanted)) return (text) => text !== null;
  const compared = (text: string, other: string): number => {
    const [a, b] = numeric ? [Number(text), Number(other)] : [text, other];
    return a < b ? -1 : a > b ? 1 : 0;
  };
  const range = /^(\S+)\s*\.\.\s*(\S+)$/.exec(wanted);
  if (range?.[1] && range[2]) {
    const [, from, to] = range;
    return (text) => text !== null && compared(text, from) >= 0 && compared(text, to) <= 0;
  }
  const operator = /^(>=|<=|!=|<>|>|<|=)\s*(.+)$/.exec(wanted);
  if (operator?.[1] && operator[2]) {
    const [, sign, other] = operator;
    const holds: Record<string, (order: number) => boolean> = {
      '>': (order) => order > 0,
      '>=': (order) => order >= 0,
      '<': (order) => order < 0,
      '<=': (order) => order <= 0,
      '=': (order) => order === 0,
      '!=': (order) => order !== 0,
      '<>': (order) => order !== 0,
    };
    return (text) => text !== null && (holds[sign]?.(compared(text, other)) ?? false);
  }
  const needle = wanted.toLowerCase();
  return (text) => text !== null && text.toLowerCase().includes(needle);
}

/** The positions of the rows that pass the filters, in the order asked for; NULLs come last either way. Undefined means "all, as they came". */
export function arrange(result: ResultSet, sort: Sort | undefined, filters: Filters): Uint32Array | undefined {
  const tests = Object.entries(filters).flatMap(([at, typed]) => {
    const column = Number(at);
    const kind = result.columns[column]?.kind;
    const test = kind && filterOf(typed, kind === 'number');
    return test ? [{ column, test }] : [];
  });
  if (!sort && tests.length === 0) return undefined;

  let kept = 0;
  const rows = new Uint32Array(result.rowCount);
  for (let row = 0; row < result.rowCount; row += 1) {
    if (tests.every(({ column, test }) => test(result.text(column, row)))) {
      rows[kept] = row;
      kept += 1;
    }
  }
  const passed = rows.subarray(0, kept);
  return sort ? sorted(result, passed, sort) : passed;
}

function sorted(result: ResultSet, rows: Uint32Array, { column, desc }: Sort): Uint32Array {
  const keys = new Array<number | bigint | string | null>(result.rowCount);
  for (const row of rows) keys[row] = result.order(column, row);
  const sign = desc ? -1 : 1;
  return Uint32Array.from(rows).sort((a, b) => {
    const [x, y] = [keys[a] ?? null, keys[b] ?? null];
    if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
    if (x < y) return -sign;
    if (x > y) return sign;
    // NaN orders above every number, as in SQL.
    if (x !== y && (Number.isNaN(x) || Number.isNaN(y))) return Number.isNaN(x) ? (Number.isNaN(y) ? a - b : sign) : -sign;
    return a - b;
  });
}

import type { ResultSet } from '@/lib/result/result';

/** A cell by its place on screen: row in the shown order, column in the shown order. */
export interface Spot {
  row: number;
  at: number;
}
export interface Range {
  from: Spot;
  to: Spot;
}
export interface Area {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

export const rangeOf = ({ from, to }: Range): Area => ({
  top: Math.min(from.row, to.row),
  bottom: Math.max(from.row, to.row),
  left: Math.min(from.at, to.at),
  right: Math.max(from.at, to.at),
});

/** Where a key leads from a spot; undefined for keys that don't move. */
export function moved(from: Spot, key: string, mod: boolean, size: { rows: number; columns: number; page: number }): Spot | undefined {
  const [lastRow, lastColumn] = [size.rows - 1, size.columns - 1];
  const steps: Record<string, Spot> = {
    ArrowDown: { row: mod ? lastRow : from.row + 1, at: from.at },
    ArrowUp: { row: mod ? 0 : from.row - 1, at: from.at },
    ArrowRight: { row: from.row, at: mod ? lastColumn : from.at + 1 },
    ArrowLeft: { row: from.row, at: mod ? 0 : from.at - 1 },
    PageDown: { row: from.row + size.page, at: from.at },
    PageUp: { row: from.row - size.page, at: from.at },
    Home: { row: mod ? 0 : from.row, at: 0 },
    End: { row: mod ? lastRow : from.row, at: lastColumn },
  };
  const next = steps[key];
  return next && { row: Math.max(0, Math.min(lastRow, next.row)), at: Math.max(0, Math.min(lastColumn, next.at)) };
}

/** The cells of an area as spreadsheets take them; more than one cell brings the column names along. */
export function tsv(result: ResultSet, area: Area, rowAt: (index: number) => number, sequence: number[]): string {
  const columns = sequence.slice(area.left, area.right + 1);
  const lines: string[] = [];
  const single = area.top === area.bottom && area.left === area.right;
  if (!single) lines.push(columns.map((column) => field(result.columns[column]?.name ?? '')).join('\t'));
  for (let index = area.top; index <= area.bottom; index += 1) {
    const row = rowAt(index);
    lines.push(columns.map((column) => (single ? (result.text(column, row) ?? '') : field(result.text(column, row) ?? ''))).join('\t'));
  }
  return lines.join('\n');
}

const field = (text: string): string => (/[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

import type { SqlResponse } from '@/api/types';
import { type ResultColumn, type ResultSet, kindOfType } from './result';

/** A JSON answer as a result set. */
export class RowsResult implements ResultSet {
  readonly columns: ResultColumn[];
  readonly rowCount: number;

  constructor(private readonly answer: SqlResponse) {
    this.columns = answer.columns.map((column) => ({ name: column.name, type: column.type, kind: kindOfType(column.type) }));
    this.rowCount = answer.rows.length;
  }

  text(column: number, row: number): string | null {
    const value = this.answer.rows[row]?.[column];
    if (value === null || value === undefined) return null;
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  }

  order(column: number, row: number): number | string | null {
    const value = this.answer.rows[row]?.[column];
    if (typeof value === 'number') return value;
    if (typeof value === 'boolean') return value ? 1 : 0;
    const text = this.text(column, row);
    if (text === null || this.columns[column]?.kind !== 'number') return text;
    return Number(text);
  }
}

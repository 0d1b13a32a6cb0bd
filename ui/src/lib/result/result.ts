/** How a column's values behave: how they align, sort, filter and draw. */
export type Kind = 'number' | 'time' | 'bool' | 'text' | 'json' | 'binary';

export interface ResultColumn {
  name: string;
  /** The SQL type as people write it. */
  type: string;
  kind: Kind;
}

/** Rows of a query by position, whatever form they came in. A set never changes; a longer one replaces it. */
export interface ResultSet {
  readonly columns: ResultColumn[];
  readonly rowCount: number;
  /** The exact value as text; null for NULL. */
  text(column: number, row: number): string | null;
  /** Something that orders values of one column like SQL does; null for NULL. */
  order(column: number, row: number): number | bigint | string | null;
}

/** A value for a chart: text and times as they are ordered, numbers as numbers. */
export function asNumber(value: number | bigint | string | null): number | null {
  if (value === null) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** What the SQL type of a JSON result says about its column. */
export function kindOfType(type: string): Kind {
  const name = type.toLowerCase();
  if (name.endsWith('[]') || /^(json|struct|map|list|array|row)/.test(name)) return 'json';
  if (/^(small|big)?int|^(integer|numeric|decimal|real|double|float|u?int\d|oid)/.test(name)) return name.startsWith('interval') ? 'text' : 'number';
  if (/^(timestamp|date)/.test(name)) return 'time';
  if (name.startsWith('bool')) return 'bool';
  if (/^(bytea|binary|varbinary)/.test(name)) return 'binary';
  return 'text';
}

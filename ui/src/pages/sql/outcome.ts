import type { ResultSet } from '@/lib/result/result';
import { changesData } from '@/lib/statements';
import * as format from '@/lib/format';

/** What a statement that changes something did. */
export interface Outcome {
  /** `UPDATE`, `CREATE TABLE`, … */
  command: string;
  /** Rows that it changed; null where it is not about rows. */
  rows: number | null;
}

/** Reads the one row, `command` and `rows`, that a change is answered with; undefined for every other result. */
export function outcomeOf(query: string, result: ResultSet): Outcome | undefined {
  const [command, rows] = result.columns;
  if (result.rowCount !== 1 || result.columns.length !== 2 || command?.name !== 'command' || rows?.name !== 'rows' || !changesData(query)) return undefined;
  const count = result.text(1, 0);
  return { command: result.text(0, 0) ?? '', rows: count === null ? null : Number(count) };
}

const ROWS: Record<string, string> = { INSERT: 'inserted', UPDATE: 'updated', DELETE: 'deleted', MERGE: 'changed', COPY: 'inserted' };
const PAST: Record<string, string> = { CREATE: 'created', DROP: 'dropped', ALTER: 'changed' };

/** The outcome as a headline: `3 rows updated`, `Table created`. */
export function headlineOf({ command, rows }: Outcome): string {
  const [verb = '', ...what] = command.split(' ');
  const done = ROWS[verb];
  if (done !== undefined && rows === 0) return `No row ${done}`;
  if (done !== undefined && rows !== null) return `${format.exact(rows)} ${rows === 1 ? 'row' : 'rows'} ${done}`;
  // CREATE TABLE … AS is told by what it selected.
  if (verb === 'SELECT') return `Table created with ${format.exact(rows ?? 0)} ${rows === 1 ? 'row' : 'rows'}`;
  if (verb === 'TRUNCATE') return 'Table emptied';
  if (verb === 'COMMENT') return 'Comment kept';
  const past = PAST[verb];
  return past && what.length > 0 ? `${format.sentence(what.join(' ').toLowerCase())} ${past}` : `${format.sentence(command.toLowerCase())}: done`;
}

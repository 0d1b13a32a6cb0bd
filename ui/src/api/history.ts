import type { QueryRun } from './types';

/** Statements that this browser ran. The server's list is short and shared with models, and it doesn't tell the text of every change. */
export type Kept = Pick<QueryRun, 'id' | 'query' | 'state' | 'started_us' | 'elapsed_ms' | 'rows'>;

const KEY = 'lakebox.sql.history';
const KEPT_MAX = 100;
/** Longer texts would fill the browser's store; the server's list has their beginning. */
const TEXT_MAX = 20_000;

export function kept(): Kept[] {
  try {
    const parsed: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return (Array.isArray(parsed) ? parsed : []).filter((run: Partial<Kept> | null): run is Kept => typeof run?.id === 'string' && typeof run.query === 'string' && typeof run.started_us === 'number');
  } catch {
    return [];
  }
}

/** Keeps a run, or what became of it. */
export function keep(run: Kept): void {
  if (run.query.length > TEXT_MAX) return;
  const others = kept().filter((each) => each.id !== run.id);
  try {
    localStorage.setItem(KEY, JSON.stringify([run, ...others].slice(0, KEPT_MAX)));
  } catch {
    // The store is full or forbidden: the server's list remains.
  }
}

/** The row that a change is answered with, as the server's list has it. */
const ECHO = /^SELECT '([A-Z ]+)' AS command, CAST\((\d+|NULL) AS bigint\) AS rows$/;

/** Whether a listed statement stands for the answer of a change that was made. */
export const isEcho = (query: string): boolean => ECHO.test(query);

/** Statements by id, newest first: a change is listed once, and with the text that this browser sent, where it did. */
export function listed(runs: QueryRun[], mine: Kept[]): QueryRun[] {
  const byId = new Map<string, QueryRun>();
  for (const run of runs) {
    const same = byId.get(run.id);
    byId.set(run.id, same ? together(same, run) : run);
  }
  for (const own of mine) {
    const run = byId.get(own.id);
    // One that still ran when the page was left has ended since; how, nobody knows.
    if (run) byId.set(own.id, { ...run, query: own.query, client: 'http', rows: own.rows ? own.rows : run.rows });
    else if (own.state !== 'running') byId.set(own.id, { ...own, client: 'http', bytes_scanned: 0, cost_usd: 0 });
  }
  return [...byId.values()].sort((a, b) => b.started_us - a.started_us);
}

/** The work of a change and its answer as one. */
function together(a: QueryRun, b: QueryRun): QueryRun {
  const [echo, work] = isEcho(a.query) ? [a, b] : [b, a];
  return { ...work, client: echo.client, started_us: Math.min(a.started_us, b.started_us), elapsed_ms: Math.max(a.elapsed_ms, b.elapsed_ms), bytes_scanned: Math.max(a.bytes_scanned, b.bytes_scanned), cost_usd: Math.max(a.cost_usd ?? 0, b.cost_usd ?? 0) };
}

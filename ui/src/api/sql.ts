import { RecordBatchReader, type RecordBatch } from 'apache-arrow';
import { ArrowResult } from '@/lib/result/arrow';
import type { ResultSet } from '@/lib/result/result';
import { RowsResult } from '@/lib/result/rows';
import { ApiError, call, json } from './client';
import { changesData } from '@/lib/statements';
import { isEcho, listed } from './history';
import type { AsOf, QueryRun, SqlEstimate, SqlResponse } from './types';

export const ARROW = 'application/vnd.apache.arrow.stream';
/** How often a growing result is handed on while it streams. */
const HAND_ON_MS = 120;

export interface Answer {
  result: ResultSet;
  /** Whether `maxRows` cut it. */
  truncated: boolean;
  asOf: AsOf[];
  /** Bytes that came over the wire; absent where the answer was JSON. */
  received?: number;
  /** From asking to here, in milliseconds. */
  elapsedMs: number;
}

export interface Asked {
  query: string;
  /** By which it can be cancelled. */
  id: string;
  maxRows: number;
  signal: AbortSignal;
  /** Called with what is here so far. */
  onProgress?: (answer: Answer) => void;
}

/**
 * Runs one statement and streams its rows. One more row than `maxRows` is asked for, so that a cut is noticed. If this browser can't read the
 * Arrow form of a result, it is asked for once more as JSON, unless the statement changes something.
 */
export async function runSql(asked: Asked): Promise<Answer> {
  const response = await call('/sql', {
    method: 'POST',
    accept: ARROW,
    signal: asked.signal,
    body: { query: asked.query, id: asked.id, max_rows: asked.maxRows + 1 },
  });
  const type = response.headers.get('content-type') ?? '';
  if (!type.includes('arrow')) return fromJson(asked, (await response.json()) as SqlResponse);
  try {
    return await readArrow(asked, response);
  } catch (cause) {
    if (asked.signal.aborted || cause instanceof ApiError) throw cause;
    if (changesData(asked.query)) throw await brokenOff(asked.id, cause);
    if (cause instanceof TypeError && /network|fetch|body stream|terminated/i.test(cause.message)) throw await brokenOff(asked.id, cause);
    const answer = await json<SqlResponse>('/sql', { method: 'POST', signal: asked.signal, body: { query: asked.query, max_rows: asked.maxRows + 1 } });
    return fromJson(asked, answer);
  }
}

/** What a statement would read at most; nothing of it is run. */
export async function estimateSql(query: string, signal: AbortSignal): Promise<SqlEstimate | undefined> {
  const answer = await json<SqlResponse>('/sql', { method: 'POST', signal, body: { query, dry_run: true } });
  return answer.estimate ?? undefined;
}

async function readArrow(asked: Asked, response: Response): Promise<Answer> {
  const started = performance.now();
  const asOf = readAsOf(response.headers.get('x-lakebox-as-of'));
  let received = 0;
  if (!response.body) throw new TypeError('the answer has no body stream');
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, out) {
        received += chunk.byteLength;
        out.enqueue(chunk);
      },
    }),
  );
  const reader = await RecordBatchReader.from(counted);
  await reader.open();
  let result = ArrowResult.empty(reader.schema);
  let waiting: RecordBatch[] = [];
  let handedOn = started;
  const answer = (): Answer => {
    const truncated = result.rowCount > asked.maxRows;
    return { result: truncated ? result.take(asked.maxRows) : result, truncated, asOf, received, elapsedMs: performance.now() - started };
  };
  for await (const batch of reader as AsyncIterable<RecordBatch>) {
    waiting.push(batch);
    if (performance.now() - handedOn < HAND_ON_MS) continue;
    result = result.with(waiting);
    waiting = [];
    handedOn = performance.now();
    asked.onProgress?.(answer());
  }
  result = result.with(waiting);
  return answer();
}

function fromJson(asked: Asked, body: SqlResponse): Answer {
  const truncated = body.truncated === true || body.rows.length > asked.maxRows;
  const rows = body.rows.slice(0, asked.maxRows);
  return { result: new RowsResult({ ...body, rows }), truncated, asOf: body.as_of ?? [], elapsedMs: body.elapsed_ms };
}

/** The header names each source and its cursor: `shop=0/16B3748,demo=42`. A cursor may hold commas and equal signs of its own. */
export function readAsOf(header: string | null): AsOf[] {
  return (header ?? '')
    .split(/,(?=[\w-]+=)/)
    .filter((part) => part.includes('='))
    .map((part) => ({ source: part.slice(0, part.indexOf('=')).trim(), cursor: part.slice(part.indexOf('=') + 1) }));
}

/** Why a stream ended before its end: the server's list of queries knows. */
async function brokenOff(id: string, cause: unknown): Promise<ApiError> {
  const run = await factsOf(id).catch(() => undefined);
  const detail = run?.error ?? 'The connection ended before the last row.';
  return new ApiError({ type: 'about:blank', title: 'The result broke off', status: 0, code: 'sql.broken_off', detail, hint: 'Run it again.' }, { cause });
}

/** What the server counted for a query: elapsed time, bytes read. `made`: it was a change, and it took place, whatever became of the answer. */
export async function factsOf(id: string): Promise<(QueryRun & { made: boolean }) | undefined> {
  const runs = (await json<QueryRun[]>('/queries?limit=200')).filter((run) => run.id === id);
  const [facts] = listed(runs, []);
  return facts && { ...facts, made: runs.some((run) => isEcho(run.query) || (run.state === 'done' && changesData(run.query))) };
}

/** The whole result as CSV, without the limit of the grid. */
export async function downloadCsv(query: string, signal?: AbortSignal): Promise<Blob> {
  const response = await call('/sql', { method: 'POST', accept: 'text/csv', body: { query }, signal });
  return response.blob();
}

import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { keep } from '@/api/history';
import { actions, schema, tables } from '@/api/queries';
import { type Answer, factsOf, runSql } from '@/api/sql';
import type { Problem, QueryRun } from '@/api/types';
import { changesData } from '@/lib/statements';
import { outcomeOf } from './outcome';

/** What became of the last statement of a tab. */
export interface Run {
  id: string;
  query: string;
  /** Where the statement began in the tab's text. */
  offset: number;
  startedMs: number;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  answer?: Answer;
  problem?: Problem;
  /** What the server counted. */
  facts?: QueryRun;
  /** It changes something, and was made although it failed or was cancelled: only its answer is missing. */
  made?: boolean;
  /** How long it took, as seen from here. */
  elapsedMs?: number;
}

/** Runs statements, one at a time for each tab; results stay when one looks at another tab. */
export function useRuns(maxRows: number) {
  const [runs, setRuns] = useState<Record<string, Run>>({});
  const stops = useRef(new Map<string, AbortController>());
  const cache = useQueryClient();

  useEffect(() => {
    const open = stops.current;
    return () => open.forEach((stop) => stop.abort());
  }, []);

  const update = useCallback((tab: string, id: string, part: Partial<Run>) => {
    setRuns((old) => (old[tab]?.id === id ? { ...old, [tab]: { ...old[tab], ...part } } : old));
  }, []);

  const run = useCallback(
    async (tab: string, query: string, offset: number) => {
      stops.current.get(tab)?.abort();
      const stop = new AbortController();
      stops.current.set(tab, stop);
      const id = crypto.randomUUID();
      const startedMs = Date.now();
      const changes = changesData(query);
      const kept = { id, query, state: 'running', started_us: startedMs * 1000, elapsed_ms: 0, rows: 0 };
      keep(kept);
      setRuns((old) => ({ ...old, [tab]: { id, query, offset, startedMs, state: 'running' } }));
      let state: Run['state'] = 'done';
      let rows = 0;
      try {
        const answer = await runSql({ query, id, maxRows, signal: stop.signal, onProgress: (part) => update(tab, id, { answer: part }) });
        rows = outcomeOf(query, answer.result)?.rows ?? answer.result.rowCount;
        update(tab, id, { state, answer, elapsedMs: Date.now() - startedMs });
      } catch (error) {
        state = stop.signal.aborted ? 'cancelled' : 'failed';
        update(tab, id, { state, ...(state === 'failed' ? { problem: problemOf(error) } : {}), elapsedMs: Date.now() - startedMs });
      }
      keep({ ...kept, state, rows, elapsed_ms: Date.now() - startedMs });
      void cache.invalidateQueries({ queryKey: ['queries'] });
      // What was made or dropped appears at once in the lists beside it.
      if (changes) for (const { queryKey } of [schema, tables]) void cache.invalidateQueries({ queryKey });
      const found = await factsOf(id).catch(() => undefined);
      if (!found) return;
      const { made, ...facts } = found;
      update(tab, id, { facts, ...(changes && made && state !== 'done' ? { made } : {}) });
    },
    [cache, maxRows, update],
  );

  const cancel = useCallback(
    (tab: string) => {
      const running = runs[tab];
      if (running?.state !== 'running') return;
      // The server is told first: closing the connection alone may leave it computing.
      void actions.cancelQuery(running.id).catch(() => undefined);
      stops.current.get(tab)?.abort();
    },
    [runs],
  );

  return { runs, run, cancel };
}

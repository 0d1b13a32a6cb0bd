import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { problemOf } from '@/api/client';
import { actions } from '@/api/queries';
import { type Answer, factsOf, runSql } from '@/api/sql';
import type { Problem, QueryRun } from '@/api/types';

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
      setRuns((old) => ({ ...old, [tab]: { id, query, offset, startedMs, state: 'running' } }));
      try {
        const answer = await runSql({ query, id, maxRows, signal: stop.signal, onProgress: (part) => update(tab, id, { answer: part }) });
        update(tab, id, { state: 'done', answer, elapsedMs: Date.now() - startedMs });
      } catch (error) {
        const elapsedMs = Date.now() - startedMs;
        if (stop.signal.aborted) update(tab, id, { state: 'cancelled', elapsedMs });
        else update(tab, id, { state: 'failed', problem: problemOf(error), elapsedMs });
      }
      void cache.invalidateQueries({ queryKey: ['queries'] });
      const facts = await factsOf(id).catch(() => undefined);
      if (facts) update(tab, id, { facts });
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

import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { listed } from '@/api/history';
import { queryRuns } from '@/api/queries';
import type { QueryRun } from '@/api/types';
import type { Run } from './use-runs';

/** Most statements are answered before anybody has to ask where they are. */
const PATIENCE_MS = 400;
const AGAIN_MS = 1_000;
/** More than can wait (128) and run at once. */
const SEEN = 200;

/** A statement's place among those that wait. */
export interface Place {
  /** From 1. */
  position: number;
  /** How many wait. */
  waiting: number;
  /** What runs meanwhile, the longest first. */
  running: QueryRun[];
}

/** Where a run waits; undefined once it works, and while nobody knows. */
export function useQueue(run: Run | undefined): Place | undefined {
  const asking = run?.state === 'running' && !run.answer ? run.id : undefined;
  const [late, setLate] = useState<string>();
  useEffect(() => {
    if (!asking) return undefined;
    const timer = setTimeout(() => setLate(asking), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [asking]);
  const enabled = asking !== undefined && late === asking;
  const { data } = useQuery({ ...queryRuns(SEEN), enabled, refetchInterval: enabled ? AGAIN_MS : false });
  if (!enabled || !data) return undefined;
  const all = listed(data, []);
  const position = all.find((each) => each.id === asking && each.state === 'waiting')?.queue_position;
  if (position == null) return undefined;
  return { position, waiting: all.filter((each) => each.state === 'waiting').length, running: all.filter((each) => each.state === 'running').reverse() };
}

import type { QueryClient } from '@tanstack/react-query';
import { overview, pipelines } from './queries';
import type { Overview, Pipeline } from './types';

/** How the page hears from the server. `since` is when the connection was lost, in milliseconds. */
export type LiveState = { kind: 'connecting' } | { kind: 'live' } | { kind: 'dropped'; since: number };

const POINTS_MAX = 600;
const RETRY_MS = [500, 1_000, 2_000, 5_000];
/** The server speaks about once a second; this long without a word means that the line is dead even if nobody closed it. */
const SILENCE_MS = 8_000;

/**
 * Feeds the query cache from `GET /api/v1/events`, and says whether the values are live. One per page, opened by the frame.
 */
export class Live {
  private state: LiveState = { kind: 'connecting' };
  private readonly listeners = new Set<() => void>();
  private source: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  constructor(private readonly cache: QueryClient) {}

  readonly current = (): LiveState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly open = (): void => {
    this.close();
    const source = new EventSource('/api/v1/events');
    this.source = source;
    source.addEventListener('overview', (event: MessageEvent<string>) => {
      this.heard();
      const next = JSON.parse(event.data) as Overview;
      // Events carry the newest point only: the ten minutes before it have to be asked for once.
      if (!this.cache.getQueryData(overview.queryKey)) void this.cache.prefetchQuery(overview);
      else this.cache.setQueryData(overview.queryKey, (old) => old && { ...next, throughput: appended(old.throughput, next.throughput) });
    });
    source.addEventListener('pipelines', (event: MessageEvent<string>) => {
      this.heard();
      this.cache.setQueryData(pipelines.queryKey, JSON.parse(event.data) as Pipeline[]);
    });
    source.onerror = () => this.drop();
    this.silence = setTimeout(() => this.drop(), SILENCE_MS);
  };

  readonly close = (): void => {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = undefined;
  };

  private heard(): void {
    this.failures = 0;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.drop(), SILENCE_MS);
    if (this.state.kind === 'live') return;
    const back = this.state.kind === 'dropped';
    this.set({ kind: 'live' });
    // Whatever happened while nobody listened is asked for once.
    if (back) {
      void this.cache.invalidateQueries();
      void this.cache.prefetchQuery({ ...overview, staleTime: 0 });
    }
  }

  private drop(): void {
    this.close();
    if (this.state.kind !== 'dropped') this.set({ kind: 'dropped', since: Date.now() });
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 5_000;
    this.failures += 1;
    this.timer = setTimeout(this.open, wait);
  }

  private set(state: LiveState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

/** The points so far and the newer ones, oldest first, at most ten minutes of them. */
export function appended<T extends { at_us: number }>(old: T[], next: T[]): T[] {
  const last = old.at(-1)?.at_us ?? -Infinity;
  const fresh = next.filter((point) => point.at_us >= last);
  if (fresh.length === 0) return old;
  // A second that was sent before it was over comes again with what it held in the end.
  return [...(fresh[0]?.at_us === last ? old.slice(0, -1) : old), ...fresh].slice(-POINTS_MAX);
}

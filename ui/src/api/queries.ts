import { queryOptions } from '@tanstack/react-query';
import { call, json } from './client';
import type {
  About,
  Crawler,
  Advices,
  AppliedLayout,
  DeadLetter,
  Model,
  ModelRun,
  Overview,
  Pipeline,
  QueryRun,
  SavedQuery,
  SchemaTree,
  TableDetail,
  TableFile,
  TableSnapshot,
  TableSummary,
  Throughput,
  Transform,
  Upkeep,
  UpkeepAnswer,
  UpkeepRun,
  Upload,
} from './types';

/** Every resource of the API: its cache key, its path and how often it is asked again. Live ones are fed by server-sent events instead. */
const enc = encodeURIComponent;
const SLOW = 10_000;
const BRISK = 4_000;

export const overview = queryOptions({ queryKey: ['overview'], queryFn: ({ signal }) => json<Overview>('/overview', { signal }) });
export const pipelines = queryOptions({ queryKey: ['pipelines'], queryFn: ({ signal }) => json<Pipeline[]>('/pipelines', { signal }) });

export const throughput = (name: string) =>
  queryOptions({
    queryKey: ['throughput', name],
    queryFn: ({ signal }) => json<Throughput>(`/pipelines/${enc(name)}/throughput`, { signal }),
    refetchInterval: 2_000,
  });

export const tables = queryOptions({
  queryKey: ['tables'],
  queryFn: ({ signal }) => json<TableSummary[]>('/tables', { signal }),
  refetchInterval: BRISK,
});

const tablePath = (layer: string, name: string) => `/tables/${enc(layer)}/${enc(name)}`;
export const table = (layer: string, name: string) =>
  queryOptions({
    queryKey: ['table', layer, name],
    queryFn: ({ signal }) => json<TableDetail>(tablePath(layer, name), { signal }),
    refetchInterval: BRISK,
  });
export const tableSnapshots = (layer: string, name: string) =>
  queryOptions({
    queryKey: ['table', layer, name, 'snapshots'],
    queryFn: ({ signal }) => json<TableSnapshot[]>(`${tablePath(layer, name)}/snapshots`, { signal }),
    refetchInterval: SLOW,
  });
export const tableFiles = (layer: string, name: string) =>
  queryOptions({
    queryKey: ['table', layer, name, 'files'],
    queryFn: ({ signal }) => json<TableFile[]>(`${tablePath(layer, name)}/files`, { signal }),
    refetchInterval: SLOW,
  });

export const tableUpkeep = (layer: string, name: string) =>
  queryOptions({
    queryKey: ['table', layer, name, 'upkeep'],
    queryFn: ({ signal }) => json<UpkeepRun[]>(`${tablePath(layer, name)}/upkeep`, { signal }),
    refetchInterval: BRISK,
  });
export const upkeep = queryOptions({
  queryKey: ['upkeep'],
  queryFn: ({ signal }) => json<Upkeep>('/upkeep', { signal }),
  refetchInterval: BRISK,
});

export const advice = queryOptions({
  queryKey: ['advice'],
  queryFn: ({ signal }) => json<Advices>('/advice', { signal }),
  refetchInterval: SLOW,
});

export const transforms = queryOptions({
  queryKey: ['transforms'],
  queryFn: ({ signal }) => json<Transform[]>('/transforms', { signal }),
  refetchInterval: BRISK,
});

export interface DeadLetterFilter {
  transform: string;
  source: string;
  limit: number;
}
export const deadLetters = ({ transform, source, limit }: DeadLetterFilter) =>
  queryOptions({
    queryKey: ['dead-letters', transform, source, limit],
    queryFn: ({ signal }) => {
      const search = new URLSearchParams({ limit: String(limit) });
      if (transform) search.set('transform', transform);
      if (source) search.set('source', source);
      return json<DeadLetter[]>(`/dead-letters?${search}`, { signal });
    },
    refetchInterval: SLOW,
  });

export const models = queryOptions({
  queryKey: ['models'],
  queryFn: ({ signal }) => json<Model[]>('/models', { signal }),
  refetchInterval: BRISK,
});
export const modelRuns = (name: string) =>
  queryOptions({
    queryKey: ['models', name, 'runs'],
    queryFn: ({ signal }) => json<ModelRun[]>(`/models/${enc(name)}/runs`, { signal }),
    refetchInterval: BRISK,
  });

export const crawlers = queryOptions({
  queryKey: ['crawlers'],
  queryFn: ({ signal }) => json<Crawler[]>('/crawlers', { signal }),
  refetchInterval: BRISK,
});
export const uploads = queryOptions({
  queryKey: ['uploads'],
  queryFn: ({ signal }) => json<Upload[]>('/uploads', { signal }),
  refetchInterval: 30_000,
});

export const schema = queryOptions({
  queryKey: ['schema'],
  queryFn: ({ signal }) => json<SchemaTree>('/schema', { signal }),
  staleTime: SLOW,
  refetchInterval: 30_000,
});
export const savedQueries = queryOptions({
  queryKey: ['saved-queries'],
  queryFn: ({ signal }) => json<SavedQuery[]>('/saved-queries', { signal }),
});
/** The newest of what waits, runs and ran, models included. */
export const queryRuns = (limit: number) =>
  queryOptions({
    queryKey: ['queries', limit],
    queryFn: ({ signal }) => json<QueryRun[]>(`/queries?limit=${limit}`, { signal }),
    refetchInterval: SLOW,
  });
export const about = queryOptions({ queryKey: ['about'], queryFn: ({ signal }) => json<About>('/about', { signal }), staleTime: Infinity });

/** What a person can make the server do. Each resolves when the server has taken it on. */
export const actions = {
  pause: (name: string) => json<void>(`/pipelines/${enc(name)}/pause`, { method: 'POST' }),
  resume: (name: string) => json<void>(`/pipelines/${enc(name)}/resume`, { method: 'POST' }),
  resync: (name: string) => json<void>(`/pipelines/${enc(name)}/resync`, { method: 'POST' }),
  runModel: (name: string) => json<void>(`/models/${enc(name)}/run`, { method: 'POST' }),
  upkeep: (table: string) => json<UpkeepAnswer>('/upkeep', { method: 'POST', body: { table, steps: [], wait: false } }),
  crawl: (name: string) => json<Crawler>(`/crawlers/${enc(name)}/run`, { method: 'POST', body: { wait: false } }),
  deleteUpload: (name: string) => json<void>(`/uploads/${enc(name)}`, { method: 'DELETE' }),
  applyAdvice: (id: string) => json<AppliedLayout>(`/advice/${enc(id)}/apply`, { method: 'POST' }),
  takeLayoutBack: (layer: string, name: string) => json<void>(`${tablePath(layer, name)}/layout`, { method: 'DELETE' }),
  cancelQuery: (id: string) => call(`/queries/${enc(id)}`, { method: 'DELETE' }),
  saveQuery: (query: Pick<SavedQuery, 'name' | 'query'>) =>
    json<SavedQuery>('/saved-queries', { method: 'POST', body: { ...query, id: '', updated_us: 0 } }),
  updateQuery: (query: SavedQuery) => json<SavedQuery>(`/saved-queries/${enc(query.id)}`, { method: 'PUT', body: query }),
  deleteQuery: (id: string) => json<void>(`/saved-queries/${enc(id)}`, { method: 'DELETE' }),
};

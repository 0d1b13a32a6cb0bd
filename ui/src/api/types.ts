/**
 * The bodies of the HTTP API, named as the server names them. `npm run gen:types` writes the same from `openapi.json`.
 * Times are microseconds since 1970 in UTC (`…_us`, `…_at`), durations milliseconds (`…_ms`).
 */

type Maybe<T> = T | null | undefined;

export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  hint?: Maybe<string>;
  line?: Maybe<number>;
  column?: Maybe<number>;
}

export interface Overview {
  health: string;
  issues: Issue[];
  layers: LayerHealth[];
  rows_per_s: number;
  rows_total: number;
  throughput: ThroughputPoint[];
  pipelines: StateCount[];
  storage: Storage;
  process: Process;
  at_us: number;
}

export interface Issue {
  severity: string;
  about: string;
  name: string;
  message: string;
  hint?: Maybe<string>;
  since_us: number;
}

export interface LayerHealth {
  layer: string;
  tables: number;
  rows: number;
  bytes: number;
  freshness_ms?: Maybe<number>;
  failing: number;
}

export interface StateCount {
  state: string;
  count: number;
}

export interface Storage {
  warehouse: string;
  bytes: number;
  files: number;
  requests: number;
  disk_free_bytes?: Maybe<number>;
}

export interface Process {
  version: string;
  started_us: number;
  memory_bytes: number;
  cpu_s: number;
  queries_running: number;
}

export interface About {
  version: string;
  license: string;
  pgwire: string;
  warehouse: string;
  config_path?: Maybe<string>;
  demo: boolean;
}

export interface Pipeline {
  name: string;
  source: string;
  state: string;
  cursor?: Maybe<string>;
  head?: Maybe<string>;
  lag_bytes?: Maybe<number>;
  lag_ms?: Maybe<number>;
  rows_total: number;
  rows_per_s: number;
  last_commit_at?: Maybe<number>;
  last_commit_ms?: Maybe<number>;
  last_error?: Maybe<FlowError>;
  snapshot?: Maybe<Snapshot>;
  tables: PipelineTable[];
  transforms: string[];
  dead_letters: number;
  restarts: number;
}

export interface FlowError {
  code: string;
  message: string;
  hint?: Maybe<string>;
  at_us: number;
  retry_at_us?: Maybe<number>;
}

export interface Snapshot {
  tables_total: number;
  tables_done: number;
  rows_done: number;
  rows_estimate?: Maybe<number>;
  bytes_done: number;
}

export interface PipelineTable {
  source_table: string;
  lake_name: string;
  state: string;
  rows: number;
  mode: string;
  error?: Maybe<string>;
}

export interface Throughput {
  points: ThroughputPoint[];
}

export interface ThroughputPoint {
  at_us: number;
  rows: number;
  bytes: number;
  lag_ms?: Maybe<number>;
}

export interface Transform {
  name: string;
  path: string;
  description: string;
  version: string;
  hash: string;
  state: string;
  error?: Maybe<string>;
  memory_bytes_max: number;
  batch_ms_max: number;
  on_error: string;
  config: unknown;
  used_by: string[];
  rows_in: number;
  rows_out: number;
  dead: number;
  traps: number;
  ns_per_row: number;
}

export interface DeadLetter {
  source: string;
  table: string;
  transform: string;
  plugin_version: string;
  error: string;
  position: string;
  op: string;
  row: string;
  commit_ts_us?: Maybe<number>;
}

export interface Model {
  name: string;
  description: string;
  sql: string;
  schedule: string;
  state: string;
  last_run?: Maybe<ModelRun>;
  next_run_us?: Maybe<number>;
  upstream: string[];
  sort_order: string;
  rows: number;
}

export interface ModelRun {
  id: string;
  model: string;
  started_us: number;
  elapsed_ms: number;
  state: string;
  rows: number;
  error?: Maybe<string>;
  trigger: string;
  as_of?: AsOf[];
}

export interface SqlRequest {
  query: string;
  params?: unknown[];
  id?: string;
  max_rows?: number;
  timeout_ms?: number;
}

export interface SqlColumn {
  name: string;
  type: string;
}

export interface SqlResponse {
  columns: SqlColumn[];
  rows: unknown[][];
  row_count: number;
  truncated?: boolean;
  elapsed_ms: number;
  bytes_scanned: number;
  query_id: string;
  as_of?: AsOf[];
}

export interface AsOf {
  source: string;
  cursor: string;
  commit_ts_us?: Maybe<number>;
}

export interface QueryRun {
  id: string;
  query: string;
  state: string;
  client: string;
  started_us: number;
  elapsed_ms: number;
  rows: number;
  bytes_scanned: number;
  error?: Maybe<string>;
}

export interface SchemaTree {
  tables: SchemaTable[];
  functions: string[];
}

export interface SchemaTable {
  layer: string;
  name: string;
  columns: SqlColumn[];
}

export interface SavedQuery {
  id: string;
  name: string;
  query: string;
  updated_us: number;
}

export interface TableSummary {
  layer: string;
  name: string;
  writer?: Maybe<string>;
  rows: number;
  bytes: number;
  files: number;
  hot_rows: number;
  last_commit_us?: Maybe<number>;
  error?: Maybe<string>;
}

export interface TableDetail extends TableSummary {
  location: string;
  metadata_location: string;
  format_version: number;
  columns: TableColumn[];
  key: string[];
  sort_order: string;
  cursor?: Maybe<string>;
  deleted_rows: number;
  delete_bytes: number;
  upstream: string[];
  downstream: string[];
  properties: Property[];
}

export interface Property {
  name: string;
  value: string;
}

export interface TableColumn {
  id: number;
  name: string;
  type: string;
  required: boolean;
  doc?: Maybe<string>;
}

export interface TableSnapshot {
  id: string;
  at_us: number;
  operation: string;
  added_rows: number;
  deleted_rows: number;
  added_files: number;
  added_bytes: number;
  total_rows: number;
  cursor?: Maybe<string>;
  current: boolean;
}

export interface TableFile {
  path: string;
  content: string;
  rows: number;
  deleted_rows: number;
  bytes: number;
  sequence: number;
}

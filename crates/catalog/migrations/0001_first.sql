-- One text for SQLite and PostgreSQL: only bigint, text and plain keys.
-- Times are microseconds since 1970 in UTC. JSON is kept as text.

create table lake_tables (
  layer text not null,
  name text not null,
  metadata_location text not null,
  writer text,
  created_us bigint not null,
  updated_us bigint not null,
  primary key (layer, name)
);

-- A forgotten cursor keeps its row, so that its version never comes back and its rows stay counted.
create table cursors (
  source text not null primary key,
  cursor_json text,
  version bigint not null,
  rows_total bigint not null,
  updated_us bigint not null
);

create table pipelines (
  source text not null primary key,
  desired text not null check (desired in ('running', 'paused')),
  updated_us bigint not null
);

create table model_states (
  model text not null primary key,
  fingerprint text not null,
  inputs_json text not null,
  updated_us bigint not null
);

create table model_runs (
  id text not null primary key,
  model text not null,
  started_us bigint not null,
  finished_us bigint,
  state text not null check (state in ('running', 'ok', 'failed')),
  rows bigint not null,
  error text,
  started_by text not null,
  as_of_json text not null
);

create index model_runs_newest on model_runs (model, started_us, id);

create table saved_queries (
  id text not null primary key,
  name text not null,
  query text not null,
  created_us bigint not null,
  updated_us bigint not null
);

create table settings (
  name text not null primary key,
  value_json text not null,
  updated_us bigint not null
);

-- What upkeep did to tables: one row for each step that did something or failed.
create table upkeep_runs (
  id text not null primary key,
  layer text not null,
  name text not null,
  step text not null,
  started_us bigint not null,
  finished_us bigint not null,
  asked bigint not null,
  files_before bigint not null,
  files_after bigint not null,
  bytes_before bigint not null,
  bytes_after bigint not null,
  rows bigint not null,
  deleted_rows bigint not null,
  snapshots bigint not null,
  error text
);

create index upkeep_runs_newest on upkeep_runs (started_us, id);
create index upkeep_runs_of_table on upkeep_runs (layer, name, started_us, id);

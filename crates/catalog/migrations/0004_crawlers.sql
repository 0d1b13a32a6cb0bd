-- What crawlers found: the last crawl of each, and every change of columns that was seen.
create table crawls (
  crawler text not null primary key,
  started_us bigint not null,
  finished_us bigint not null,
  tables text not null,
  error text,
  hint text
);

create table crawl_drift (
  id text not null primary key,
  crawler text not null,
  name text not null,
  kind text not null,
  column_name text not null,
  was text,
  becomes text,
  file text,
  seen_us bigint not null
);

create index crawl_drift_newest on crawl_drift (crawler, seen_us, id);

-- How queries reach into tables, summed by day, table and filtered columns: what the advisor goes by.
create table access_sums (
  day bigint not null,
  layer text not null,
  name text not null,
  columns_json text not null,
  sum_json text not null,
  primary key (day, layer, name, columns_json)
);

-- Layouts that somebody applied beside the configuration.
create table layout_rules (
  layer text not null,
  name text not null,
  rule_json text not null,
  applied_us bigint not null,
  primary key (layer, name)
);

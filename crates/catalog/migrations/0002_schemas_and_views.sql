-- Schemas that users made. Those of the layers are always there.
create table schemas (
  name text not null primary key,
  created_us bigint not null
);

-- A view keeps its statement as written and the columns that it had when it was made, as an Arrow IPC stream in hex.
create table views (
  layer text not null,
  name text not null,
  definition text not null,
  columns_ipc text not null,
  created_us bigint not null,
  updated_us bigint not null,
  primary key (layer, name)
);

-- Namespaces that people and outside engines make beside bronze, silver and gold, and properties of any namespace.
create table lake_namespaces (
  name text not null primary key,
  properties_json text not null,
  created_us bigint not null,
  updated_us bigint not null
);

-- Iceberg views: like tables, a pointer to the current metadata file.
create table lake_views (
  layer text not null,
  name text not null,
  metadata_location text not null,
  created_us bigint not null,
  updated_us bigint not null,
  primary key (layer, name)
);

use super::{checked::Commit, *};
use source_simulator::SimulatorConfig;
use std::{fs, time::Duration};
use tempfile::TempDir;
use transform::OnError;

mod bounds;

/// A project folder with one plugin and one model.
fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (file, text) in [("plugins/there.wasm", "\0asm"), ("models/daily.sql", "select 1")] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn environment(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("hunter2".into()),
        "URL" => Some("postgres://u:hunter2@db/shop".into()),
        "PORT" => Some("9000".into()),
        "ROWS" => Some("77".into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Loaded, Report> {
    let folder = project();
    parse("lakebox.yaml", text.trim_start(), folder.path(), &environment)
}

/// What `lakebox check` prints about a text, with the project's folder shortened.
fn told(text: &str) -> String {
    let folder = project();
    let report = match parse("lakebox.yaml", text.trim_start(), folder.path(), &environment) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    };
    let text = report.to_string();
    assert!(!text.contains("hunter2"), "a secret is shown: {text}");
    text.replace(&folder.path().display().to_string(), "FOLDER")
}

#[test]
fn unknown_keys_name_their_nearest_neighbour() {
    let text = r#"
lak: {}
server: { htpp: 127.0.0.1:1, port: 80 }
sources:
  shop:
    type: postgres
    url: postgres://u@h/d
    comit: { every: 5s }
    commit: { evry: 5s }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:1: error: unknown key `lak`
      hint: Did you mean `lake`? Known are: lake, server, upkeep, sources, crawlers, transforms, models.
    lakebox.yaml:2:11: error: unknown key `htpp` in server
      hint: Did you mean `http`? Known are: http, pgwire, flight, users, tls, query_timeout, query_memory, query_spill, query_scan_max, query_price_per_tb, queries_max, queue_wait, query_light, files, upload_max, hosts, iceberg.
    lakebox.yaml:2:30: error: unknown key `port` in server
      hint: Known are: http, pgwire, flight, users, tls, query_timeout, query_memory, query_spill, query_scan_max, query_price_per_tb, queries_max, queue_wait, query_light, files, upload_max, hosts, iceberg.
    lakebox.yaml:7:5: error: unknown key `comit` in sources.shop
      hint: Did you mean `commit`? Known are: type, url, tables, slot, publication, snapshot, wal_budget, read_ahead, transforms, commit.
    lakebox.yaml:8:15: error: unknown key `evry` in sources.shop.commit
      hint: Did you mean `every`? Known are: every, max_rows, max_bytes.
    "#);
}

#[test]
fn a_wrong_type_says_what_was_expected_and_what_is_there() {
    let text = r#"
lake: [./lake]
server: { queries_max: many, query_timeout: [1, 2] }
sources:
  shop:
    type: postgres
    url: postgres://u@h/d
    tables: public.*
    transforms: mask
    commit: { max_rows: 1.5 }
    snapshot: { connections: 99 }
    slot: true
models: 7
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:7: error: lake must be a map of settings, but it is a list
      hint: Its keys are: warehouse, catalog, options, store, cache, memory, commit.
    lakebox.yaml:2:24: error: server.queries_max must be a whole number, but it is `many`
      hint: Write digits alone, without quotes, units or separators.
    lakebox.yaml:2:45: error: server.query_timeout must be a text, but it is a list
      hint: For example 500ms.
    lakebox.yaml:7:13: error: sources.shop.tables must be a list, but it is `public.*`
      hint: Write [one, two], or one item per line, each after a `- `.
    lakebox.yaml:8:17: error: sources.shop.transforms must be a list, but it is `mask`
      hint: Write [one, two], or one item per line, each after a `- `.
    lakebox.yaml:9:25: error: sources.shop.commit.max_rows must be a whole number, but it is `1.5`
      hint: Write digits alone, without quotes, units or separators.
    lakebox.yaml:10:30: error: sources.shop.snapshot.connections is out of bounds: `99`
      hint: It may be 1 to 32.
    lakebox.yaml:11:11: error: sources.shop.slot must be a text, but `true` is a truth value
      hint: Put it in quotes.
    lakebox.yaml:12:9: error: models must be a text, but `7` is a number
      hint: Put it in quotes.
    "#);
}

#[test]
fn durations_and_sizes_need_units() {
    let text = r#"
lake: { memory: 512, commit: { every: 5, max_bytes: 64M } }
server: { query_timeout: 5 minutes, http: 8480 }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:17: error: lake.memory: `512` is not a size
      hint: Write a number with a unit (B, KiB, MiB, GiB or TiB; KB, MB, GB and TB count in thousands), for example 64MiB.
    lakebox.yaml:1:39: error: lake.commit.every: `5` is not a duration
      hint: Write a number with a unit (ms, s, m, h or d), for example 500ms, 5s or 1m30s.
    lakebox.yaml:1:53: error: lake.commit.max_bytes: `64M` is not a size
      hint: Write a number with a unit (B, KiB, MiB, GiB or TiB; KB, MB, GB and TB count in thousands), for example 64MiB.
    lakebox.yaml:2:26: error: server.query_timeout: `5 minutes` is not a duration
      hint: Write a number with a unit (ms, s, m, h or d), for example 500ms, 5s or 1m30s.
    lakebox.yaml:2:43: error: server.http: `8480` is not an address
      hint: Write address:port, for example 127.0.0.1:8480 for this machine alone or 0.0.0.0:8480 for all its networks.
    "#);
}

#[test]
fn a_missing_environment_variable_is_named_where_it_is_used() {
    let text = r#"
sources:
  shop:
    type: postgres
    url: ${SHOP_URL}
    slot: "${SLOT"
  crm:
    type: postgres
    url: postgres://crm:${CRM_PASSWORD}@${CRM_HOST:-localhost}/crm
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:4:10: error: the environment variable SHOP_URL is not set
      hint: Set it before lakebox starts, or give a default: ${SHOP_URL:-value}.
    lakebox.yaml:5:11: error: `${` has no `}`
      hint: Write ${NAME}, or $${ for a literal ${.
    lakebox.yaml:8:10: error: the environment variable CRM_PASSWORD is not set
      hint: Set it before lakebox starts, or give a default: ${CRM_PASSWORD:-value}.
    "#);
}

#[test]
fn source_types_that_are_not_there_say_which_are() {
    let text = r#"
sources:
  events: { type: kafka, brokers: localhost }
  shop: { type: postgre, url: x }
  none: { url: x }
  empty:
  text: postgres
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:19: error: this version of lakebox has no source of type `kafka` yet
      hint: Known are: postgres, simulator.
    lakebox.yaml:3:17: error: there is no source of type `postgre`
      hint: Did you mean `postgres`? Known are: postgres, simulator.
    lakebox.yaml:4:9: error: sources.none has no `type`
      hint: Write one of: type: postgres, type: simulator.
    lakebox.yaml:5:8: error: sources.empty must be a map of settings, but it is empty
      hint: Give it a `type` and what that type needs.
    lakebox.yaml:6:9: error: sources.text must be a map of settings, but it is `postgres`
      hint: Give it a `type` and what that type needs.
    "#);
}

#[test]
fn names_that_are_referred_to_must_exist() {
    let text = r#"
sources:
  shop:
    type: simulator
    transforms: [mask_pi, other]
transforms:
  mask_pii: { wasm: plugins/there.wasm }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:4:18: error: sources.shop names a transform `mask_pi` that is not defined
      hint: Did you mean `mask_pii`? Known are: mask_pii.
    lakebox.yaml:4:27: error: sources.shop names a transform `other` that is not defined
      hint: Known are: mask_pii.
    lakebox.yaml:6:3: warning: no source uses the transform `mask_pii`
      hint: Add it to a source: transforms: [mask_pii].
    "#);
}

#[test]
fn names_must_be_plain() {
    let text = r#"
sources:
  My-Shop: { type: simulator }
transforms:
  "1st": { wasm: plugins/there.wasm }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:3: error: a source can't be named `My-Shop`
      hint: Start with a letter; use lower-case letters, digits and _, at most 63 of them.
    lakebox.yaml:4:3: error: a transform can't be named `1st`
      hint: Start with a letter; use lower-case letters, digits and _, at most 63 of them.
    lakebox.yaml:4:3: warning: no source uses the transform `1st`
      hint: Add it to a source: transforms: [1st].
    "#);
}

#[test]
fn files_and_folders_must_be_there() {
    let text = r#"
sources:
  shop: { type: simulator, transforms: [mask] }
transforms:
  mask: { wasm: plugins/missing.wasm }
models: ./no_models
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:4:17: error: there is no plugin at `FOLDER/plugins/missing.wasm`
      hint: Check the path, which starts at the folder of this file, and build the plugin (plugins/README.md says how).
    lakebox.yaml:5:9: error: there is no folder `FOLDER/no_models`
      hint: Make it, or remove `models` if there are no gold tables yet.
    "#);
}

#[test]
fn duplicate_keys_point_to_the_first() {
    let text = r#"
server:
  http: 127.0.0.1:1
  pgwire: 127.0.0.1:2
  http: 127.0.0.1:3
server: {}
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:4:3: error: key `http` is here for the second time
      hint: It was given in line 2 already; keep one of them.
    lakebox.yaml:5:1: error: key `server` is here for the second time
      hint: It was given in line 1 already; keep one of them.
    "#);
}

#[test]
fn two_sources_of_one_server_need_two_slots() {
    let text = r#"
sources:
  one: { type: postgres, url: "postgres://u:p@db/a", slot: mine }
  two:
    type: postgres
    url: postgres://u:p@db:5432/b
    slot: mine
  other: { type: postgres, url: "postgres://u:p@elsewhere/a", slot: mine }
  three: { type: postgres, url: "postgres://u:p@db/a", slot: lakebox_four }
  four: { type: postgres, url: "postgres://u:p@db/a" }
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:6:11: error: sources.two uses the replication slot of sources.one
      hint: Give each source a `slot` of its own.
    lakebox.yaml:9:9: error: sources.four uses the replication slot of sources.three
      hint: Give each source a `slot` of its own.
    "#);
}

#[test]
fn text_that_is_no_yaml_is_told_with_its_place() {
    let text = r#"
server:
  http: 127.0.0.1:8480
 pgwire: x
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:3:2: error: this is not YAML: while parsing a block mapping, did not find expected key
      hint: Check the indentation (spaces, never tabs), and quote texts that hold `: ` or `#`, or that stand inside { } and hold ${NAME}.
    "#);
}

#[test]
fn tabs_are_told() {
    let text = "server:\n\thttp: 1\n";
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:2: error: this is not YAML: tabs disallowed within this context (block indentation)
      hint: Check the indentation (spaces, never tabs), and quote texts that hold `: ` or `#`, or that stand inside { } and hold ${NAME}.
    "#);
}

#[test]
fn a_second_document_is_refused() {
    let text = r#"
models: .
---
models: .
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:1: error: a second YAML document starts here
      hint: Keep everything in one document: remove the `---`.
    "#);
}

#[test]
fn a_file_that_is_a_list_is_told() {
    let text = "- lake\n- server\n";
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:1: error: the file must be a map of settings, but it is a list
      hint: Its keys are: lake, server, upkeep, sources, crawlers, transforms, models.
    "#);
}

#[test]
fn values_of_the_environment_are_never_repeated() {
    let text = r#"
lake: { memory: "${SECRET}", warehouse: "${SECRET}://bucket" }
server: { queries_max: "${SECRET}" }
sources:
  shop: { type: postgres, url: "${SECRET}", slot: "${SECRET}-x", publication: "", tables: ["${SECRET}"], transforms: ["${SECRET}"] }
transforms:
  m: { wasm: "plugins/${SECRET}.wasm", on_error: "${SECRET}" }
models: ${SECRET}
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:1:17: error: lake.memory: the value from the environment is not a size
      hint: Write a number with a unit (B, KiB, MiB, GiB or TiB; KB, MB, GB and TB count in thousands), for example 64MiB.
    lakebox.yaml:1:41: error: lake.warehouse: lakebox has no store for the value from the environment
      hint: Write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
    lakebox.yaml:2:24: error: server.queries_max must be a whole number, but it is the value from the environment
      hint: Write digits alone, without quotes, units or separators.
    lakebox.yaml:4:32: error: sources.shop.url can't be used: relative URL without a base
      hint: Write postgres://user:password@host:5432/database, with special characters percent-encoded.
    lakebox.yaml:4:51: error: sources.shop.slot is the value from the environment, which PostgreSQL takes for no slot
      hint: Set `slot` to lower-case letters, digits and _, at most 63 of them.
    lakebox.yaml:4:79: error: sources.shop.publication is ``, which can't name a publication
      hint: Set `publication` to a name of 1 to 54 bytes.
    lakebox.yaml:4:91: error: sources.shop.tables holds the value from the environment, which is no pattern
      hint: Write schema.table, for example "public.*".
    lakebox.yaml:4:119: error: sources.shop names a transform the value from the environment that is not defined
      hint: Known are: m.
    lakebox.yaml:6:3: warning: no source uses the transform `m`
      hint: Add it to a source: transforms: [m].
    lakebox.yaml:6:14: error: there is no plugin at the value from the environment
      hint: Check the path, which starts at the folder of this file, and build the plugin (plugins/README.md says how).
    lakebox.yaml:6:50: error: transforms.m.on_error can't be the value from the environment
      hint: Known are: dead_letter, skip, pass, stop.
    lakebox.yaml:7:9: error: there is no folder the value from the environment
      hint: Make it, or remove `models` if there are no gold tables yet.
    "#);
}

#[test]
fn aliases_can_not_grow_without_end() {
    let text = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:4:4: error: the file holds more than 20000 values, aliases counted
    "#);
}

#[test]
fn a_transform_that_nobody_uses_is_a_warning_beside_an_error() {
    let text = r#"
transforms:
  m: { wasm: plugins/there.wasm, config: { anything: [goes, 1, null] } }
nonsense: 1
"#;
    insta::assert_snapshot!(told(text), @r#"
    lakebox.yaml:2:3: warning: no source uses the transform `m`
      hint: Add it to a source: transforms: [m].
    lakebox.yaml:3:1: error: unknown key `nonsense`
      hint: Known are: lake, server, upkeep, sources, crawlers, transforms, models.
    "#);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let folder = project();
    for text in ["", "# nothing\n", "sources:\ntransforms:\nlake:\n"] {
        let Loaded { config, report } = parse("f", text, folder.path(), &environment).unwrap();
        assert!(report.problems.is_empty(), "{report}");
        assert_eq!(config.lake.warehouse, folder.path().join("lake").display().to_string());
        assert_eq!(config.lake.catalog.expose(), format!("sqlite:{}", folder.path().join("lake/catalog.db").display()));
        assert_eq!(config.server.http.to_string(), "127.0.0.1:8480");
        assert_eq!(config.server.pgwire.to_string(), "127.0.0.1:5480");
        assert_eq!(config.models, Some(folder.path().join("models")));
        assert!(config.sources.is_empty() && config.transforms.is_empty());
    }
}

#[test]
fn a_full_file_becomes_settings() {
    let folder = project();
    let text = r#"
lake:
  warehouse: s3://bucket/lake/
  catalog: postgres://u:p@db/catalog
  options: { aws_region: eu-central-1, aws_secret_access_key: "${SECRET}" }
  commit: { every: 30s, max_rows: 1000 }
server: { http: "0.0.0.0:${PORT}", pgwire: localhost:0, query_timeout: 1m30s, query_memory: 256MiB }
sources:
  shop:
    type: postgres
    url: ${URL}
    tables: ["public.*", "!public.secret_*"]
    transforms: [mask]
    commit: { max_rows: "${ROWS}", every: 1s }
    snapshot: { connections: 4 }
  play: { type: simulator, rate: 0.5, seed: 3 }
transforms:
  mask: { wasm: ./plugins/there.wasm, config: { columns: [email], key: "${SECRET}", n: 1 }, on_error: skip, memory_max: 8MiB, batch_time_max: 2s }
models: models
"#;
    let Loaded { config, report } = parse("f", text, folder.path(), &environment).unwrap();
    assert!(report.problems.is_empty(), "{report}");
    assert_eq!(config.lake.warehouse, "s3://bucket/lake");
    assert!(config.lake.is_remote());
    assert_eq!(config.lake.options["aws_secret_access_key"].expose(), "hunter2");
    assert_eq!(config.server.http.to_string(), "0.0.0.0:9000");
    assert_eq!(config.server.query_timeout, Duration::from_secs(90));
    let [shop, play] = &config.sources[..] else { panic!("{:?}", config.sources) };
    assert_eq!(shop.commit, Commit { every: Duration::from_secs(1), rows_max: 77, bytes_max: 256 << 20 });
    assert_eq!(play.commit, Commit { every: Duration::from_secs(30), rows_max: 1000, bytes_max: 256 << 20 });
    let SourceKind::Postgres(postgres) = &shop.kind else { panic!("{:?}", shop.kind) };
    assert_eq!(postgres.url.expose(), "postgres://u:hunter2@db/shop");
    assert_eq!((postgres.slot.as_str(), postgres.snapshot_connections), ("lakebox_shop", 4));
    let SourceKind::Simulator(simulator) = &play.kind else { panic!("{:?}", play.kind) };
    assert_eq!((simulator.seed, simulator.rate, simulator.customers), (3, 0.5, SimulatorConfig::default().customers));
    let mask = &config.transforms[0];
    assert_eq!(mask.config.config, serde_json::json!({"columns": ["email"], "key": "hunter2", "n": 1}));
    assert_eq!(mask.config_shown, serde_json::json!({"columns": ["email"], "key": "(secret)", "n": 1}));
    assert_eq!((mask.config.on_error, mask.config.memory_max_bytes, mask.config.batch_ms_max), (OnError::Skip, 8 << 20, 2000));
    // Whoever logs the settings tells nothing.
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn commits_are_rarer_where_requests_cost_money() {
    let every = |text: &str| read(text).unwrap().config.sources[0].commit.every;
    assert_eq!(every("sources: { s: { type: simulator } }"), Duration::from_secs(5));
    assert_eq!(every("sources: { s: { type: simulator } }\nlake: { warehouse: gs://b }"), Duration::from_secs(60));
}

#[test]
fn a_value_of_the_environment_can_not_change_the_structure() {
    let folder = project();
    let environment = |_: &str| Some("a\nserver: {http: 1}\n\"'{}[]: # x".to_owned());
    let config = parse("f", "lake: { catalog: \"sqlite:${X}\" }", folder.path(), &environment).unwrap().config;
    assert!(config.lake.catalog.expose().ends_with("\"'{}[]: # x"));
}

#[test]
fn a_file_that_is_not_there_is_told_with_the_way_out() {
    let report = load(Path::new("nowhere/lakebox.yaml")).unwrap_err();
    assert!(report.to_string().starts_with("nowhere/lakebox.yaml: error: the configuration can't be read"), "{report}");
    assert!(report.to_string().contains("lakebox init DIR"), "{report}");
}

#[test]
fn the_schema_in_docs_is_the_one_of_this_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lakebox.schema.json");
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == schema_json(), "docs/lakebox.schema.json is stale; run: lakebox config-schema > docs/lakebox.schema.json");
}

#[test]
fn upkeep_is_read_and_what_makes_no_sense_in_it_is_told() {
    let text = r#"
upkeep:
  file_size: 64MiB
  deleted_percent: 25
  snapshots: { all: 1h }
  tables:
    silver.*: { enabled: false }
    silver.shop_orders: { enabled: true, sort: [customer, at desc], bloom: [email], page_rows: 5000 }
"#;
    let upkeep = read(text).unwrap().config.upkeep;
    assert_eq!(upkeep.policy.thresholds.file_bytes, 64 << 20);
    assert!((upkeep.policy.thresholds.deleted_share - 0.25).abs() < 1e-9);
    assert_eq!(upkeep.policy.retention.all.as_secs(), 3600);
    let of = |name: &str| upkeep.policy_of(&name.parse().unwrap());
    assert!(!of("silver.shop_lines").enabled);
    let orders = of("silver.shop_orders");
    assert!(orders.enabled);
    assert_eq!(
        orders.files,
        Some(lake::FileSettings { bloom: vec!["email".into()], page_rows: Some(5000), ..Default::default() })
    );
    assert_eq!(orders.layout, Some(lake::Clustering::Sort(vec![("customer".into(), false), ("at".into(), true)])));

    let text = r#"
upkeep:
  file_size: 1KiB
  deleted_percent: 0
  orphans_after: 1s
  tables:
    orders: { sort: [a], zorder: [b], row_group_rows: 1 }
"#;
    let said = told(text);
    for part in [
        "2:14: error: file_size is out of bounds",
        "3:20: error: deleted_percent is out of bounds",
        "4:18: error: upkeep.orphans_after is too short",
        "6:5: error: upkeep.tables: `orders` names no table",
        "error: upkeep.tables.orders has both sort and zorder",
        "error: row_group_rows is out of bounds: it may be 1000 to 10000000",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

//! Tables as they were, their metadata, and what changed in between: on a lake on disk, with real commits.

use crate::disk::OnDisk;
use crate::support::rows;
use ::lake::{DataFileWriter, ReplaceOptions, TableChange, TableSpec, WriterOptions, new_data_path};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use model::{Cursor, LakeTable, Position};
use query::Kind;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, ops::Deref, sync::Arc};

struct World(OnDisk);

impl Deref for World {
    type Target = OnDisk;

    fn deref(&self) -> &OnDisk {
        &self.0
    }
}

async fn world() -> World {
    World(OnDisk::new().await)
}

fn plain(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn pairs(schema: &SchemaRef, of: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(of.iter().map(|p| Some(p.0)).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(of.iter().map(|p| Some(p.1)).collect::<StringArray>());
    RecordBatch::try_new(Arc::clone(schema), vec![ids, names]).unwrap()
}

impl World {
    async fn replace(&self, table: &str, batch: RecordBatch) -> i64 {
        let options = ReplaceOptions {
            schema: batch.schema(),
            key: Vec::new(),
            sort_order: Vec::new(),
            summary: BTreeMap::new(),
            writer: None,
        };
        let rows = Box::pin(futures::stream::iter([Ok(batch)]));
        self.lake.replace(table.parse().unwrap(), rows, options).await.unwrap().snapshot_id.unwrap()
    }

    async fn commit(&self, change: TableChange) -> i64 {
        let states = self.lake.commit(vec![change], None).await.unwrap();
        self.lake.publish(None, states.iter().map(|s| Arc::clone(s.view())).collect());
        states[0].view().snapshot_id.unwrap()
    }

    fn write(&self, table: &LakeTable, batch: &RecordBatch) -> Arc<::lake::WrittenFile> {
        let schema = Arc::clone(self.lake.tables().state(table).unwrap().schema());
        let mut writer =
            DataFileWriter::create(self.lake.warehouse(), new_data_path(table), &schema, WriterOptions::default()).unwrap();
        writer.write(batch).unwrap();
        Arc::new(writer.finish().unwrap())
    }

    async fn refused(&self, sql: &str) -> query::Error {
        rows(&self.engine, sql).await.unwrap_err()
    }
}

#[tokio::test]
async fn a_table_is_read_as_it_was_with_the_columns_it_had() {
    let world = world().await;
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let first = world.replace("gold.t", pairs(&schema, &[(1, "a"), (2, "b")])).await;
    let wider = plain(&[("id", DataType::Int64), ("label", DataType::Utf8)]);
    let second = world.replace("gold.t", pairs(&wider, &[(3, "c")])).await;
    assert_eq!(world.ask("SELECT * FROM t").await, ["3|c"]);
    assert_eq!(world.ask(&format!("SELECT * FROM t FOR VERSION AS OF {first} ORDER BY id")).await, ["1|a", "2|b"]);
    assert_eq!(world.ask(&format!("SELECT t.name FROM gold.T FOR VERSION AS OF {first} WHERE t.id = 2")).await, ["b"]);
    assert_eq!(world.ask(&format!("SELECT * FROM t FOR VERSION AS OF {second}")).await, ["3|c"]);
    assert_eq!(world.ask("SELECT * FROM t FOR VERSION AS OF 'main'").await, ["3|c"]);
    let both = format!("SELECT o.id, n.id FROM t FOR VERSION AS OF {first} o, t n ORDER BY 1");
    assert_eq!(world.ask(&both).await, ["1|3", "2|3"]);
}

#[tokio::test]
async fn a_time_finds_the_snapshot_that_was_current_then() {
    let world = world().await;
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    world.replace("gold.t", pairs(&schema, &[(1, "a")])).await;
    // Snapshots know milliseconds: the second one must be of a later one.
    let moment = || async {
        world.ask("SELECT to_char(max(made_current_at), '%Y-%m-%d %H:%M:%S%.3f') FROM \"t$history\"").await.remove(0)
    };
    let first_at = moment().await;
    let mut second_at = first_at.clone();
    while second_at == first_at {
        world.replace("gold.t", pairs(&schema, &[(2, "b")])).await;
        second_at = moment().await;
    }
    assert_eq!(world.ask(&format!("SELECT id FROM t FOR SYSTEM_TIME AS OF '{second_at}'")).await, ["2"]);
    assert_eq!(world.ask(&format!("SELECT id FROM t FOR TIMESTAMP AS OF TIMESTAMP '{second_at}Z'")).await, ["2"]);
    assert_eq!(world.ask("SELECT id FROM t FOR TIMESTAMP AS OF '2100-01-01'").await, ["2"]);
    let early = world.refused("SELECT id FROM t FOR TIMESTAMP AS OF '2001-01-01'").await;
    assert_eq!(early.kind, Kind::Invalid);
    assert!(early.message.contains("no snapshot from 2001-01-01 or before"), "{early}");
    let nonsense = world.refused("SELECT id FROM t FOR TIMESTAMP AS OF 'soon'").await;
    assert_eq!(nonsense.message, "`soon` is not a time");
}

#[tokio::test]
async fn a_snapshot_that_is_gone_is_named_with_those_that_are_there() {
    let world = world().await;
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let first = world.replace("gold.t", pairs(&schema, &[(0, "a")])).await;
    for n in 1..40 {
        world.replace("gold.t", pairs(&schema, &[(n, "a")])).await;
    }
    let error = world.refused(&format!("SELECT * FROM t FOR VERSION AS OF {first}")).await;
    assert_eq!(error.message, format!("gold.t has no snapshot {first}: it has expired, or never was"));
    let hint = error.hint.unwrap();
    assert!(hint.starts_with("It has ") && hint.contains("\"t$snapshots\""), "{hint}");
    let error = world.refused("SELECT * FROM t FOR VERSION AS OF 'mainn'").await;
    assert_eq!(error.hint.as_deref(), Some("Did you mean 'main'?"));
    let unknown = world.refused("SELECT * FROM gold.nothing FOR VERSION AS OF 1").await;
    assert_eq!((unknown.kind, unknown.message.as_str()), (Kind::UnknownTable, "table `gold.nothing` does not exist"));
    assert_eq!(world.refused("SELECT * FROM \"nothing$files\"").await.kind, Kind::UnknownTable);
}

#[tokio::test]
async fn metadata_tables_show_snapshots_files_manifests_and_refs() {
    let world = world().await;
    let table: LakeTable = "gold.t".parse().unwrap();
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let first = world.replace("gold.t", pairs(&schema, &[(1, "a"), (2, "b"), (3, "c")])).await;
    let mut hide = TableChange::new(table.clone());
    let path = world.lake.tables().state(&table).unwrap().files()[0].path.clone();
    hide.deletes = vec![(path, RoaringBitmap::from([1]))];
    let second = world.commit(hide).await;
    let all = world.ask("SELECT snapshot_id, parent_id, is_current_ancestor FROM \"t$snapshots\" ORDER BY sequence_number").await;
    assert_eq!(all, [format!("{first}|NULL|true"), format!("{second}|{first}|true")]);
    // Unquoted, and with its schema.
    let files = world.ask("SELECT content, record_count, deleted_count FROM gold.t$files ORDER BY content").await;
    assert_eq!(files, ["data|3|1", "position_deletes|1|0"]);
    let then = world.ask(&format!("SELECT content, deleted_count FROM \"t$files\" FOR VERSION AS OF {first}")).await;
    assert_eq!(then, ["data|0"]);
    assert_eq!(world.ask("SELECT json_get_str(columns, 'id', 'max') FROM t$files WHERE content = 'data'").await, ["3"]);
    assert_eq!(world.ask("SELECT content FROM t$manifests ORDER BY 1").await, ["data", "deletes"]);
    assert_eq!(world.ask("SELECT name, type, snapshot_id FROM t$refs").await, [format!("main|BRANCH|{second}")]);
    assert_eq!(world.ask("SELECT record_count, deleted_count, file_count FROM t$partitions").await, ["3|1|1"]);
    assert_eq!(world.ask("SELECT count(*) FROM t$history").await, ["2"]);
    assert_eq!(world.ask(&format!("SELECT count(*) FROM t FOR VERSION AS OF {first}")).await, ["3"]);
    assert_eq!(world.ask("SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn the_change_feed_of_a_table_without_bronze_compares_its_snapshots() {
    let world = world().await;
    let table: LakeTable = "gold.t".parse().unwrap();
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let first = world.replace("gold.t", pairs(&schema, &[(1, "a"), (2, "b")])).await;
    let mut second = TableChange::new(table.clone());
    let path = world.lake.tables().state(&table).unwrap().files()[0].path.clone();
    second.deletes = vec![(path, RoaringBitmap::from([1]))];
    second.append = vec![world.write(&table, &pairs(&schema, &[(2, "B"), (3, "c")]))];
    let second = world.commit(second).await;
    let changes =
        world.ask(&format!("SELECT _op, id, name FROM table_changes('gold.t', {first}, {second}) ORDER BY id, _op DESC")).await;
    assert_eq!(changes, ["d|2|b", "c|2|B", "c|3|c"]);
    let all = world.ask("SELECT _op, id, name FROM t$changes ORDER BY id, name DESC, _op DESC").await;
    assert_eq!(all, ["c|1|a", "d|2|b", "c|2|b", "c|2|B", "c|3|c"]);
    let filtered =
        world.ask(&format!("SELECT count(*) FROM t$changes WHERE _snapshot_id = {second} AND _op = 'c' AND id > 2")).await;
    assert_eq!(filtered, ["1"]);
    let backwards = world.refused(&format!("SELECT * FROM table_changes('gold.t', {second}, {first})")).await;
    assert_eq!(backwards.kind, Kind::Invalid, "{backwards}");
    assert_eq!(world.refused("SELECT * FROM table_changes('gold.x')").await.kind, Kind::UnknownTable);
    assert_eq!(world.refused("SELECT * FROM table_changes()").await.kind, Kind::Invalid);
}

fn cursor(pos: u64) -> Cursor {
    Cursor { position: Position::new(pos, 3), commit_ts_us: None, state: serde_json::Value::Null, display: format!("0/{pos:X}") }
}

#[tokio::test]
async fn a_position_of_the_source_finds_its_snapshot_and_the_feed_comes_from_bronze() {
    let world = world().await;
    let silver: LakeTable = "silver.shop_orders".parse().unwrap();
    let bronze: LakeTable = "bronze.shop_orders".parse().unwrap();
    let columns = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let change_columns = plain(&[
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("_op", DataType::Utf8),
        ("_pos", DataType::Int64),
        ("_seq", DataType::Int64),
    ]);
    for (table, schema) in [(&silver, &columns), (&bronze, &change_columns)] {
        let mut create = TableChange::new(table.clone());
        create.spec = Some(TableSpec { schema: numbered(schema), key: Vec::new(), sort_order: Vec::new() });
        create.properties.insert("made".into(), Some("yes".into()));
        let states = world.lake.commit(vec![create], None).await.unwrap();
        world.lake.publish(None, states.iter().map(|s| Arc::clone(s.view())).collect());
    }
    for (pos, id, name, op) in [(0x10, 1, "a", "c"), (0x20, 2, "b", "c"), (0x30, 1, "A", "u")] {
        let mut change = TableChange::new(silver.clone());
        change.append = vec![world.write(&silver, &pairs(&columns, &[(id, name)]))];
        change.note_cursor("shop", &cursor(pos));
        world.commit(change).await;
        let rows = RecordBatch::try_new(
            Arc::clone(&change_columns),
            vec![
                Arc::new(Int64Array::from(vec![id])),
                Arc::new(StringArray::from(vec![name])),
                Arc::new(StringArray::from(vec![op])),
                Arc::new(Int64Array::from(vec![i64::try_from(pos).unwrap()])),
                Arc::new(Int64Array::from(vec![3])),
            ],
        )
        .unwrap();
        let mut change = TableChange::new(bronze.clone());
        change.append = vec![world.write(&bronze, &rows)];
        world.commit(change).await;
    }
    let count = async |position: &str| {
        world.ask(&format!("SELECT count(*) FROM silver.shop_orders FOR POSITION AS OF '{position}'")).await
    };
    assert_eq!(count("0/10").await, ["1"]);
    assert_eq!(count("0/2F").await, ["2"]);
    assert_eq!(count("0/30").await, ["3"]);
    assert_eq!(count("9/0").await, ["3"]);
    let early = world.refused("SELECT 1 FROM silver.shop_orders FOR POSITION AS OF '0/F'").await;
    assert!(early.message.contains("the oldest that has not expired stands at 0/10"), "{early}");
    let feed = world.ask("SELECT _op, id, name FROM table_changes('silver.shop_orders', '0/10', '0/30') ORDER BY _pos").await;
    assert_eq!(feed, ["c|2|b", "u|1|A"]);
    let whole = world.ask("SELECT _op, id FROM silver.shop_orders$changes ORDER BY _pos").await;
    assert_eq!(whole, ["c|1", "c|2", "u|1"]);
    let gold = world.replace("gold.g", pairs(&columns, &[(1, "x")])).await;
    assert!(gold > 0);
    let error = world.refused("SELECT * FROM g FOR POSITION AS OF '0/10'").await;
    assert!(error.message.contains("is not kept by a source"), "{error}");
}

fn numbered(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(i, f)| ::lake::with_field_id(f, 101 + i32::try_from(i).unwrap()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn views_stand_on_former_snapshots_and_those_in_another_dialect_say_so() {
    use ::lake::{CreateView, ObjectTransaction, SqlView};
    let world = world().await;
    let schema = plain(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let first = world.replace("gold.t", pairs(&schema, &[(1, "a")])).await;
    world.replace("gold.t", pairs(&schema, &[(2, "b"), (3, "c")])).await;
    let lake = &world.lake;
    let view = |name: &str| format!("analytics.{name}").parse::<LakeTable>().unwrap();
    let mut transaction = ObjectTransaction::default();
    transaction.add_schema(lake, "analytics".parse().unwrap());
    let definition = format!("select id from gold.t for version as of {first}");
    transaction.set_view(lake, SqlView::new(view("former"), definition, plain(&[("id", DataType::Int64)])));
    transaction.commit(lake).await.unwrap();
    assert_eq!(rows(&world.engine, "select * from analytics.former").await.unwrap(), ["1"]);

    let request = serde_json::json!({
        "name": "foreign",
        "schema": { "type": "struct", "schema-id": 0, "fields": [{ "id": 1, "name": "n", "required": false, "type": "long" }] },
        "view-version": {
            "version-id": 1, "timestamp-ms": 1_700_000_000_000_i64, "schema-id": 0, "summary": {}, "default-namespace": ["analytics"],
            "representations": [{ "type": "sql", "sql": "select 1L", "dialect": "spark" }],
        },
    });
    lake.outside().create_view("analytics".parse().unwrap(), CreateView::parse(request).unwrap()).await.unwrap();
    let error = rows(&world.engine, "select * from analytics.foreign").await.unwrap_err();
    assert!(error.to_string().contains("written in the SQL of `spark`"), "{error}");
}

use arrow::{
    array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::DataType,
};
use model::{ChangeBatch, Column, Cursor, Key, Op, Position, TableId, TableSchema};
use std::sync::Arc;

/// A table `public.<name>` with the key `id` (Int64) and one column `value` (Utf8).
pub fn kv_schema(name: &str) -> Arc<TableSchema> {
    let column = |name: &str, data_type, source_type: &str| Column {
        name: name.to_owned(),
        data_type,
        nullable: name != "id",
        source_type: source_type.to_owned(),
    };
    Arc::new(TableSchema {
        id: TableId::new("public", name),
        version: 1,
        columns: vec![column("id", DataType::Int64, "bigint"), column("value", DataType::Utf8, "text")],
        key: Key::Columns(vec!["id".to_owned()]),
    })
}

/// A row of [`kv_batch`]: operation, `pos`, `seq`, id and value.
pub type KvRow<'a> = (Op, u64, u64, i64, Option<&'a str>);

/// A batch of a [`kv_schema`] table: operation, position (pos, seq), id and value of each row. Commit and ingest time are the
/// position's `pos` in milliseconds.
///
/// # Panics
/// Where `schema` is not of [`kv_schema`].
#[expect(clippy::expect_used, reason = "a fixture with the wrong schema is a mistake in the test")]
pub fn kv_batch(schema: &Arc<TableSchema>, rows: &[KvRow<'_>]) -> ChangeBatch {
    let ints =
        |of: &dyn Fn(&KvRow<'_>) -> i64| -> ArrayRef { Arc::new(rows.iter().map(|r| Some(of(r))).collect::<Int64Array>()) };
    let times = || -> ArrayRef {
        let at = rows.iter().map(|r| Some(r.1.cast_signed() * 1000));
        Arc::new(at.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        ints(&|r| r.3),
        Arc::new(rows.iter().map(|r| r.4).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| Some(r.0.code())).collect::<StringArray>()),
        times(),
        times(),
        ints(&|r| r.1.cast_signed()),
        ints(&|r| r.2.cast_signed()),
        ints(&|r| r.1.cast_signed()),
        Arc::new(rows.iter().map(|_| None::<&str>).collect::<StringArray>()),
    ];
    ChangeBatch::try_new(Arc::clone(schema), columns).expect("kv_batch is called with a schema of kv_schema")
}

/// A plain cursor at a position.
pub fn cursor_at(pos: u64, seq: u64) -> Cursor {
    Cursor {
        position: Position::new(pos, seq),
        commit_ts_us: Some(pos.cast_signed() * 1000),
        state: serde_json::Value::Null,
        display: format!("{pos}.{seq}"),
    }
}

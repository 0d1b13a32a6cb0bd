use crate::{
    outside,
    world::{World, sorted, write_batches},
};
use arrow::{
    array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use lake::{Evolution, TableChange, evolve};
use model::{Column, Key, LakeTable, Layer, TableId, TableSchema};
use serde_json::{Value, json};
use std::sync::Arc;

fn source(columns: &[(&str, DataType)]) -> TableSchema {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).into(),
        data_type: data_type.clone(),
        nullable: true,
        source_type: "t".into(),
    };
    TableSchema {
        id: TableId::new("public", "orders"),
        version: 1,
        columns: columns.iter().map(column).collect(),
        key: Key::Columns(vec!["id".into()]),
    }
}

/// Commits one file of data columns under a shape, to bronze and silver at once.
async fn step(world: &World, evolution: &Evolution, columns: Vec<ArrayRef>) {
    let rows = columns[0].len();
    let file = &evolution.file;
    let change: Vec<ArrayRef> =
        file.fields()[columns.len()..].iter().map(|f| arrow::array::new_null_array(f.data_type(), rows)).collect();
    let batch = RecordBatch::try_from_iter(file.fields().iter().map(|f| f.name().clone()).zip(columns.into_iter().chain(change)))
        .unwrap();
    let bronze = LakeTable::new(Layer::Bronze, "shop_orders");
    let written = write_batches(&world.lake, &bronze, file, [batch].into_iter());
    let change = |table: LakeTable, spec: &lake::TableSpec| {
        let mut change = TableChange::new(table);
        change.spec = Some(spec.clone());
        change.append.push(Arc::clone(&written));
        change
    };
    // Bronze's change columns are required, and this test leaves them empty; so only silver is committed.
    world.lake.commit(vec![change(world.table.clone(), &evolution.silver)], None).await.unwrap();
}

fn check(world: &World, columns: &[&str], expected: &[Value]) {
    let state = world.lake.tables().state(&world.table).unwrap();
    for reader in outside::READERS {
        let (rows, count) = outside::read(reader, state.metadata_location(), columns);
        assert_eq!((sorted(rows), count), (sorted(expected.to_vec()), expected.len() as u64), "{reader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_go_widen_and_change_their_type_and_old_rows_stay_right() {
    let world = World::new().await;
    let ints = |v: &[i32]| Arc::new(Int32Array::from(v.to_vec())) as ArrayRef;
    let longs = |v: &[i64]| Arc::new(Int64Array::from(v.to_vec())) as ArrayRef;
    let texts = |v: &[&str]| Arc::new(StringArray::from(v.to_vec())) as ArrayRef;
    let money = |v: &[i128], p| Arc::new(Decimal128Array::from(v.to_vec()).with_precision_and_scale(p, 2).unwrap()) as ArrayRef;
    let next = |before: &Evolution, columns: &[(&str, DataType)]| {
        evolve(Some(&before.bronze), Some(&before.silver), 0, &source(columns)).unwrap()
    };

    let first =
        evolve(None, None, 0, &source(&[("id", DataType::Int32), ("n", DataType::Int32), ("m", DataType::Decimal128(8, 2))]))
            .unwrap();
    step(&world, &first, vec![ints(&[1, 2]), ints(&[10, 20]), money(&[150, -250], 8)]).await;
    check(&world, &["id", "n", "m"], &[json!([1, 10, "1.50"]), json!([2, 20, "-2.50"])]);

    let added = [("id", DataType::Int64), ("n", DataType::Int64), ("m", DataType::Decimal128(14, 2)), ("note", DataType::Utf8)];
    let added = next(&first, &added);
    step(&world, &added, vec![longs(&[1 << 40]), longs(&[1 << 41]), money(&[99_999_999_999], 14), texts(&["hello"])]).await;
    let wide =
        [json!([1, 10, "1.50", null]), json!([2, 20, "-2.50", null]), json!([1i64 << 40, 1i64 << 41, "999999999.99", "hello"])];
    check(&world, &["id", "n", "m", "note"], &wide);
    let state = world.lake.tables().state(&world.table).unwrap();
    let min = state.files()[0].stats[&102].min.clone().unwrap();
    assert_eq!(min.data_type(), &DataType::Int64, "bounds of old files follow the wider column");

    let retyped = next(&added, &[("id", DataType::Int64), ("n", DataType::Utf8)]);
    step(&world, &retyped, vec![longs(&[5]), texts(&["now text"])]).await;
    let columns: Vec<String> = retyped.silver.schema.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(columns, ["id", "n", "n__was_bigint"], "dropped columns leave silver, retyped ones stay beside the new");
    let rows = [json!([1, null, 10]), json!([2, null, 20]), json!([1i64 << 40, null, 1i64 << 41]), json!([5, "now text", null])];
    check(&world, &["id", "n", "n__was_bigint"], &rows);

    let world = world.reopen().await;
    let state = world.lake.tables().state(&world.table).unwrap();
    assert_eq!(state.spec(), &retyped.silver);
    let back = next(&retyped, &[("id", DataType::Int64), ("n", DataType::Utf8), ("note", DataType::Utf8)]);
    step(&world, &back, vec![longs(&[6]), texts(&["x"]), texts(&["new note"])]).await;
    let rows = [json!([1, null]), json!([2, null]), json!([1i64 << 40, null]), json!([5, null]), json!([6, "new note"])];
    check(&world, &["id", "note"], &rows);
}

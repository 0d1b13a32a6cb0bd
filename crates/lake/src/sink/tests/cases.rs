use super::{
    upstream::{Change, LOG, NUMBERED, Upstream, Wish, batch},
    world::{SOURCE, World, batches, rows},
};
use arrow::datatypes::DataType;
use model::{Column, LakeTable, Layer, Position, TableSchema};
use pipeline::{DeadLetter, Kind, Sink};
use std::sync::{Arc, atomic::Ordering};

fn change(op: char, pos: u64, seq: u64, id: i64, a: Option<&str>, unchanged: bool) -> Change {
    let sent = vec![Some(id.to_string()), a.map(str::to_owned), Some("1".to_owned())];
    Change {
        table: NUMBERED,
        op,
        pos,
        seq,
        sent: sent.clone(),
        whole: sent,
        unchanged: if unchanged { vec!["a"] } else { Vec::new() },
    }
}

async fn silver(world: &World, name: &str) -> Vec<Vec<Option<String>>> {
    let view = world.view();
    let mut found = rows(world.lake.warehouse(), &view.tables[&LakeTable::new(Layer::Silver, format!("{SOURCE}_{name}"))]).await;
    found.sort();
    found
}

fn row(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|v| Some((*v).to_owned())).collect()
}

#[tokio::test]
async fn an_insert_and_partial_updates_of_one_key_in_one_batch_keep_the_unchanged_value() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let changes = [
        change('c', 1, 0, 7, Some("long"), false),
        change('u', 1, 1, 7, None, true),
        change('u', 1, 2, 7, None, true),
        change('d', 1, 3, 7, None, false),
        change('u', 1, 4, 8, None, true),
    ];
    world.write(batch(&upstream.schemas[NUMBERED], &changes)).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    assert_eq!(silver(&world, "numbered").await, [row(&["8", "long", "1"])]);
}

#[tokio::test]
async fn a_row_without_former_image_names_table_key_and_columns_and_is_never_null() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let error = world.write(batch(&upstream.schemas[NUMBERED], &[change('u', 4, 2, 7, None, true)])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Table);
    assert_eq!(
        error.to_string(),
        "the row (id = 7) of public.numbered at position 4.2 came without its columns [\"a\"], and lakebox has no former image of it to take them from"
    );
    let counters = world.sink.counters().tables();
    assert_eq!(counters[&upstream.schemas[NUMBERED].id].last_error.as_deref(), Some(error.to_string().as_str()));
}

#[tokio::test]
async fn nothing_is_visible_before_its_boundary_and_an_unshown_boundary_is_shown_on_request() {
    let mut world = World::new(64 << 20).await;
    world.settings.publish_every = std::time::Duration::from_millis(50);
    let upstream = Upstream::new();
    world.restart_sink(&upstream).await;
    let write = |pos, id| batch(&upstream.schemas[NUMBERED], &[change('c', pos, 0, id, Some("x"), false)]);
    world.write(write(1, 1)).await.unwrap();
    assert!(!world.boundary(&Upstream::cursor(1)).await.unpublished);
    world.write(write(2, 2)).await.unwrap();
    assert_eq!(silver(&world, "numbered").await.len(), 1);
    assert!(world.boundary(&Upstream::cursor(2)).await.unpublished, "the loop must know that it has to ask again");
    assert_eq!(silver(&world, "numbered").await.len(), 1, "50 ms have not passed");
    world.clock.advance(std::time::Duration::from_millis(50));
    world.write(write(3, 3)).await.unwrap();
    assert_eq!(silver(&world, "numbered").await.len(), 2, "the last boundary without what came after it");
    world.boundary(&Upstream::cursor(3)).await;
    world.sink.publish_now().unwrap();
    assert_eq!(silver(&world, "numbered").await.len(), 3);
}

#[tokio::test]
async fn a_reset_replaces_silver_with_the_next_copy_and_bronze_keeps_both() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let schema = &upstream.schemas[NUMBERED];
    world.write(batch(schema, &[change('r', 1, 0, 1, Some("x"), false), change('r', 1, 1, 2, Some("x"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    world.sink.commit().unwrap().await.unwrap();
    world.sink.reset(&schema.id).await.unwrap();
    world.write(batch(schema, &[change('r', 2, 0, 2, Some("y"), false)])).await.unwrap();
    assert_eq!(silver(&world, "numbered").await.len(), 2);
    world.boundary(&Upstream::cursor(2)).await;
    assert_eq!(silver(&world, "numbered").await, [row(&["2", "y", "1"])]);
    world.sink.commit().unwrap().await.unwrap();
    let state = |layer| world.lake.tables().state(&LakeTable::new(layer, format!("{SOURCE}_numbered"))).unwrap();
    assert_eq!(rows(world.lake.warehouse(), state(Layer::Silver).view()).await, [row(&["2", "y", "1"])]);
    assert_eq!(rows(world.lake.warehouse(), state(Layer::Bronze).view()).await.len(), 3);
}

#[tokio::test]
async fn one_file_serves_both_layers_and_an_empty_table_exists_after_the_first_commit() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    world
        .write(batch(&upstream.schemas[NUMBERED], &[change('c', 1, 0, 1, Some("x"), false), change('d', 1, 1, 1, None, false)]))
        .await
        .unwrap();
    world.write(batch(&upstream.schemas[NUMBERED], &[change('c', 1, 2, 2, Some("x"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    let durable = world.sink.commit().unwrap().await.unwrap();
    assert_eq!((durable.rows, durable.tables), (3, 8));
    let state = |layer, name: &str| world.lake.tables().state(&LakeTable::new(layer, format!("{SOURCE}_{name}"))).unwrap();
    let (bronze, silver) = (state(Layer::Bronze, "numbered"), state(Layer::Silver, "numbered"));
    assert_eq!(bronze.files()[0].path, silver.files()[0].path);
    assert_eq!(silver.files()[0].deleted.as_ref().map(|d| d.iter().collect::<Vec<_>>()), Some(vec![0, 1]));
    assert_eq!(state(Layer::Silver, "log").files().len(), 0);
    assert_eq!(silver.summary(crate::SUMMARY_POSITION), Some("1"));
}

#[tokio::test]
async fn a_table_goes_on_through_added_widened_and_retyped_columns() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let old = &upstream.schemas[NUMBERED];
    world.write(batch(old, &[change('c', 1, 0, 1, Some("x"), false), change('c', 1, 1, 2, Some("y"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    let mut wide = TableSchema::clone(old);
    wide.version = 2;
    wide.columns[2].data_type = DataType::Int64;
    wide.columns.push(Column { name: "c".into(), data_type: DataType::Utf8, nullable: true, source_type: "text".into() });
    let wide = Arc::new(wide);
    world.sink.schema(&wide).await.unwrap();
    let mut update = change('u', 2, 0, 1, None, true);
    update.sent.push(Some("new".into()));
    world.write(batch(&wide, &[update.clone()])).await.unwrap();
    assert_eq!(
        silver(&world, "numbered").await,
        [row(&["1", "x", "1"]), row(&["2", "y", "1"])],
        "the new shape comes with its boundary"
    );
    world.boundary(&Upstream::cursor(2)).await;
    let expected = [row(&["1", "x", "1", "new"]), vec![Some("2".into()), Some("y".into()), Some("1".into()), None]];
    assert_eq!(silver(&world, "numbered").await, expected);
    world.sink.commit().unwrap().await.unwrap();
    assert_eq!(silver(&world, "numbered").await, expected);
    // A retype keeps the old column beside the new one; the image is read back from a committed file.
    let mut retyped = TableSchema::clone(&wide);
    retyped.version = 3;
    retyped.columns[2].data_type = DataType::Utf8;
    let retyped = Arc::new(retyped);
    world.sink.schema(&retyped).await.unwrap();
    update.pos = 3;
    update.sent[2] = Some("one".into());
    world.write(batch(&retyped, &[update])).await.unwrap();
    world.boundary(&Upstream::cursor(3)).await;
    world.sink.commit().unwrap().await.unwrap();
    let view = world.view();
    let table = &view.tables[&LakeTable::new(Layer::Silver, format!("{SOURCE}_numbered"))];
    let names: Vec<_> = table.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["id", "a", "b", "c", "b__was_bigint"]);
    let mut expected = vec![row(&["1", "x", "one", "new"]), vec![Some("2".into()), Some("y".into()), None, None]];
    expected[0].push(None);
    expected[1].push(Some("1".into()));
    assert_eq!(silver(&world, "numbered").await, expected);
}

#[tokio::test]
async fn a_key_that_changes_between_rows_tells_them_apart_from_then_on() {
    let mut world = World::new(64 << 20).await;
    let mut upstream = Upstream::new();
    world.start(&upstream).await;
    let old = Arc::clone(&upstream.schemas[NUMBERED]);
    // One row committed, one in a commit under way, one visible, one of the open transaction.
    world.write(batch(&old, &[change('c', 1, 0, 1, Some("a"), false), change('c', 1, 1, 9, Some("z"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    world.sink.commit().unwrap().await.unwrap();
    world.write(batch(&old, &[change('c', 2, 0, 2, Some("b"), false), change('d', 2, 1, 9, None, false)])).await.unwrap();
    world.boundary(&Upstream::cursor(2)).await;
    let ticket = world.sink.commit().unwrap();
    world.write(batch(&old, &[change('c', 3, 0, 3, Some("c"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(3)).await;
    world.write(batch(&old, &[change('c', 4, 0, 4, Some("d"), false)])).await.unwrap();
    let mut rekeyed = TableSchema::clone(&old);
    rekeyed.version = 2;
    rekeyed.key = model::Key::Columns(vec!["a".into()]);
    let rekeyed = Arc::new(rekeyed);
    world.sink.schema(&rekeyed).await.unwrap();
    let updates: Vec<_> =
        ["a", "b", "c", "d"].iter().zip(0..).map(|(a, seq)| change('u', 5, seq, 10 + seq as i64, Some(a), false)).collect();
    world.write(batch(&rekeyed, &updates)).await.unwrap();
    world.boundary(&Upstream::cursor(5)).await;
    let expected = [row(&["10", "a", "1"]), row(&["11", "b", "1"]), row(&["12", "c", "1"]), row(&["13", "d", "1"])];
    assert_eq!(silver(&world, "numbered").await, expected);
    ticket.await.unwrap();
    world.sink.commit().unwrap().await.unwrap();
    assert_eq!(silver(&world, "numbered").await, expected);
    upstream.schemas[NUMBERED] = Arc::clone(&rekeyed);
    assert_eq!(world.restart_sink(&upstream).await, 5);
    world.write(batch(&rekeyed, &[change('u', 6, 0, 20, Some("c"), false)])).await.unwrap();
    world.boundary(&Upstream::cursor(6)).await;
    assert_eq!(
        silver(&world, "numbered").await,
        [row(&["10", "a", "1"]), row(&["11", "b", "1"]), row(&["13", "d", "1"]), row(&["20", "c", "1"])]
    );
}

#[tokio::test]
async fn dead_letters_are_a_table_in_the_same_commit() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let letter = DeadLetter {
        table: upstream.schemas[LOG].id.clone(),
        transform: "mask".into(),
        plugin_version: "1".into(),
        error: "it trapped".into(),
        position: Position::new(3, 1),
        commit_ts_us: None,
        op: "c".into(),
        row: "{}".into(),
    };
    world.sink.dead(vec![letter]).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    let name = LakeTable::new(Layer::Bronze, format!("{SOURCE}__dead_letters"));
    assert_eq!(world.view().tables[&name].live_rows(), 1);
    world.sink.commit().unwrap().await.unwrap();
    let view = world.view();
    assert_eq!(view.tables[&name].hot_rows(), 0);
    let found = batches(world.lake.warehouse(), &view.tables[&name]).await;
    assert_eq!(found.iter().map(|b| b.num_rows()).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_group_without_changes_still_moves_the_cursor() {
    let mut world = World::new(64 << 20).await;
    let mut upstream = Upstream::new();
    world.start(&upstream).await;
    upstream.transact(&[]);
    upstream.transact(&[Wish { table: 0, kind: 0, key: 1, value: 1 }]);
    world.boundary(&Upstream::cursor(1)).await;
    world.sink.commit().unwrap().await.unwrap();
    assert_eq!(world.restart_sink(&upstream).await, 1);
}

/// Not a gate, since machines differ: `cargo nextest run --workspace -E 'test(sink_costs)' --run-ignored all --no-capture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn sink_costs() {
    let mut world = World::new(1 << 30).await;
    world.settings = crate::SinkSettings::new(world.dir.path().join("index"), runtime::ByteBudget::new(1 << 30));
    let upstream = Upstream::new();
    world.restart_sink(&upstream).await;
    let schema = &upstream.schemas[NUMBERED];
    for (what, op, keys) in [("inserts", 'c', 1u64), ("updates", 'u', 7919)] {
        let mut accepting = std::time::Duration::ZERO;
        let started = std::time::Instant::now();
        for pos in 0..125u64 {
            let seqs = 0..8000u64;
            let changes: Vec<_> = seqs
                .map(|seq| change(op, pos, seq, ((pos * 8000 + seq) * keys % 1_000_000) as i64, Some("some text here"), false))
                .collect();
            let batch = batch(schema, &changes);
            let now = std::time::Instant::now();
            world.write(batch).await.unwrap();
            world.boundary(&Upstream::cursor(pos as usize)).await;
            accepting += now.elapsed();
        }
        let before = std::time::Instant::now();
        world.sink.commit().unwrap().await.unwrap();
        let (total, commit) = (started.elapsed(), before.elapsed());
        eprintln!("1 M {what}: accepted at {:?} a row, commit {commit:?}, all with making them {total:?}", accepting / 1_000_000);
    }
}

#[tokio::test]
async fn a_key_that_is_null_and_a_name_that_is_taken_are_errors_of_their_table_alone() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let schema = &upstream.schemas[NUMBERED];
    let good = batch(schema, &[change('c', 1, 0, 1, Some("x"), false)]);
    let key = schema.key_indexes()[0];
    let mut columns = good.rows().columns().to_vec();
    columns[key] = arrow::array::new_null_array(columns[key].data_type(), 1);
    let mut loose = TableSchema::clone(schema);
    loose.columns[key].nullable = true;
    let keyless = model::ChangeBatch::try_new(Arc::new(loose), columns).unwrap();
    let error = world.write(keyless).await.unwrap_err();
    assert_eq!(error.kind, Kind::Table);
    assert!(error.message.contains("key column `id`"), "{error}");

    let taken = schema.id.name.clone();
    let (head, tail) = taken.split_at(3);
    let renamed = |schema_name: &str, name: &str| {
        let id = model::TableId::new(schema_name, name);
        Arc::new(model::TableSchema { id, ..model::TableSchema::clone(schema) })
    };
    world.sink.schema(&renamed("public", &format!("{head}_{tail}"))).await.unwrap();
    let error = world.sink.schema(&renamed(head, tail)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Table);
    assert!(error.message.contains(&format!("public.{head}_{tail} is kept under that name")), "{error}");
    world.boundary(&Upstream::cursor(1)).await;
    world.sink.commit().unwrap().await.unwrap();
    // The owner is remembered, whichever table comes first after a restart.
    world.restart_sink(&upstream).await;
    assert_eq!(world.sink.schema(&renamed(head, tail)).await.unwrap_err().kind, Kind::Table);
    world.sink.schema(&renamed("public", &format!("{head}_{tail}"))).await.unwrap();
}

/// One thread only: what follows a rewrite in the background can't run before the next change has looked its key up.
#[tokio::test]
async fn a_change_right_after_a_rewrite_finds_the_row_where_it_went() {
    let mut world = World::new(64 << 20).await;
    let upstream = Upstream::new();
    world.start(&upstream).await;
    let rows: Vec<_> = (0..3).map(|i| change('c', 1, i, i.cast_signed() + 1, Some("old"), false)).collect();
    world.write(batch(&upstream.schemas[NUMBERED], &rows)).await.unwrap();
    world.boundary(&Upstream::cursor(1)).await;
    world.sink.commit().unwrap().await.unwrap();
    let table = LakeTable::new(Layer::Silver, format!("{SOURCE}_numbered"));
    let state = world.lake.tables().state(&table).unwrap();
    let stop = runtime::CancellationToken::new();
    let (rewrite, _) = world.lake.rewritten(&state, &[0], &crate::Thresholds::default(), &stop).await.unwrap();
    world.lake.commit_quietly(rewrite).await.unwrap();
    world.sink.tend().await.unwrap();
    let changes = [change('u', 2, 0, 2, None, true), change('d', 2, 1, 3, None, false)];
    world.write(batch(&upstream.schemas[NUMBERED], &changes)).await.unwrap();
    world.boundary(&Upstream::cursor(2)).await;
    assert_eq!(silver(&world, "numbered").await, [row(&["1", "old", "1"]), row(&["2", "old", "1"])]);
}

/// The checks of the random tests hold for keys that the index tells; here it has to tell all of them, in former views, too.
#[tokio::test]
async fn the_index_tells_where_every_key_is_also_in_views_from_before_the_last_changes() {
    let mut world = World::new(64 << 20).await;
    let mut upstream = Upstream::new();
    world.start(&upstream).await;
    for number in 0..12_u8 {
        let wishes: Vec<_> = (0..20_u8)
            .map(|i| Wish { table: 3 * (i % 2), kind: (i * 7 + number) % 15, key: i * 5 + number * 3, value: i ^ number })
            .collect();
        upstream.transact(&wishes);
        let at = usize::from(number);
        for batch in upstream.batches(at, 3) {
            world.write(batch).await.unwrap();
            // What came after the last boundary is traced back to what it replaced.
            world.check_view(&upstream).await;
        }
        world.boundary(&Upstream::cursor(at + 1)).await;
        assert_eq!(world.check_view(&upstream).await, at + 1);
        if number % 4 == 3 {
            world.sink.commit().unwrap().await.unwrap();
            world.check_view(&upstream).await;
        }
    }
    let asked = [&world.asked.told, &world.asked.untold].map(|n| n.load(Ordering::Relaxed));
    assert!(asked[0] > 5000 && asked[1] == 0, "{asked:?}");
}

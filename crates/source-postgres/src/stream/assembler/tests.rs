use super::*;
use crate::{decode::Kind as ColumnKind, stream::pgoutput::tests::write};
use model::ChangeBatch;

fn column(name: &str, kind: ColumnKind) -> ShapeColumn {
    ShapeColumn { name: name.into(), kind, nullable: true, source_type: String::new() }
}

fn columns() -> Vec<ShapeColumn> {
    vec![column("id", ColumnKind::Int4), column("v", ColumnKind::Text)]
}

/// An assembler that follows `public.t` with oid 7 and has seen its relation.
fn assembler(key: Key, start: u64, from: u64) -> Assembler {
    let inserts_only = key == Key::None;
    let whole = key == Key::WholeRow;
    let shape = Shape::new(TableId::new("public", "t"), columns(), key, vec![], 1);
    let mut assembler = Assembler::new(Lsn(start), vec![Followed::new(7, Lsn(from), inserts_only, shape, false)], 1000);
    describe(
        &mut assembler,
        if whole { b'f' } else { b'd' },
        &[("id", whole || !inserts_only, 23), ("v", whole, 25)],
        columns(),
        &[],
    );
    assembler
}

fn describe(
    assembler: &mut Assembler,
    identity: u8,
    relation: &[(&str, bool, u32)],
    columns: Vec<ShapeColumn>,
    filled: &[String],
) {
    match assembler.message(&write::relation(7, "t", identity, relation), 0).unwrap() {
        Step::Describe(relation) => assembler.follow(&relation, columns, filled).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn feed(assembler: &mut Assembler, messages: &[Vec<u8>]) {
    for message in messages {
        assembler.message(message, 0).unwrap();
    }
}

fn batches(assembler: &mut Assembler) -> Vec<ChangeBatch> {
    assembler.flush().unwrap();
    let rows = |e| if let Event::Rows(batch) = e { Some(batch) } else { None };
    assembler.take_events().into_iter().filter_map(rows).collect()
}

/// The rows as `op pos.seq id v [unchanged]`.
fn rows(assembler: &mut Assembler) -> Vec<String> {
    let mut all = Vec::new();
    for batch in batches(assembler) {
        let text = |c: usize, r: usize| arrow::util::display::array_value_to_string(batch.rows().column(c), r).unwrap();
        all.extend((0..batch.num_rows()).map(|r| {
            format!("{} {} {} {} {:?}", batch.op(r).code(), batch.position(r), text(0, r), text(1, r), batch.unchanged(r))
        }));
    }
    all
}

fn key() -> Key {
    Key::Columns(vec!["id".into()])
}

#[test]
fn changes_keep_their_order_and_a_changed_key_is_a_delete_and_an_update() {
    let mut a = assembler(key(), 1, 1);
    feed(
        &mut a,
        &[
            write::begin(100, 5),
            write::insert(7, &[Some("1"), Some("a")]),
            write::update(7, None, &[Some("1"), Some("b")]),
            write::update(7, Some((b'K', &[Some("1"), None])), &[Some("2"), Some("<unchanged>")]),
            write::delete(7, b'K', &[Some("2"), None]),
            write::truncate(&[7]),
            write::commit(100, 130),
        ],
    );
    assert_eq!(
        rows(&mut a),
        ["c 100.0 1 a []", "u 100.1 1 b []", "d 100.2 1  []", "u 100.3 2  [\"v\"]", "d 100.4 2  []", "t 100.5   []"]
    );
    assert_eq!(a.reached(), Lsn(130));
}

#[test]
fn a_whole_row_table_gets_pairs_and_full_old_images_fill_unchanged_values() {
    let mut a = assembler(Key::WholeRow, 1, 1);
    let old: (u8, &[Option<&str>]) = (b'O', &[Some("1"), Some("long")]);
    feed(
        &mut a,
        &[write::begin(100, 5), write::update(7, Some(old), &[Some("2"), Some("<unchanged>")]), write::commit(100, 130)],
    );
    assert_eq!(rows(&mut a), ["d 100.0 1 long []", "u 100.1 2 long []"]);
}

#[test]
fn what_the_cursor_or_the_copy_includes_is_skipped_and_a_commit_right_at_it_is_not() {
    let mut a = assembler(key(), 100, 200);
    for (commit, id) in [(99, "1"), (100, "2"), (199, "3"), (200, "4")] {
        feed(&mut a, &[write::begin(commit, 5), write::insert(7, &[Some(id), None]), write::commit(commit, commit + 1)]);
    }
    assert_eq!(rows(&mut a), ["c 200.0 4  []"]);
    let mut a = assembler(key(), 100, 0);
    for (commit, id) in [(99, "1"), (100, "2")] {
        feed(&mut a, &[write::begin(commit, 5), write::insert(7, &[Some(id), None]), write::commit(commit, commit + 1)]);
    }
    assert_eq!(rows(&mut a), ["c 100.0 2  []"]);
}

#[test]
fn an_old_key_that_did_not_change_makes_no_pair() {
    // The server sends the old key also where the key has a TOAST value, changed or not.
    let mut a = assembler(key(), 1, 1);
    let old: (u8, &[Option<&str>]) = (b'K', &[Some("1"), None]);
    feed(
        &mut a,
        &[write::begin(100, 5), write::update(7, Some(old), &[Some("<unchanged>"), Some("b")]), write::commit(100, 130)],
    );
    assert_eq!(rows(&mut a), ["u 100.0 1 b []"]);
}

#[test]
fn rows_go_out_under_the_shape_they_came_in() {
    let mut a = assembler(key(), 1, 1);
    feed(&mut a, &[write::begin(100, 5), write::insert(7, &[Some("1"), Some("a")])]);
    let wide = [("id", true, 23), ("v", false, 25), ("w", false, 23)];
    describe(&mut a, b'd', &wide, [columns(), vec![column("w", ColumnKind::Int4)]].concat(), &[]);
    feed(&mut a, &[write::insert(7, &[Some("2"), Some("b"), Some("3")]), write::commit(100, 130)]);
    a.flush().unwrap();
    let told: Vec<String> = a
        .take_events()
        .iter()
        .map(|e| match e {
            Event::Schema(s) => format!("schema {} of {}", s.version, s.columns.len()),
            Event::Rows(b) => format!("{} rows of {}", b.num_rows(), b.schema().version),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["schema 1 of 2", "1 rows of 1", "schema 2 of 3", "1 rows of 2"]);
    assert!(a.stale().is_empty());
}

#[test]
fn changes_that_move_old_rows_silently_ask_for_a_new_copy() {
    let cases: &[(&str, ColumnKind, &[&str], bool)] = &[
        ("w", ColumnKind::Int4, &[], false),
        ("w", ColumnKind::Int4, &["w"], true),
        ("id", ColumnKind::Int8, &[], false),
        ("id", ColumnKind::Text, &[], true),
    ];
    for (name, kind, filled, expected) in cases {
        let mut a = assembler(key(), 1, 1);
        let mut now = columns();
        now.retain(|c| c.name != *name);
        now.push(column(name, kind.clone()));
        let relation: Vec<(&str, bool, u32)> = now.iter().map(|c| (c.name.as_str(), c.name == "id", 23)).collect();
        let filled: Vec<String> = filled.iter().map(|f| (*f).to_owned()).collect();
        describe(&mut a, b'd', &relation, now.clone(), &filled);
        assert_eq!(!a.stale().is_empty(), *expected, "{name} {kind:?} {filled:?}");
    }
}

#[test]
fn keepalives_move_an_idle_stream_but_never_an_open_transaction() {
    let mut a = assembler(key(), 1, 1);
    a.idle_at(Lsn(50));
    assert_eq!(a.reached(), Lsn(50));
    feed(&mut a, &[write::begin(100, 5)]);
    a.idle_at(Lsn(90));
    assert_eq!(a.reached(), Lsn(50));
}

#[test]
fn rows_that_break_the_protocol_are_corrupt() {
    let mut a = assembler(key(), 1, 1);
    for message in [write::insert(7, &[Some("1"), None]), write::insert(8, &[Some("1")])] {
        assert_eq!(a.message(&message, 0).unwrap_err().kind, Kind::Corrupt);
    }
    feed(&mut a, &[write::begin(100, 5)]);
    assert_eq!(a.message(&write::insert(7, &[Some("1")]), 0).unwrap_err().kind, Kind::Corrupt);
}

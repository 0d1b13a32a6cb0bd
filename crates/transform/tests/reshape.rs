use crate::fixture::{apply, changes, customers, dead_ids, ids, inserts, rows, texts, transform, with_policy};
use pipeline::Transform;
use transform::OnError;

const PEOPLE: [(Option<&str>, Option<&str>); 4] =
    [(Some("Ada"), Some("a@x.de")), (Some("test"), Some("t@x.de")), (Some("bad"), Some("b@x.de")), (None, None)];
const REFUSE: &str = r#"{"refuse_where": {"column": "name", "equals": "bad"}}"#;

#[test]
fn columns_are_dropped_renamed_and_added_and_the_shape_is_known_before() {
    let mut reshape = transform(
        "reshape",
        r#"{"drop": ["born", "tags"], "rename": [["email", "mail"], ["id", "number"]], "length_of": "name"}"#,
    );
    let shape = reshape.schema(&customers()).expect("it fits");
    let names: Vec<&str> = shape.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["number", "name", "mail", "balance", "name_length"]);
    assert_eq!(shape.key, model::Key::Columns(vec!["number".to_owned()]));
    assert_eq!(shape.columns[3].source_type, "numeric(12,2)");
    let batch = changes(&customers(), &PEOPLE, &["c", "c", "c", "u"], &[None, None, None, Some(r#"["email","tags","name"]"#)]);
    let out = apply(&mut reshape, batch);
    assert_eq!(texts(&out, "mail")[0].as_deref(), Some("a@x.de"));
    assert_eq!(out.batches[0].unchanged(3), ["mail", "name"], "marks follow their columns");
    let lengths = rows(&out);
    let lengths = arrow::util::display::array_value_to_string(lengths.column_by_name("name_length").expect("it exists"), 2);
    assert_eq!(lengths.expect("a number"), "3");
}

#[test]
fn rows_may_be_left_out_and_nobody_misses_them() {
    let mut reshape = transform("reshape", r#"{"drop_where": {"column": "name", "equals": "test"}}"#);
    let out = apply(&mut reshape, inserts(&customers(), &PEOPLE));
    assert_eq!(ids(&out), [1, 3, 4]);
    assert!(out.dead.is_empty());
    assert_eq!(reshape.stats().counts().rows_dropped, 1);
    let all = apply(&mut reshape, inserts(&customers(), &[PEOPLE[1], PEOPLE[1]]));
    assert!(all.batches.is_empty() && all.dead.is_empty());
}

#[test]
fn a_refused_row_becomes_a_dead_letter_with_all_that_is_needed() {
    let mut reshape = transform("reshape", REFUSE);
    let out = apply(&mut reshape, inserts(&customers(), &PEOPLE));
    assert_eq!(ids(&out), [1, 2, 4]);
    let [letter] = out.dead.as_slice() else { panic!("one letter") };
    assert_eq!(letter.row, r#"{"id":3,"name":"bad","email":"b@x.de","balance":"3.05","born":"1970-01-03","tags":["tag2"]}"#);
    assert_eq!((letter.position, letter.op.as_str()), (model::Position::new(3, 2), "c"));
    assert_eq!(letter.commit_ts_us, Some(1_700_000_000_000_003));
    assert_eq!(letter.error, "the plugin refused: `name` is Some(\"bad\")");
    assert!(letter.plugin_version.starts_with("0.1.0 sha256:") && letter.plugin_version.len() == 13 + 64);
    let counts = reshape.stats().counts();
    assert_eq!((counts.rows_in, counts.rows_out, counts.rows_failed, counts.calls, counts.instances), (4, 3, 1, 1, 1));
}

#[test]
fn every_policy_does_what_its_name_says() {
    for (policy, on, dead) in [
        (OnError::DeadLetter, vec![1, 2, 4], vec![3]),
        (OnError::Skip, vec![1, 2, 4], vec![]),
        (OnError::Pass, vec![1, 2, 3, 4], vec![]),
    ] {
        let out = apply(&mut with_policy("reshape", REFUSE, policy), inserts(&customers(), &PEOPLE));
        assert_eq!((ids(&out), dead_ids(&out)), (on, dead), "{policy:?}");
    }
    let mut stop = with_policy("reshape", REFUSE, OnError::Stop);
    let error = stop.apply(inserts(&customers(), &PEOPLE)).expect_err("it stops");
    insta::assert_snapshot!(format!("{error}\n{}", error.hint.as_deref().unwrap_or_default()));
}

#[test]
fn pass_wants_a_plugin_that_keeps_the_shape() {
    let mut reshape = with_policy("reshape", r#"{"drop": ["born"]}"#, OnError::Pass);
    let error = reshape.schema(&customers()).expect_err("rows could not go on as they came");
    insta::assert_snapshot!(error.to_string());
}

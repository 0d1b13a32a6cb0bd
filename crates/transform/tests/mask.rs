use crate::fixture::{apply, changes, config, crowd, customers, ids, inserts, plugin, rows, table, texts, transform};
use pipeline::Transform;
use std::sync::Arc;
use transform::{PluginTransform, TransformStats};

const HASH: &str = r#"{"columns": ["email"], "mode": "hash", "secret": "sixteen bytes or more"}"#;

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|t| Some((*t).to_owned())).collect()
}

#[test]
fn personal_data_is_redacted_and_the_rest_is_left_alone() {
    let mut mask = transform("mask_pii", r#"{"columns": ["name", "email"]}"#);
    let batch =
        inserts(&customers(), &[(Some("Ōtani Ren"), Some("ren@example.jp")), (None, None), (Some(""), Some("Ünïcødé@ex.de"))]);
    let before = batch.rows().clone();
    let out = apply(&mut mask, batch);
    assert_eq!(texts(&out, "name"), [Some("[redacted]".to_owned()), None, Some("[redacted]".to_owned())]);
    assert_eq!(texts(&out, "email"), [Some("[redacted]".to_owned()), None, Some("[redacted]".to_owned())]);
    let after = rows(&out);
    assert_eq!(after.schema(), before.schema());
    for column in [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        assert_eq!(after.column(column), before.column(column));
    }
    assert!(out.dead.is_empty());
}

#[test]
fn hashes_are_equal_for_equal_values_and_for_nothing_else() {
    let batch = || inserts(&customers(), &[(None, Some("a@x.de")), (None, Some("b@x.de")), (None, Some("a@x.de")), (None, None)]);
    let hashed = texts(&apply(&mut transform("mask_pii", HASH), batch()), "email");
    assert_eq!(hashed[0], hashed[2]);
    assert_ne!(hashed[0], hashed[1]);
    assert_eq!(hashed[3], None);
    assert!(hashed[0].as_ref().is_some_and(|h| h.len() == 32 && h.chars().all(|c| c.is_ascii_hexdigit())));
    let other = transform("mask_pii", &HASH.replace("sixteen", "another"));
    assert_ne!(texts(&apply(&mut { other }, batch()), "email")[0], hashed[0]);
}

#[test]
fn in_part_means_a_person_is_still_recognised_by_who_knows_them() {
    let mut mask = transform(
        "mask_pii",
        r#"{"columns": ["customers.email", {"name": "name", "keep_first": 2, "keep_last": 0}], "mode": "partial"}"#,
    );
    let out = apply(
        &mut mask,
        inserts(&customers(), &[(Some("Ōtani Ren"), Some("ren.otani@example.jp")), (Some("Bo"), Some("no address"))]),
    );
    assert_eq!(texts(&out, "email"), some(&["r***@example.jp", "n***ss"]));
    assert_eq!(texts(&out, "name"), some(&["Ōt***", "***"]));
}

#[test]
fn in_part_never_means_nearly_everything() {
    let cases = [
        ("maria.schmidt@example.com", "m***@example.com"),
        ("m@example.com", "***@example.com"),
        ("+49 170 1234567", "+***67"),
        ("Ōtani Ren", "Ō***en"),
        ("Bobby", "B***by"),
        ("Bob", "***"),
        ("", "***"),
        ("@home", "@***me"),
        ("a@b@c.de", "a***de"),
    ];
    let mut mask = transform("mask_pii", r#"{"columns": ["name"], "mode": "partial"}"#);
    let people: Vec<_> = cases.iter().map(|(value, _)| (Some(*value), None)).collect();
    let masked = texts(&apply(&mut mask, inserts(&customers(), &people)), "name");
    assert_eq!(masked, some(&cases.map(|(_, masked)| masked)));
}

#[test]
fn batches_of_no_row_and_of_one_row_and_of_many_go_through() {
    let mut mask = transform("mask_pii", HASH);
    assert!(apply(&mut mask, inserts(&customers(), &[])).batches.is_empty());
    assert_eq!(ids(&apply(&mut mask, inserts(&customers(), &[(None, Some("x"))]))), [1]);
    let many = apply(&mut mask, crowd(50_000, |_| false));
    assert_eq!(ids(&many), (1..=50_000).collect::<Vec<_>>());
    let slice = crowd(1000, |_| false).slice(333, 77);
    assert_eq!(ids(&apply(&mut mask, slice)), (334..=410).collect::<Vec<_>>());
}

#[test]
fn a_batch_too_large_for_the_plugin_is_handed_over_in_parts() {
    let config = transform::TransformConfig { memory_max_bytes: 2 << 20, batch_ms_max: 1000, ..config(HASH) };
    let mut mask = crate::fixture::transform_with("mask_pii", &config);
    let out = apply(&mut mask, crowd(60_000, |_| false));
    assert_eq!(ids(&out), (1..=60_000).collect::<Vec<_>>());
    assert_eq!((out.dead.len(), out.batches.len()), (0, 1));
    assert!(mask.stats().counts().calls > 1);
}

#[test]
fn unchanged_values_stay_marked_and_deletes_and_truncates_pass() {
    let mut mask = transform("mask_pii", r#"{"columns": ["email"]}"#);
    let people = [(Some("A"), None), (None, Some("d@x.de")), (None, None), (Some("B"), Some("b@x.de"))];
    let batch = changes(&customers(), &people, &["u", "d", "t", "c"], &[Some(r#"["email"]"#), None, None, None]);
    let out = apply(&mut mask, batch);
    let letters: Vec<_> = out.batches.iter().flat_map(|b| (0..b.num_rows()).map(|row| b.op(row).code())).collect();
    assert_eq!(letters, ["u", "d", "t", "c"]);
    assert_eq!(texts(&out, "email"), [None, Some("[redacted]".into()), None, Some("[redacted]".into())]);
    assert_eq!(out.batches[0].unchanged(0), ["email"]);
}

#[test]
fn a_configuration_it_does_not_take_is_said_at_once() {
    let complain = |json: &str| {
        let stats = Arc::new(TransformStats::default());
        match PluginTransform::new("mask", &plugin("mask_pii"), &config(json), stats) {
            Ok(_) => panic!("{json} was taken"),
            Err(error) => error.to_string(),
        }
    };
    let complaints: Vec<String> = [
        r#"{}"#,
        r#"{"columns": []}"#,
        r#"{"columns": [7]}"#,
        r#"{"columns": ["email"], "moed": "hash"}"#,
        r#"{"columns": ["email"], "mode": "sha1"}"#,
        r#"{"columns": ["email"], "mode": "hash"}"#,
        r#"{"columns": ["email"], "ignore_missing": "yes"}"#,
        r#"{"columns": ["email"], "keep_first": -1}"#,
    ]
    .map(complain)
    .to_vec();
    insta::assert_snapshot!(complaints.join("\n"));
}

#[test]
fn a_table_it_can_not_mask_is_an_error_of_that_table() {
    let complain = |json: &str| {
        let mut mask = transform("mask_pii", json);
        match mask.schema(&customers()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let complaints: Vec<String> = [
        r#"{"columns": ["customers.emial"]}"#,
        r#"{"columns": ["emial"], "ignore_missing": false}"#,
        r#"{"columns": ["balance"]}"#,
        r#"{"columns": ["tags"]}"#,
        r#"{"columns": ["emial", "orders.email"]}"#,
        r#"{"columns": ["customers.emial"], "ignore_missing": true}"#,
    ]
    .map(complain)
    .to_vec();
    insta::assert_snapshot!(complaints.join("\n"));
}

#[test]
fn one_transform_serves_many_tables_and_new_shapes_of_them() {
    let mut mask = transform("mask_pii", r#"{"columns": ["email"]}"#);
    let (customers, orders) = (customers(), table("orders"));
    for schema in [&customers, &orders, &customers] {
        let out = apply(&mut mask, inserts(schema, &[(None, Some("x@y.z"))]));
        assert_eq!(texts(&out, "email"), some(&["[redacted]"]));
        assert_eq!(out.batches[0].schema().id, schema.id);
    }
    let mut narrower = (*customers).clone();
    narrower.version = 2;
    narrower.columns.swap(1, 2);
    let narrower = Arc::new(narrower);
    let out = apply(&mut mask, inserts(&narrower, &[(Some("masked now"), Some("a name now"))]));
    assert_eq!(texts(&out, "email"), some(&["[redacted]"]));
    assert_eq!(texts(&out, "name"), some(&["a name now"]));
}

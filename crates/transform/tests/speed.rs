//! Not a test of correctness: run it to see what a row costs. `cargo nextest run --workspace --run-ignored all -E 'test(speed::)' --no-capture`

use crate::fixture::{crowd, transform_with};
use pipeline::Transform;
use std::time::Instant;

#[test]
#[ignore = "a measurement"]
fn what_a_row_costs() {
    for (what, json) in [
        ("mask one column, redact", r#"{"columns": ["email"]}"#),
        ("mask one column, partial", r#"{"columns": ["email"], "mode": "partial"}"#),
        ("mask one column, hash", r#"{"columns": ["email"], "mode": "hash", "secret": "sixteen bytes or more"}"#),
        ("mask two columns, redact", r#"{"columns": ["email", "name"]}"#),
        ("mask nothing (boundary only)", r#"{"columns": ["nowhere"]}"#),
    ] {
        let mut mask =
            transform_with("mask_pii", &transform::TransformConfig { batch_ms_max: 5000, ..crate::fixture::config(json) });
        for rows in [1000, 8192] {
            let batch = crowd(rows, |_| false);
            mask.schema(batch.schema()).expect("it fits");
            let mut best = f64::MAX;
            for _ in 0..20 {
                let started = Instant::now();
                for _ in 0..20 {
                    mask.apply(batch.clone()).expect("it works");
                }
                best = best.min(started.elapsed().as_secs_f64() * 1e9 / (20.0 * rows as f64));
            }
            println!("{what}, batches of {rows}: {best:.1} ns a row");
        }
    }
}

//! One test for each attack: it costs its own rows, with a clear reason, and nothing else.

use crate::fixture::{
    apply, config, crowd, customers, dead_ids, host, ids, inserts, plugin, table, transform, transform_with, with_policy,
};
use pipeline::{Transform, Transformed};
use std::{fs, sync::Arc, time::Instant};
use transform::{OnError, PluginTransform, TransformConfig, TransformStats};

const AT: &str = r#"{"at": "poison"}"#;

fn reasons(out: &Transformed) -> Vec<String> {
    let mut reasons: Vec<String> = out.dead.iter().map(|letter| letter.error.clone()).collect();
    reasons.dedup();
    reasons
}

/// Rows 1 to `rows` without the poisoned ones.
fn others(rows: i64, poisoned: &[i64]) -> Vec<i64> {
    (1..=rows).filter(|id| !poisoned.contains(id)).collect()
}

#[test]
fn each_attack_costs_its_own_rows_and_says_why() {
    let mut told = Vec::new();
    for name in ["evil_trap", "evil_endless_loop", "evil_memory_hog", "evil_deep_recursion"] {
        // Time to eat all of a small memory, but not to wait long for an endless loop.
        let limits = TransformConfig { memory_max_bytes: 8 << 20, batch_ms_max: 400, ..config(AT) };
        let mut evil = transform_with(name, &limits);
        let out = apply(&mut evil, crowd(1000, |i| i == 0 || i == 617));
        assert_eq!(dead_ids(&out), [1, 618], "{name}");
        assert_eq!(ids(&out), others(1000, &[1, 618]), "{name}");
        assert_eq!(out.batches.len(), 1, "{name}: the parts are put together again");
        told.push(format!("{name}: {}", reasons(&out).join(" | ")));
        let next = apply(&mut evil, crowd(1000, |_| false));
        assert_eq!((ids(&next).len(), next.dead.len()), (1000, 0), "{name}: the next batch is as if nothing had been");
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_lie_costs_its_own_rows_whatever_it_is() {
    let lies = [
        "magic",
        "shape",
        "rows",
        "columns",
        "total",
        "type",
        "outside",
        "huge",
        "short offsets",
        "source",
        "source type",
        "shared",
        "backwards",
        "utf8",
        "errors",
        "many errors",
        "keep",
        "empty",
        "cut",
    ];
    let mut told = Vec::new();
    for lie in lies {
        let mut liar = transform("evil_liar", &format!(r#"{{"at": "poison", "lie": "{lie}"}}"#));
        let out = apply(&mut liar, crowd(64, |i| i == 40));
        assert_eq!(dead_ids(&out), [41], "{lie}");
        assert_eq!(ids(&out), others(64, &[41]), "{lie}");
        told.push(format!("{lie}: {}", reasons(&out).join(" | ")));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_impossible_plan_is_an_error_of_the_table() {
    let told: Vec<String> = ["no such read", "no key", "twice", "change column"]
        .iter()
        .map(|lie| {
            let mut liar = transform("evil_liar", &format!(r#"{{"lie": "{lie}"}}"#));
            liar.schema(&customers()).expect_err("the plan is not possible").to_string()
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_plugin_that_changes_its_mind_is_held_to_its_word() {
    let mut fickle = transform("evil_fickle", AT);
    let (first, second) = (table("first"), table("second"));
    apply(&mut fickle, inserts(&first, &[(Some("A"), None)]));
    let out = apply(&mut fickle, inserts(&second, &[(Some("A"), None), (Some("poison"), None)]));
    assert!(dead_ids(&out).contains(&2));
    assert!(reasons(&out).iter().any(|r| r.contains("it gave another plan")), "{:?}", reasons(&out));
    assert!(out.batches.iter().all(|b| b.schema().columns.len() == 6));
}

#[test]
fn a_plugin_that_always_loops_does_not_hold_the_pipeline_up() {
    let mut evil = transform_with("evil_endless_loop", &TransformConfig { batch_ms_max: 40, ..config("{}") });
    let started = Instant::now();
    let mut reasons_seen = Vec::new();
    for _ in 0..40 {
        let out = apply(&mut evil, crowd(500, |_| false));
        assert_eq!((ids(&out).len(), out.dead.len()), (0, 500));
        reasons_seen.extend(reasons(&out));
    }
    let counts = evil.stats().counts();
    assert!(counts.timeouts <= 8 + 3 * 8, "{counts:?}");
    assert_eq!((counts.rows_in, counts.rows_failed), (20_000, 20_000));
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    insta::assert_snapshot!(reasons_seen.first().expect("a reason"));
    assert!(reasons_seen.iter().any(|r| r.starts_with("the plugin was not called, because it failed on the 3 batches before")));
}

#[test]
fn many_guilty_rows_are_all_found() {
    let mut evil = transform("evil_trap", AT);
    let out = apply(&mut evil, crowd(5000, |i| i % 100 == 7));
    let guilty: Vec<i64> = (0..50).map(|i| i * 100 + 8).collect();
    assert_eq!(dead_ids(&out), guilty);
    assert_eq!(ids(&out).len(), 4950);
}

#[test]
fn the_other_policies_hold_for_broken_calls_too() {
    let skipped = apply(&mut with_policy("evil_trap", AT, OnError::Skip), crowd(100, |i| i == 9));
    assert_eq!((ids(&skipped), skipped.dead.len()), (others(100, &[10]), 0));
    let passed = apply(&mut with_policy("evil_trap", AT, OnError::Pass), crowd(100, |i| i == 9));
    assert_eq!((ids(&passed), passed.dead.len()), (others(100, &[]), 0));
    let stopped = with_policy("evil_trap", AT, OnError::Stop).apply(crowd(100, |i| i == 9)).expect_err("it stops");
    assert_eq!(stopped.kind, pipeline::Kind::Table);
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("it is told");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_does_not_grow_over_hundreds_of_hostile_calls() {
    let mut evils: Vec<PluginTransform> = ["evil_trap", "evil_memory_hog", "evil_deep_recursion"]
        .iter()
        .map(|name| transform_with(name, &TransformConfig { memory_max_bytes: 16 << 20, batch_ms_max: 1000, ..config(AT) }))
        .collect();
    let mut round = || {
        for evil in &mut evils {
            apply(evil, crowd(64, |i| i == 20));
        }
    };
    round();
    let before = resident_kib();
    (0..12).for_each(|_| round());
    let after = resident_kib();
    let broken: u64 = evils.iter().map(|e| e.stats().counts().broken_calls()).sum();
    assert!(broken >= 200, "{broken} hostile calls");
    assert!(after < before + (32 << 10), "from {before} KiB to {after} KiB");
}

#[test]
fn a_looping_plugin_in_one_pipeline_does_not_touch_another() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (masked, loops) = std::thread::scope(|scope| {
        let looping = scope.spawn(|| {
            let mut evil = transform("evil_endless_loop", AT);
            let mut dead = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                dead += apply(&mut evil, crowd(16, |i| i == 3)).dead.len();
            }
            (dead, evil.stats().counts().timeouts)
        });
        let mut mask = PluginTransform::new(
            "mask",
            &plugin("mask_pii"),
            &config(r#"{"columns": ["email"]}"#),
            Arc::new(TransformStats::default()),
        )
        .expect("it is configured");
        let mut masked = 0;
        for _ in 0..200 {
            let out = apply(&mut mask, crowd(1000, |_| false));
            assert!(out.dead.is_empty());
            masked += ids(&out).len();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (masked, looping.join().expect("it ends"))
    });
    assert_eq!(masked, 200_000);
    assert!(loops.1 > 0, "it was looping all the while");
    let _ = host();
}

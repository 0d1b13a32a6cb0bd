use crate::{Doubles, eager, last_cursor, table, transactions};
use pipeline::{Desired, Handle, Kind, Monitor, supervise};
use runtime::{CancellationToken, SharedClock, SystemClock};
use testkit::{Fault, FaultScript, MemoryLake, Step, Upstream, VirtualClock};

/// Runs twelve transactions under supervision with one fault, until all is acknowledged.
async fn survives(step: Step, nth: usize, fault: Fault) {
    let what = format!("{step:?} #{nth} {fault:?}");
    let items = transactions(12);
    let last = last_cursor(&items);
    // Time jumps over every delay, so the test does not wait for retries.
    let clock: SharedClock = VirtualClock::hasty().shared();
    let source_side = matches!(step, Step::SourceOpen | Step::Next);
    let script = FaultScript::new().on(step, nth, fault);
    let (lake, upstream) = if source_side {
        let lake = MemoryLake::new();
        (lake.clone(), Upstream::new(items).with_faults(script, clock.clone()).watching(&lake))
    } else {
        let lake = MemoryLake::with_faults(script, clock.clone());
        (lake.clone(), Upstream::new(items).watching(&lake))
    };
    let doubles = Doubles { upstream: upstream.clone(), lake: lake.clone() };
    let monitor = Monitor::new(SystemClock::shared(), 0);
    let (_handle, desired) = Handle::new("p", "scripted", Vec::new(), monitor.clone(), Desired::Running);
    let stop = CancellationToken::new();
    tokio::join!(supervise("p", &doubles, eager(), clock, monitor, desired, stop.clone()), async {
        upstream.until_acked(&last).await;
        stop.cancel();
    });
    assert_eq!(lake.silver(&table("a")).len(), 12, "{what}");
    assert_eq!(lake.bronze(&table("b")).iter().map(model::ChangeBatch::num_rows).sum::<usize>(), 12, "{what}");
    assert_eq!(lake.violations(), Vec::<String>::new(), "{what}");
}

#[tokio::test]
async fn a_fault_at_any_step_loses_and_doubles_nothing() {
    use Step::{Boundary, Commit, Durable, Next, Schema, SinkOpen, SourceOpen, Write};
    for step in [SinkOpen, Schema, Write, Boundary, Commit, Durable, SourceOpen, Next] {
        for nth in [1, 2, 5] {
            if nth > 1 && matches!(step, SinkOpen | SourceOpen) {
                continue;
            }
            for kind in [Kind::Unreachable, Kind::Storage, Kind::Conflict, Kind::Bug] {
                survives(step, nth, Fault::Refuse(kind)).await;
                survives(step, nth, Fault::DoThenFail(kind)).await;
            }
        }
    }
}

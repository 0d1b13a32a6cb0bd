//! Bugs that others shipped, planted here on purpose. Each test shows that the doubles catch it, so that the same tests over the real loop mean something.

use crate::{table, transactions};
use model::Cursor;
use pipeline::{Event, Sink, Source};
use testkit::{MemoryLake, Upstream};

/// Drives a source into a sink by hand, as a loop with the bug would, for the first transaction.
async fn first_transaction(source: &mut dyn Source, sink: &mut dyn Sink) -> Cursor {
    let resume = sink.open().await.expect("opens");
    source.open(resume.as_ref()).await.expect("opens");
    loop {
        match source.next().await.expect("an event") {
            Event::Schema(schema) => sink.schema(&schema).await.expect("accepted"),
            Event::Rows(batch) => sink.write(batch).await.expect("accepted"),
            Event::Boundary(cursor) => {
                sink.boundary(&cursor).await.expect("accepted");
                return cursor;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn bug_1_acknowledging_before_the_data_is_durable_is_caught() {
    let lake = MemoryLake::new();
    let upstream = Upstream::new(transactions(2)).watching(&lake);
    let (mut source, mut sink) = (upstream.source(), lake.sink());
    let cursor = first_transaction(&mut source, &mut sink).await;
    let ticket = sink.commit().expect("a ticket");
    // The bug: "accepted" is taken for "durable".
    source.ack(&cursor);
    assert_eq!(lake.violations().len(), 1, "the early acknowledgement must be seen");
    drop(ticket);
    lake.crash();
    // And what it would cost: the source has forgotten the transaction, the lake never had it.
    let mut again = upstream.source();
    assert!(again.open(lake.cursor().as_ref()).await.is_err());
    assert!(lake.silver(&table("a")).is_empty());
}

#[tokio::test]
async fn the_same_order_without_the_bug_is_clean() {
    let lake = MemoryLake::new();
    let upstream = Upstream::new(transactions(2)).watching(&lake);
    let (mut source, mut sink) = (upstream.source(), lake.sink());
    first_transaction(&mut source, &mut sink).await;
    let durable = sink.commit().expect("a ticket").await.expect("durable");
    source.ack(&durable.cursor);
    assert_eq!(lake.violations(), Vec::<String>::new());
    lake.crash();
    assert!(upstream.source().open(lake.cursor().as_ref()).await.is_ok());
}

//! Queries that take all there is: ingestion goes on, light queries are answered, and who waits is told where in the queue.

use anyhow::{Context, Result, ensure};
use e2e::{Lakebox, Postgres, Project, until};
use std::time::{Duration, Instant};

/// More than there are places, each busy for hours.
const HEAVY: usize = 6;
/// How old what queries see may become meanwhile. Without load it is some hundredths of a second; this machine may have other work.
const FRESH: Duration = Duration::from_secs(10);

#[tokio::test]
async fn heavy_queries_starve_neither_ingestion_nor_light_queries() -> Result<()> {
    let server = Postgres::start(17).await?;
    let db = server.client("postgres").await?;
    db.batch_execute(
        "create table big(id int primary key, note text); create table beat(id int primary key);
         insert into big select g, md5(g::text) || md5((g * 7)::text) from generate_series(1, 40000) g",
    )
    .await?;
    let project = Project::with_server(
        &format!(
            "sources:\n  shop:\n    type: postgres\n    url: {}\n    tables: [\"public.*\"]\n    commit: {{ every: 500ms }}\n",
            server.url("postgres")
        ),
        ", queries_max: 4, query_light: 64KiB, queue_wait: 8s",
    )?;
    let lakebox = project.serve().await?;
    lakebox.answers("select count(*) from silver.shop_big", "[[40000]]").await?;
    until("big to be in files", Duration::from_secs(60), || async {
        let rows = lakebox
            .sql("select hot_rows, files from system.tables where table_name = 'shop_big' and table_schema = 'silver'")
            .await?;
        Ok((rows[0][0] == 0 && rows[0][1].as_i64() > Some(0)).then_some(()))
    })
    .await?;

    let heavy = "select count(*) from silver.shop_big a, silver.shop_big b where md5(a.note || b.note) = 'never'";
    let heavies = (0..HEAVY).map(|_| lakebox.sql(heavy));
    let watching = async {
        // Three of four places may be heavy; the others wait, and are told where.
        until("three to run and the others to queue", Duration::from_secs(30), || async {
            let runs = queries(&lakebox).await?;
            let of = |state: &str| runs.iter().filter(|q| q.state == state && q.query == heavy).collect::<Vec<_>>();
            let mut places: Vec<_> = of("waiting").iter().filter_map(|q| q.queue_position).collect();
            places.sort_unstable();
            Ok((of("running").len() == 3 && places == [1, 2, 3]).then_some(()))
        })
        .await?;
        let mut slowest = Duration::ZERO;
        for beat in 0..20 {
            db.execute("insert into beat values ($1)", &[&beat]).await?;
            let began = Instant::now();
            until("a change to be seen", FRESH, || async {
                let rows = lakebox.sql(&format!("select id from silver.shop_beat where id = {beat}")).await?;
                Ok((rows.len() == 1).then_some(()))
            })
            .await?;
            slowest = slowest.max(began.elapsed());
        }
        println!("beside {HEAVY} heavy queries the slowest of 20 changes was seen after {slowest:?}");
        until("all changes to be durable", FRESH, || async {
            let rows = lakebox
                .sql("select hot_rows from system.tables where table_name = 'shop_beat' and table_schema = 'silver'")
                .await?;
            Ok((rows[0][0] == 0).then_some(()))
        })
        .await?;
        // Those that waited for too long were told so; those that run are ended.
        until("the waiting ones to give up", Duration::from_secs(30), || async {
            let runs = queries(&lakebox).await?;
            let failed = runs.iter().filter(|q| q.state == "failed" && q.query == heavy).collect::<Vec<_>>();
            ensure!(failed.iter().all(|q| q.error.as_deref().is_some_and(|e| e.contains("waited 8 s"))), "{failed:?}");
            Ok((failed.len() == HEAVY - 3).then_some(()))
        })
        .await?;
        for run in queries(&lakebox).await?.iter().filter(|q| q.state == "running" && q.query == heavy) {
            let client = reqwest::Client::builder().no_proxy().build()?;
            client.delete(format!("{}/api/v1/queries/{}", lakebox.url(), run.id)).send().await?.error_for_status()?;
        }
        anyhow::Ok(())
    };
    let (answers, watched) = tokio::join!(futures_all(heavies), watching);
    watched.with_context(|| lakebox.log_tail())?;
    ensure!(answers.iter().all(Result::is_err), "one of the heavy queries ended");
    lakebox.terminate().await
}

async fn queries(lakebox: &Lakebox) -> Result<Vec<api::QueryRun>> {
    Ok(serde_json::from_value(lakebox.get("/api/v1/queries").await?)?)
}

/// Runs all at once and waits for all.
async fn futures_all<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = all.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in pinned.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *done = Some(value);
            }
        }
        if pinned.iter().all(|(_, done)| done.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pinned.into_iter().filter_map(|(_, done)| done).collect()
}

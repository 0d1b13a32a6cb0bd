//! Who reads what whom wrote: lakebox and real outside engines over one catalog, while lakebox ingests. The result is a page of the documentation.

mod version3;

use crate::readers::settled;
use anyhow::{Context, Result, ensure};
use e2e::{Engine, Lakebox, Postgres, Project, Row};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
};

const STEPS: [&str; 7] =
    ["append", "update", "delete", "schema change", "partition evolution", "compaction", "Iceberg format version 3"];
const BEFORE: [&str; 4] = ["id", "name", "amount", "day"];
const AFTER: [&str; 5] = ["id", "label", "amount", "day", "extra"];
/// A pipeline takes a renamed column for a new one and copies the table again, which is a test of its own.
const AFTER_AT_SOURCE: [&str; 5] = ["id", "name", "amount", "day", "extra"];

/// The rows that a table must have.
#[derive(Default)]
struct Expected(BTreeMap<i64, Row>);

impl Expected {
    /// The same rows as `row` in engine.py.
    fn append(&mut self, first: i64, last: i64, evolved: bool) {
        for i in first..=last {
            let mut row = vec![
                Some(i.to_string()),
                (i % 7 != 0).then(|| format!("name {i}")),
                (i % 11 != 0).then(|| format!("{}.{:02}", i * 125 / 100, i * 125 % 100)),
                Some(format!("2026-01-{:02}", 1 + i % 10)),
            ];
            if evolved {
                row.push(Some((i * 2).to_string()));
            }
            self.0.insert(i, row);
        }
    }

    fn update(&mut self) {
        self.0.values_mut().filter(|r| id(r) % 3 == 0).for_each(|r| r[1] = Some("changed".to_owned()));
    }

    fn delete(&mut self) {
        self.0.retain(|id, _| id % 5 != 0);
    }

    fn evolve(&mut self) {
        self.0.values_mut().for_each(|r| r.push(None));
    }

    fn rows(&self) -> Vec<Row> {
        self.0.values().cloned().collect()
    }
}

fn id(row: &Row) -> i64 {
    row[0].as_deref().and_then(|i| i.parse().ok()).unwrap_or(0)
}

/// Everyone at the table.
struct House {
    lakebox: Lakebox,
    engines: Vec<Engine>,
    /// Lines of the page: writer, operation, and a cell for each reader.
    lines: Vec<(String, &'static str, Vec<String>)>,
    wrong: Vec<String>,
}

impl House {
    async fn new(lakebox: Lakebox) -> Result<Self> {
        let mut engines = Vec::new();
        for name in ["pyiceberg", "duckdb", "spark"] {
            engines.push(Engine::start(name, &lakebox, None).await.with_context(|| name)?);
        }
        Ok(Self { lakebox, engines, lines: Vec::new(), wrong: Vec::new() })
    }

    async fn tell(&mut self, engine: &str, what: &str, arguments: Value) -> Result<()> {
        let engine = self.engines.iter_mut().find(|e| e.name() == engine).context("no such engine")?;
        engine.tell(what, arguments).await.map(drop)
    }

    /// Everyone reads, at once and without waiting for anything; a line of the page says how it went.
    async fn check(&mut self, writer: &str, step: &'static str, table: &str, columns: &[&str], expected: &Expected) {
        let mut cells = self.nobody_yet();
        self.compare(table, columns, expected, &mut cells).await;
        self.note(writer, step, table, cells);
    }

    /// One engine does everything it can to a table of its own.
    async fn engine_writes(&mut self, name: &'static str) -> Result<()> {
        let (table, title) = (format!("matrix.{name}"), self.version(name));
        let mut expected = Expected::default();
        self.tell(name, "create", json!({"table": table})).await?;
        for (first, last) in [(1, 40), (41, 50)] {
            self.tell(name, "append", json!({"table": table, "first": first, "last": last})).await?;
            expected.append(first, last, false);
        }
        self.check(&title, STEPS[0], &table, &BEFORE, &expected).await;
        self.tell(name, "update", json!({"table": table})).await?;
        expected.update();
        self.check(&title, STEPS[1], &table, &BEFORE, &expected).await;
        self.tell(name, "delete", json!({"table": table})).await?;
        expected.delete();
        self.check(&title, STEPS[2], &table, &BEFORE, &expected).await;
        self.tell(name, "evolve", json!({"table": table})).await?;
        self.tell(name, "append", json!({"table": table, "first": 101, "last": 120, "evolved": true})).await?;
        self.tell(name, "delete", json!({"table": table})).await?;
        expected.evolve();
        expected.append(101, 120, true);
        expected.delete();
        self.check(&title, STEPS[3], &table, &AFTER, &expected).await;
        self.tell(name, "partition", json!({"table": table})).await?;
        self.tell(name, "append", json!({"table": table, "first": 201, "last": 230, "evolved": true})).await?;
        self.tell(name, "delete", json!({"table": table})).await?;
        expected.append(201, 230, true);
        expected.delete();
        self.check(&title, STEPS[4], &table, &AFTER, &expected).await;
        if name == "spark" {
            self.tell(name, "compact", json!({"table": table})).await?;
        } else {
            self.compact(&table).await?;
        }
        self.check(&title, STEPS[5], &table, &AFTER, &expected).await;
        if name == "spark" {
            self.upgraded(&table, expected).await?;
        }
        self.version3(name).await
    }

    fn nobody_yet(&self) -> Vec<String> {
        vec!["yes".to_owned(); 1 + self.engines.len()]
    }

    /// Everyone reads; whoever was right so far and is wrong now is told so.
    async fn compare(&mut self, table: &str, columns: &[&str], expected: &Expected, cells: &mut [String]) {
        let expected = expected.rows();
        let mut found = vec![cell(ours(&self.lakebox, table, columns).await, &expected)];
        for engine in &mut self.engines {
            found.push(cell(engine.rows(table, columns).await, &expected));
        }
        for (known, now) in cells.iter_mut().zip(found) {
            if known == "yes" {
                *known = now;
            }
        }
    }

    /// A line of the page.
    fn note(&mut self, writer: &str, step: &'static str, table: &str, cells: Vec<String>) {
        let wrong = cells.iter().filter(|c| *c != "yes").map(|c| format!("{table} after {step}: {c}"));
        self.wrong.extend(wrong);
        self.lines.push((writer.to_owned(), step, cells));
    }

    /// lakebox's upkeep folds the files of a table of an outside engine.
    async fn compact(&mut self, table: &str) -> Result<()> {
        let (schema, name) = table.split_once('.').context("a schema")?;
        self.lakebox.upkeep().await?;
        let left = self
            .lakebox
            .sql(&format!("select count(*), count(*) filter (where content <> 'data' ) from \"{schema}\".\"{name}$files\""))
            .await?;
        let partitions = self.lakebox.sql(&format!("select count(*) from \"{schema}\".\"{name}$partitions\"")).await?;
        ensure!(left[0][0] == partitions[0][0] && left[0][1] == 0, "{table} has {left:?} files in {partitions:?} partitions");
        Ok(())
    }

    /// lakebox's SQL adds rows.
    async fn insert(&self, table: &str, first: i64, last: i64, extra: &str) -> Result<()> {
        let rows = format!(
            "select g, case when g % 7 <> 0 then 'name ' || g end, case when g % 11 <> 0 then g * 1.25 end, \
             cast(cast(20454 + g % 10 as int) as date) {extra} from generate_series({first}, {last}) as s(g)"
        );
        self.lakebox.sql(&format!("insert into {table} {rows}")).await.map(drop)
    }

    /// lakebox's SQL does everything that it can to a table of its own.
    async fn sql_writes(&mut self) -> Result<()> {
        let (table, title) = ("matrix.lakebox", "lakebox (SQL)");
        let mut expected = Expected::default();
        let delete = format!("delete from {table} where id % 5 = 0");
        self.lakebox.sql(&format!("create table {table} (id bigint, name text, amount numeric(12,2), day date)")).await?;
        for (first, last) in [(1, 40), (41, 50)] {
            self.insert(table, first, last, "").await?;
            expected.append(first, last, false);
        }
        self.check(title, STEPS[0], table, &BEFORE, &expected).await;
        self.lakebox.sql(&format!("update {table} set name = 'changed' where id % 3 = 0")).await?;
        expected.update();
        self.check(title, STEPS[1], table, &BEFORE, &expected).await;
        self.lakebox.sql(&delete).await?;
        expected.delete();
        self.check(title, STEPS[2], table, &BEFORE, &expected).await;
        self.lakebox.sql(&format!("alter table {table} add column extra bigint")).await?;
        self.lakebox.sql(&format!("alter table {table} rename column name to label")).await?;
        self.insert(table, 101, 120, ", g * 2").await?;
        self.lakebox.sql(&delete).await?;
        expected.evolve();
        expected.append(101, 120, true);
        expected.delete();
        self.check(title, STEPS[3], table, &AFTER, &expected).await;
        self.lakebox
            .sql(&format!("alter table {table} set partitioned by (month(day), bucket(4, id), truncate(3, label))"))
            .await?;
        self.insert(table, 201, 230, ", g * 2").await?;
        self.lakebox.sql(&format!("alter table {table} set partitioned by (day)")).await?;
        self.insert(table, 231, 240, ", g * 2").await?;
        // Rows of three partition specs, in one statement.
        self.lakebox.sql(&format!("delete from {table} where id % 5 = 0 or id in (4, 204)")).await?;
        expected.append(201, 240, true);
        expected.delete();
        expected.0.retain(|id, _| ![4, 204].contains(id));
        self.check(title, STEPS[4], table, &AFTER, &expected).await;
        self.compact(table).await?;
        self.check(title, STEPS[5], table, &AFTER, &expected).await;
        Ok(())
    }

    /// All engines change one table in turn.
    async fn all_write(&mut self) -> Result<Expected> {
        let (table, title) = ("matrix.shared", "all of them in turn");
        let mut expected = Expected::default();
        let append = |first: i64, last: i64| json!({"table": table, "first": first, "last": last});
        self.tell("pyiceberg", "create", json!({"table": table})).await?;
        self.tell("pyiceberg", "append", append(1, 30)).await?;
        self.tell("duckdb", "append", append(31, 60)).await?;
        self.tell("spark", "append", append(61, 90)).await?;
        expected.append(1, 90, false);
        self.check(title, STEPS[0], table, &BEFORE, &expected).await;
        self.tell("spark", "update", json!({"table": table})).await?;
        expected.update();
        self.check(title, STEPS[1], table, &BEFORE, &expected).await;
        self.tell("duckdb", "delete", json!({"table": table})).await?;
        expected.delete();
        self.check(title, STEPS[2], table, &BEFORE, &expected).await;
        self.tell("spark", "evolve", json!({"table": table})).await?;
        self.tell("duckdb", "append", json!({"table": table, "first": 101, "last": 110, "evolved": true})).await?;
        expected.evolve();
        expected.append(101, 110, true);
        self.check(title, STEPS[3], table, &AFTER, &expected).await;
        self.tell("duckdb", "partition", json!({"table": table})).await?;
        self.tell("pyiceberg", "append", json!({"table": table, "first": 201, "last": 210, "evolved": true})).await?;
        self.tell("spark", "delete", json!({"table": table})).await?;
        expected.append(201, 210, true);
        expected.delete();
        self.check(title, STEPS[4], table, &AFTER, &expected).await;
        self.lakebox.sql(&format!("delete from {table} where id in (1, 31, 61, 101, 201)")).await?;
        self.lakebox.sql(&format!("update {table} set label = 'by lakebox' where id in (2, 32, 62, 102, 202)")).await?;
        expected.0.retain(|id, _| ![1, 31, 61, 101, 201].contains(id));
        for id in [2, 32, 62, 102, 202] {
            expected.0.entry(id).and_modify(|row| row[1] = Some("by lakebox".to_owned()));
        }
        self.compact(table).await?;
        self.tell("duckdb", "append", json!({"table": table, "first": 301, "last": 310, "evolved": true})).await?;
        expected.append(301, 310, true);
        self.tell("spark", "compact", json!({"table": table})).await?;
        self.check(title, STEPS[5], table, &AFTER, &expected).await;
        // CREATE TABLE AS is another way in: the table is staged, written, and made by its first commit.
        for engine in ["pyiceberg", "duckdb", "spark"] {
            let copy = format!("matrix.copy_{engine}");
            self.tell(engine, "create_as", json!({"table": copy, "source": table})).await?;
            let rows = ours(&self.lakebox, &copy, &AFTER).await?;
            ensure!(rows == expected.rows(), "{engine}'s copy has {} rows: {rows:?}", rows.len());
        }
        Ok(expected)
    }

    /// DuckDB 1.5 puts deletes of rows from before a partition evolution into the new partition spec, where PyIceberg and Spark don't look for
    /// them. Such a commit is refused, so that engines never disagree.
    async fn misplaced_deletes_are_refused(&mut self) -> Result<()> {
        let table = json!({"table": "matrix.misplaced"});
        self.tell("duckdb", "create", table.clone()).await?;
        self.tell("duckdb", "append", json!({"table": "matrix.misplaced", "first": 1, "last": 10})).await?;
        self.tell("duckdb", "partition", table.clone()).await?;
        self.tell("duckdb", "append", json!({"table": "matrix.misplaced", "first": 11, "last": 20})).await?;
        let Err(error) = self.tell("duckdb", "delete", table).await else {
            anyhow::bail!("engines disagree on matrix.misplaced now")
        };
        ensure!(format!("{error:#}").contains("in another partition"), "{error:#}");
        let mut expected = Expected::default();
        expected.append(1, 20, false);
        ensure!(ours(&self.lakebox, "matrix.misplaced", &BEFORE).await? == expected.rows());
        Ok(())
    }

    /// lakebox's own writer: a pipeline, and what is done at its source.
    async fn pipeline_writes(&mut self, db: &tokio_postgres::Client) -> Result<()> {
        let (table, title) = ("silver.shop_matrix", "lakebox (a PostgreSQL pipeline)");
        let insert = |first: i64, last: i64, extra: &str| {
            format!(
                "insert into matrix select g, case when g % 7 <> 0 then 'name ' || g end, case when g % 11 <> 0 then g * 1.25 end, \
                 date '2026-01-01' + (g % 10)::int {extra} from generate_series({first}, {last}) g"
            )
        };
        let mut expected = Expected::default();
        db.batch_execute(&insert(1, 50, "")).await?;
        expected.append(1, 50, false);
        settled(&self.lakebox, db).await?;
        self.check(title, STEPS[0], table, &BEFORE, &expected).await;
        db.batch_execute("update matrix set name = 'changed' where id % 3 = 0").await?;
        expected.update();
        settled(&self.lakebox, db).await?;
        self.check(title, STEPS[1], table, &BEFORE, &expected).await;
        db.batch_execute("delete from matrix where id % 5 = 0").await?;
        expected.delete();
        settled(&self.lakebox, db).await?;
        self.check(title, STEPS[2], table, &BEFORE, &expected).await;
        db.batch_execute("alter table matrix add column extra bigint").await?;
        db.batch_execute(&insert(101, 120, ", g * 2")).await?;
        expected.evolve();
        expected.append(101, 120, true);
        settled(&self.lakebox, db).await?;
        self.check(title, STEPS[3], table, &AFTER_AT_SOURCE, &expected).await;
        self.compact(table).await?;
        self.check(title, STEPS[5], table, &AFTER_AT_SOURCE, &expected).await;
        Ok(())
    }

    fn version(&self, name: &str) -> String {
        self.engines.iter().find(|e| e.name() == name).map_or_else(String::new, |e| e.version().to_owned())
    }

    fn page(&self) -> String {
        let mut page = String::from(INTRODUCTION);
        let readers: Vec<&str> = self.engines.iter().map(Engine::version).collect();
        let _ = writeln!(page, "| Written by | Operation | lakebox | {} |", readers.join(" | "));
        let _ = writeln!(page, "|---|---|---|{}", "---|".repeat(readers.len()));
        for (writer, step, cells) in &self.lines {
            let _ = writeln!(page, "| {writer} | {step} | {} |", cells.join(" | "));
        }
        page + NOTES
    }
}

const INTRODUCTION: &str = "# Compatibility

Which engine reads what which other engine wrote. Every line is a test with the real engines, over lakebox's
[Iceberg REST catalog](iceberg-rest.md) and while pipelines ingest: after each operation every reader must return exactly the expected rows, and the same number by
its own `count(*)`, at once and without a refresh. This page is written by that test (`e2e/tests/matrix.rs`); don't edit it.

";

const NOTES: &str = "
* An append is two commits. PyIceberg updates and deletes by writing files anew; DuckDB, Spark (merge on read) and lakebox by position deletes.
* A schema change adds a column and renames another, with rows from before and after. For the pipeline it adds a column at the source.
* Partition evolution gives an unpartitioned table a partition by `day` (Spark: by `bucket(4, id)` and `day`), with rows from before and after, and deletes of
  later ones (in the table that all write, of both). DuckDB 1.5.5 puts deletes of rows from before into the wrong partition, where PyIceberg and Spark don't find them; lakebox
  [refuses](iceberg-rest.md#what-is-refused-and-why) such a commit.
* The tables of pipelines have no partitions, so there is no line for them. lakebox's SQL goes through three partition specs, and deletes rows of all three in one statement.
* Compaction is lakebox's [upkeep](guide.md#upkeep) for the tables of PyIceberg, which has none, of DuckDB, and its own: afterwards each partition has one file and no deletes. Spark
  runs `rewrite_data_files`. The table that all write is changed and compacted by lakebox, then appended to by DuckDB and compacted by Spark.
* [Format version 3](tables.md#format-version-3): two appends, an update, deletes by the writer, by lakebox, and by the writer again (deletion vectors that take in each other's), and lakebox's upkeep, after
  which Spark finds every row under the same `_row_id` and `_last_updated_sequence_number`. A line says yes where every reader was right after each of these. PyIceberg 0.12.0 makes and reads such tables and
  can't write rows. Spark's own table was upgraded from version 2, with delete files, partition specs and all. DuckDB 1.5.5 loses deletes where vectors of several data files share a file, as
  Spark writes them: lakebox [refuses](iceberg-rest.md#what-is-refused-and-why) such a commit, and gives vectors files of their own in tables that outside engines write.
";

async fn ours(lakebox: &Lakebox, table: &str, columns: &[&str]) -> Result<Vec<Row>> {
    let counted = lakebox.sql(&format!("select count(*) from {table}")).await?;
    let rows = lakebox.sql(&format!("select {} from {table} order by id", columns.join(", "))).await?;
    ensure!(
        counted[0][0].as_u64() == Some(rows.len() as u64),
        "count(*) says {}, but there are {} rows",
        counted[0][0],
        rows.len()
    );
    let plain = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Ok(rows.iter().map(|row| row.iter().map(plain).collect()).collect())
}

fn cell(found: Result<Vec<Row>>, expected: &[Row]) -> String {
    match found {
        Err(error) => format!("no: {error:#}"),
        Ok(rows) if rows == expected => "yes".to_owned(),
        Ok(rows) => {
            let differ = rows.iter().zip(expected).find(|(a, b)| a != b);
            format!("no: {} rows, not {}; the first that differs: {differ:?}", rows.len(), expected.len())
        }
    }
}

/// The page in the sources.
fn page_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

fn renewed() -> bool {
    #[expect(clippy::disallowed_methods, reason = "whoever renews the page says so to the test")]
    std::env::var("LAKEBOX_RENEW_DOCS").is_ok()
}

#[tokio::test]
async fn every_engine_reads_what_every_engine_writes_while_pipelines_ingest() -> Result<()> {
    let server = Postgres::start(15).await?;
    let db = server.client("postgres").await?;
    for table in ["matrix", "third"] {
        let columns = "id bigint primary key, name text, amount numeric(12,2), day date";
        db.batch_execute(&format!("create table {table}({columns})")).await?;
    }
    let sources = "sources:\n  shop:\n    type: postgres\n    url: URL\n    tables: [\"public.*\"]\n    commit: { every: 100ms }\n  bank:\n    type: simulator\n    rate: 50\n    commit: { every: 500ms }\nupkeep:\n  tables:\n    silver.shop_third: { format_version: 3 }\n";
    let project = Project::new(&sources.replace("URL", &server.url("postgres")))?;
    let lakebox = project.serve().await?;
    settled(&lakebox, &db).await?;
    lakebox.streams("bank").await?;
    lakebox.upkeep().await?;
    let mut house = House::new(lakebox).await?;
    let ingested = house.lakebox.pipeline("bank").await?.rows_total;

    house.pipeline_writes(&db).await?;
    house.pipeline_writes_version3(&db).await?;
    house.tell("duckdb", "namespace", json!({"name": "matrix"})).await?;
    house.sql_writes().await?;
    for name in ["pyiceberg", "duckdb", "spark"] {
        house.engine_writes(name).await.with_context(|| format!("{name} writes"))?;
    }
    let shared = house.all_write().await?;
    house.misplaced_deletes_are_refused().await?;
    house.all_write_version3().await?;
    house.lost_vectors_are_refused().await?;

    let bank = house.lakebox.pipeline("bank").await?;
    ensure!(bank.rows_total > ingested && bank.last_error.is_none(), "the pipeline did not go on: {bank:?}");
    ensure!(house.wrong.is_empty(), "{}", house.wrong.join("\n"));
    let page = house.page();
    let House { lakebox, engines, .. } = house;
    drop(engines);
    lakebox.terminate().await?;
    // What outside engines wrote is there after a restart.
    let lakebox = project.serve().await?;
    ensure!(ours(&lakebox, "matrix.shared", &AFTER).await? == shared.rows());
    lakebox.terminate().await?;

    if renewed() {
        std::fs::write(page_file(), &page)?;
    }
    let kept = std::fs::read_to_string(page_file()).unwrap_or_default();
    ensure!(kept == page, "docs/compatibility.md is out of date; run this test with LAKEBOX_RENEW_DOCS=1. It must say:\n{page}");
    Ok(())
}

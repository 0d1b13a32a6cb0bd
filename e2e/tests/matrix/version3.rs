//! Tables of format version 3 in the matrix: deletion vectors, row lineage and upgrades, by everyone who can write them.

use super::{AFTER, BEFORE, Expected, House, STEPS, ours};
use crate::readers::settled;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

impl House {
    /// A table that has known everything else becomes one of version 3.
    pub(super) async fn upgraded(&mut self, table: &str, mut expected: Expected) -> Result<()> {
        self.tell("spark", "upgrade", json!({"table": table})).await?;
        self.tell("spark", "append", json!({"table": table, "first": 301, "last": 330, "evolved": true})).await?;
        self.tell("spark", "delete", json!({"table": table})).await?;
        self.lakebox.sql(&format!("delete from {table} where id in (1, 301)")).await?;
        expected.append(301, 330, true);
        expected.delete();
        expected.0.retain(|id, _| ![1, 301].contains(id));
        let mut cells = self.nobody_yet();
        self.compare(table, &AFTER, &expected, &mut cells).await;
        self.compact(table).await?;
        self.compare(table, &AFTER, &expected, &mut cells).await;
        self.note("Spark and lakebox, an upgraded table", STEPS[6], table, cells);
        Ok(())
    }

    /// lakebox's upkeep folds the files of a table of version 3, and every row keeps its id and the number of its last change, as Spark sees them.
    async fn compact_in_place(&mut self, table: &str) -> Result<()> {
        let spark = self.engines.iter_mut().find(|e| e.name() == "spark").context("no Spark")?;
        let before = spark.tell("lineage", json!({"table": table})).await?;
        ensure!(before.as_array().is_some_and(|rows| !rows.is_empty()), "{table} is empty");
        self.compact(table).await?;
        let spark = self.engines.iter_mut().find(|e| e.name() == "spark").context("no Spark")?;
        let after = spark.tell("lineage", json!({"table": table})).await?;
        ensure!(before == after, "rows of {table} have other ids after a rewrite: {before}, then {after}");
        Ok(())
    }

    /// An engine makes a table of version 3, and does to it what it can; so does lakebox's SQL after it.
    pub(super) async fn version3(&mut self, name: &'static str) -> Result<()> {
        let table = format!("matrix.third_{name}");
        self.tell(name, "version3", json!({"table": table})).await?;
        let version = self.format_version(&table).await?;
        ensure!(version == 3, "{name} made a table of version {version}");
        let mut expected = Expected::default();
        let mut cells = self.nobody_yet();
        let mut title = self.version(name);
        let first = self.tell(name, "append", json!({"table": table, "first": 1, "last": 40})).await;
        if name == "pyiceberg" {
            let error = first.err().context("PyIceberg writes version 3 now: let it write here, too")?;
            ensure!(format!("{error:#}").contains("Cannot write manifest for table version: 3"), "{error:#}");
            title = format!("{title} makes the table, lakebox (SQL) writes");
            self.insert(&table, 1, 40, "").await?;
            self.insert(&table, 41, 50, "").await?;
            self.lakebox.sql(&format!("update {table} set name = 'changed' where id % 3 = 0")).await?;
            self.lakebox.sql(&format!("delete from {table} where id % 5 = 0")).await?;
        } else {
            first?;
            self.tell(name, "append", json!({"table": table, "first": 41, "last": 50})).await?;
            self.tell(name, "update", json!({"table": table})).await?;
            self.tell(name, "delete", json!({"table": table})).await?;
        }
        expected.append(1, 50, false);
        expected.update();
        expected.delete();
        self.compare(&table, &BEFORE, &expected, &mut cells).await;
        // Vectors of others are taken in, and others take in ours.
        self.lakebox.sql(&format!("delete from {table} where id in (1, 41)")).await?;
        self.insert(&table, 60, 70, "").await?;
        expected.0.retain(|id, _| ![1, 41].contains(id));
        expected.append(60, 70, false);
        self.compare(&table, &BEFORE, &expected, &mut cells).await;
        if name != "pyiceberg" {
            self.tell(name, "delete", json!({"table": table})).await?;
            expected.delete();
            self.compare(&table, &BEFORE, &expected, &mut cells).await;
        }
        self.compact_in_place(&table).await?;
        self.compare(&table, &BEFORE, &expected, &mut cells).await;
        self.note(&title, STEPS[6], &table, cells);
        Ok(())
    }

    async fn format_version(&self, table: &str) -> Result<Value> {
        let path = format!("/api/v1/tables/{}", table.replace('.', "/"));
        Ok(self.lakebox.get(&path).await?["format_version"].clone())
    }

    /// DuckDB 1.5 replaces a deletion vector by taking its whole file away, and with it the vectors of other data files that are in there. Such a commit is
    /// refused, so that no deleted row comes back.
    pub(super) async fn lost_vectors_are_refused(&mut self) -> Result<()> {
        let name = "matrix.lost";
        let table = json!({"table": name});
        self.tell("spark", "version3", table.clone()).await?;
        for (first, last) in [(1, 20), (21, 40)] {
            self.tell("spark", "append", json!({"table": name, "first": first, "last": last})).await?;
        }
        self.tell("spark", "delete", table.clone()).await?;
        let mut expected = Expected::default();
        expected.append(1, 40, false);
        expected.delete();
        let done = self.tell("duckdb", "sql", json!({"statement": format!("delete from lb.{name} where id = 1")})).await;
        let Err(error) = done else { anyhow::bail!("DuckDB keeps vectors that share a file now") };
        ensure!(format!("{error:#}").contains("deleted rows of"), "{error:#}");
        ensure!(ours(&self.lakebox, name, &BEFORE).await? == expected.rows());
        // What the answer says helps.
        self.lakebox.sql(&format!("call system.compact('{name}')")).await?;
        self.tell("duckdb", "sql", json!({"statement": format!("delete from lb.{name} where id = 1")})).await?;
        expected.0.remove(&1);
        ensure!(ours(&self.lakebox, name, &BEFORE).await? == expected.rows());
        Ok(())
    }

    /// All engines that write version 3 change one table of it in turn.
    pub(super) async fn all_write_version3(&mut self) -> Result<()> {
        let (table, mut expected) = ("matrix.third", Expected::default());
        let mut cells = self.nobody_yet();
        self.lakebox
            .sql(&format!(
                "create table {table} (id bigint, name text, amount numeric(12,2), day date) with (format_version = 3) partitioned by (bucket(2, id))"
            ))
            .await?;
        self.insert(table, 1, 30, "").await?;
        self.tell("duckdb", "append", json!({"table": table, "first": 31, "last": 60})).await?;
        self.tell("spark", "append", json!({"table": table, "first": 61, "last": 90})).await?;
        expected.append(1, 90, false);
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.tell("spark", "update", json!({"table": table})).await?;
        expected.update();
        self.lakebox.sql(&format!("delete from {table} where id % 5 = 0")).await?;
        expected.delete();
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.compact_in_place(table).await?;
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.tell("duckdb", "sql", json!({"statement": format!("delete from lb.{table} where id in (2, 33, 64)")})).await?;
        self.tell("spark", "sql", json!({"statement": format!("delete from lb.{table} where id in (4, 34, 66)")})).await?;
        self.lakebox.sql(&format!("update {table} set name = 'by lakebox' where id in (6, 36, 68)")).await?;
        expected.0.retain(|id, _| ![2, 33, 64, 4, 34, 66].contains(id));
        for id in [6, 36, 68] {
            expected.0.entry(id).and_modify(|row| row[1] = Some("by lakebox".to_owned()));
        }
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.tell("spark", "compact", json!({"table": table})).await?;
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.note("all but PyIceberg in turn", STEPS[6], table, cells);
        Ok(())
    }

    /// A pipeline keeps a table of version 3.
    pub(super) async fn pipeline_writes_version3(&mut self, db: &tokio_postgres::Client) -> Result<()> {
        let (table, mut expected) = ("silver.shop_third", Expected::default());
        let mut cells = self.nobody_yet();
        let version = self.format_version(table).await?;
        ensure!(version == 3, "{table} has version {version}");
        let insert = |first: i64, last: i64| {
            format!(
                "insert into third select g, case when g % 7 <> 0 then 'name ' || g end, case when g % 11 <> 0 then g * 1.25 end, \
                 date '2026-01-01' + (g % 10)::int from generate_series({first}, {last}) g"
            )
        };
        for (first, last) in [(1, 30), (31, 50)] {
            db.batch_execute(&insert(first, last)).await?;
            settled(&self.lakebox, db).await?;
        }
        expected.append(1, 50, false);
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        db.batch_execute("update third set name = 'changed' where id % 3 = 0").await?;
        settled(&self.lakebox, db).await?;
        db.batch_execute("delete from third where id % 5 = 0").await?;
        settled(&self.lakebox, db).await?;
        expected.update();
        expected.delete();
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.compact_in_place(table).await?;
        self.compare(table, &BEFORE, &expected, &mut cells).await;
        self.note("lakebox (a PostgreSQL pipeline)", STEPS[6], table, cells);
        Ok(())
    }
}

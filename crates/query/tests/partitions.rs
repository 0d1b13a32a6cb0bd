//! Partitions, as queries feel them: no row is ever left out by them, files without their columns are read rightly, and SQL makes and changes them.

use crate::disk::OnDisk;
use crate::support::{Dice, Lake as ByHand, field, rows as text_rows, schema};
use ::lake::{ColumnStats, ReplaceOptions, Thresholds};
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray, new_null_array,
    },
    datatypes::{DataType, Field, Schema},
};
use model::LakeTable;
use query::QueryRequest;
use runtime::CancellationToken;
use std::{collections::BTreeMap, ops::Deref, sync::Arc};

struct World(OnDisk);

impl Deref for World {
    type Target = OnDisk;

    fn deref(&self) -> &OnDisk {
        &self.0
    }
}

async fn world() -> World {
    World(OnDisk::new().await)
}

impl World {
    async fn run(&self, sql: &str) -> Result<(), query::Error> {
        let done = self.engine.change(&QueryRequest::new(sql.to_owned(), "test")).await?;
        assert!(done.is_some(), "{sql} is no change");
        Ok(())
    }

    async fn must(&self, sql: &str) {
        self.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    async fn replace(&self, table: &str, batch: RecordBatch, by: &[&str]) {
        let table: LakeTable = table.parse().unwrap();
        let by: Vec<_> = by.iter().map(|f| f.parse().unwrap()).collect();
        let options = ReplaceOptions {
            schema: batch.schema(),
            key: Vec::new(),
            sort_order: Vec::new(),
            summary: BTreeMap::new(),
            writer: None,
        };
        let rows = Box::pin(futures::stream::iter([Ok(batch)]));
        self.lake.replace_partitioned(table, rows, options, &by).await.unwrap();
    }
}

const ROWS: i64 = 700;

/// Values around zero and 1970, with NULLs.
fn values() -> RecordBatch {
    let mut dice = Dice(42);
    let all: Vec<i64> = (0..ROWS).collect();
    let mut some = |below: u64| -> Vec<Option<i64>> {
        let half = (below / 2).cast_signed();
        all.iter().map(|_| (!dice.one_in(9)).then(|| dice.below(below).cast_signed() - half)).collect()
    };
    let (small, amount, day, at, clock, word, flag, raw) =
        (some(60), some(4000), some(1500), some(4_000_000), some(90_000_000), some(40), some(4), some(600));
    let amount: Decimal128Array = amount.iter().map(|v| v.map(i128::from)).collect();
    let times = |of: &[Option<i64>], us: i64| of.iter().map(|v| v.map(|v| v * us + 1)).collect::<TimestampMicrosecondArray>();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(all.clone()))),
        ("small", Arc::new(small.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())),
        ("amount", Arc::new(amount.with_precision_and_scale(12, 2).unwrap())),
        ("day", Arc::new(day.iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>())),
        ("seen", Arc::new(times(&at, 1_000_000).with_timezone("UTC"))),
        ("clock", Arc::new(times(&clock, 1_000))),
        ("word", Arc::new(word.iter().map(|v| v.map(|v| format!("wörd {}{}", v % 4, v))).collect::<StringArray>())),
        ("flag", Arc::new(flag.iter().map(|v| v.map(|v| v > 0)).collect::<BooleanArray>())),
        ("raw", Arc::new(raw.iter().map(|v| v.map(|v| v.to_be_bytes()[6..].to_vec())).collect::<BinaryArray>())),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()).unwrap()
}

/// A literal that a column may hold, or nearly.
fn literal(dice: &mut Dice, column: &str) -> String {
    let mut number = |below: u64| dice.below(below).cast_signed() - (below / 2).cast_signed();
    match column {
        "id" => (number(1400) + 350).to_string(),
        "small" => number(70).to_string(),
        "amount" => format!("{}.{:02}", number(44), number(100).abs() % 100),
        "day" => format!("date '1970-01-01' + interval '{} days'", number(1600)),
        "seen" => format!("timestamptz '1970-01-01 00:00:00.000001Z' + interval '{} seconds'", number(4_200_000)),
        "clock" => format!("timestamp '1970-01-01 00:00:00.000001' + interval '{} milliseconds'", number(92_000_000)),
        "word" => {
            let n = number(44);
            format!("'wörd {}{n}'", n % 4)
        }
        "flag" => (number(2) >= 0).to_string(),
        _ => format!("decode('{:04x}', 'hex')", number(600) as u16),
    }
}

fn predicate(dice: &mut Dice, depth: u32) -> String {
    const COLUMNS: [&str; 9] = ["id", "small", "amount", "day", "seen", "clock", "word", "flag", "raw"];
    if depth > 0 && !dice.one_in(3) {
        let (left, right) = (predicate(dice, depth - 1), predicate(dice, depth - 1));
        return match dice.below(5) {
            0 => format!("NOT ({left})"),
            1 | 2 => format!("({left}) OR ({right})"),
            _ => format!("({left}) AND ({right})"),
        };
    }
    let column = COLUMNS[dice.below(COLUMNS.len() as u64) as usize];
    match dice.below(8) {
        0 => format!("{column} IS NULL"),
        1 => format!("{column} IS NOT NULL"),
        2 | 3 => format!("{column} = {}", literal(dice, column)),
        4 => {
            let list: Vec<String> = (0..1 + dice.below(4)).map(|_| literal(dice, column)).collect();
            format!("{column} {}IN ({})", if dice.one_in(4) { "NOT " } else { "" }, list.join(", "))
        }
        5 if column == "word" => format!("word LIKE 'wörd {}%'", dice.below(4).cast_signed() - 2),
        5 => format!("{column} BETWEEN {} AND {}", literal(dice, column), literal(dice, column)),
        _ => format!("{column} {} {}", ["<", "<=", ">", ">=", "<>"][dice.below(5) as usize], literal(dice, column)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_left_out_whatever_is_asked_and_however_rows_are_partitioned() {
    let world = world().await;
    let mut dice = Dice(7);
    world.replace("gold.plain", values(), &[]).await;
    let mut read = 0;
    for by in [
        &["year(day)", "bucket(3, id)"][..],
        &["month(day)"],
        &["day(seen)"],
        &["hour(clock)", "flag"],
        &["small"],
        &["truncate(7, small)", "truncate(100, amount)"],
        &["truncate(6, word)", "void(id)"],
        &["bucket(5, amount)", "bucket(4, seen)"],
        &["bucket(7, word)", "bucket(3, raw)", "bucket(2, day)"],
        &["word", "truncate(1, raw)"],
        &["day", "bucket(2, small)"],
        &["amount"],
    ] {
        world.replace("gold.parts", values(), by).await;
        for _ in 0..40 {
            let condition = predicate(&mut dice, 3);
            let ask = |table: &str| format!("SELECT count(*), sum(id), min(id), max(word) FROM gold.{table} WHERE {condition}");
            let (expected, found) = (world.ask(&ask("plain")).await, world.ask(&ask("parts")).await);
            assert_eq!(found, expected, "partitioned by {by:?}: {condition}");
            read += usize::from(!expected[0].starts_with('0'));
        }
    }
    assert!(read > 200, "only {read} conditions were true of any row");
}

/// Tables that were taken over from Hive have files without the columns that they are partitioned by.
#[tokio::test]
async fn a_column_that_files_lack_has_the_value_of_their_partition() {
    let lake = ByHand::default();
    let columns = schema(vec![
        field("id", DataType::Int64, 1),
        field("city", DataType::Utf8, 2),
        field("n", DataType::Int32, 3),
        field("late", DataType::Int64, 4),
    ]);
    let partial = schema(vec![field("id", DataType::Int64, 1), field("late", DataType::Int64, 4)]);
    let mut files = Vec::new();
    for (i, city) in [Some("Köln"), Some("Bonn"), None].into_iter().enumerate() {
        let ids = Int64Array::from(vec![10 * i as i64, 10 * i as i64 + 1, 10 * i as i64 + 2]);
        let batch = RecordBatch::try_new(Arc::clone(&partial), vec![Arc::new(ids.clone()), Arc::new(ids)]).unwrap();
        let mut file = lake.file(&format!("f{i}"), &batch, &[1]).await;
        let known = |value: ArrayRef| ColumnStats {
            nulls: Some(if value.is_null(0) { 3 } else { 0 }),
            min: value.is_valid(0).then(|| Arc::clone(&value)),
            max: value.is_valid(0).then(|| Arc::clone(&value)),
            constant: Some(value),
            ..ColumnStats::default()
        };
        let mut stats = BTreeMap::clone(&file.stats);
        let value: ArrayRef = match city {
            Some(city) => Arc::new(StringArray::from(vec![city])),
            None => new_null_array(&DataType::Utf8, 1),
        };
        stats.insert(2, known(value));
        stats.insert(3, known(Arc::new(Int32Array::from(vec![i as i32]))));
        file.stats = Arc::new(stats);
        files.push(file);
    }
    // A newer file has all columns.
    let whole: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![100, 101])),
        Arc::new(StringArray::from(vec![Some("Bonn"), None])),
        Arc::new(Int32Array::from(vec![Some(7), None])),
        Arc::new(Int64Array::from(vec![1, 2])),
    ];
    files.push(lake.file("whole", &RecordBatch::try_new(Arc::clone(&columns), whole).unwrap(), &[]).await);
    lake.put("silver.t", &columns, files, vec![]);
    let engine = lake.engine();
    for (sql, expected) in [
        (
            "SELECT id, city, n FROM silver.t ORDER BY id",
            &["0|Köln|0", "2|Köln|0", "10|Bonn|1", "12|Bonn|1", "20|NULL|2", "22|NULL|2", "100|Bonn|7", "101|NULL|NULL"][..],
        ),
        ("SELECT id FROM silver.t WHERE city = 'Bonn' ORDER BY id", &["10", "12", "100"]),
        ("SELECT city, id FROM silver.t WHERE city IS NULL AND n IS NOT NULL ORDER BY id", &["NULL|20", "NULL|22"]),
        (
            "SELECT city, count(*), sum(n) FROM silver.t GROUP BY city ORDER BY city NULLS LAST",
            &["Bonn|3|9", "Köln|2|0", "NULL|3|4"],
        ),
        ("SELECT max(n), min(city), count(city), count(*) FROM silver.t", &["7|Bonn|5|8"]),
        ("SELECT a.id FROM silver.t a JOIN silver.t b ON a.n = b.n AND a.id < b.id ORDER BY 1", &["0", "10", "20"]),
        ("SELECT n FROM silver.t WHERE late = 12", &["1"]),
        ("SELECT city FROM silver.t WHERE n = 1 LIMIT 1", &["Bonn"]),
        ("SELECT count(*) FROM silver.t WHERE n < 2 AND city <> 'Köln'", &["2"]),
    ] {
        assert_eq!(text_rows(&engine, sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_makes_partitioned_tables_and_changes_how_they_are() {
    let world = world().await;
    world.must("CREATE SCHEMA shop").await;
    world
        .must("CREATE TABLE shop.t (id bigint PRIMARY KEY, seen timestamp, code text) PARTITIONED BY (day(seen), bucket(2, id))")
        .await;
    let insert = |first: i64, last: i64| {
        format!(
            "INSERT INTO shop.t SELECT g, to_timestamp_micros(1767225600000000 + g * 21600000000), 'code ' || (g % 3) FROM generate_series({first}, {last}) AS s(g)"
        )
    };
    world.must(&insert(0, 15)).await;
    let partitions =
        "SELECT spec_id, partitioned_by, count(*), sum(record_count) FROM \"shop\".\"t$partitions\" GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(world.ask(partitions).await, ["1|day(seen), bucket(2, id)|8|16"]);
    assert_eq!(
        world.ask("SELECT partition FROM \"shop\".\"t$partitions\" ORDER BY 1 LIMIT 1").await,
        [r#"{"seen_day":"2026-01-01","id_bucket_2":0}"#]
    );
    world.must("ALTER TABLE shop.t SET PARTITIONED BY (truncate(6, code))").await;
    world.must(&insert(16, 27)).await;
    assert_eq!(world.ask(partitions).await, ["1|day(seen), bucket(2, id)|8|16", "2|truncate(6, code)|3|12"]);
    // Rows of both kinds of partition change at once.
    world.must("UPDATE shop.t SET code = 'late' WHERE id % 5 = 0").await;
    world.must("DELETE FROM shop.t WHERE id IN (3, 4, 22)").await;
    assert_eq!(world.ask("SELECT count(*), count(*) FILTER (WHERE code = 'late') FROM shop.t").await, ["25|6"]);
    assert_eq!(world.ask("SELECT id FROM shop.t WHERE seen = timestamp '2026-01-02 06:00:00'").await, ["5"]);
    // Upkeep leaves every row in its partition.
    let table: LakeTable = "shop.t".parse().unwrap();
    let done = world.lake.rewrite_files(&table, &Thresholds::default(), true, &CancellationToken::new()).await.unwrap();
    // Files whose rows were all deleted have left already.
    assert!(done.deleted_rows > 0 && done.anything(), "{done:?}");
    let kept = world.ask("SELECT spec_id, sum(deleted_count), sum(delete_file_count), sum(record_count) FROM \"shop\".\"t$partitions\" GROUP BY 1 ORDER BY 1").await;
    assert_eq!(kept, ["1|0|0|10", "2|0|0|15"]);
    world.must("ALTER TABLE shop.t RESET PARTITIONED BY").await;
    world.must("INSERT INTO shop.t VALUES (100, NULL, NULL)").await;
    assert_eq!(world.ask(partitions).await.len(), 3);
    assert_eq!(world.ask("SELECT record_count, spec_id FROM \"shop\".\"t$partitions\" WHERE partition IS NULL").await, ["1|0"]);
    world.must("ALTER TABLE shop.t SET PARTITIONED BY (day(seen), bucket(2, id))").await;
    world.must("TRUNCATE shop.t").await;
    world.must(&insert(0, 3)).await;
    assert_eq!(world.ask(partitions).await, ["1|day(seen), bucket(2, id)|2|4"]);
    world.must("CREATE TABLE shop.copy PARTITIONED BY (code) AS SELECT * FROM shop.t").await;
    assert_eq!(world.ask("SELECT count(*) FROM \"shop\".\"copy$partitions\"").await, ["3"]);
    assert_eq!(
        world.ask("SELECT count(*) FROM \"shop\".\"copy$files\" WHERE spec_id = 1 AND partition IS NOT NULL").await,
        ["3"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_partitions_are_told_with_what_is_allowed() {
    let world = world().await;
    world.must("CREATE SCHEMA shop").await;
    world.must("CREATE TABLE shop.t (id bigint, price double precision, day date) PARTITIONED BY (month(day))").await;
    for (sql, said) in [
        (
            "CREATE TABLE shop.u (id bigint) PARTITIONED BY (day(id))",
            "shop.u can't be partitioned by `day(id)`: the column is Int64, which takes the column itself, bucket(16, …), truncate(10, …)",
        ),
        (
            "CREATE TABLE shop.u (id bigint) PARTITIONED BY (nope)",
            "shop.u can't be partitioned by `nope`: it has no column `nope`",
        ),
        ("CREATE TABLE shop.u (id bigint) PARTITIONED BY (week(id))", "PARTITIONED BY: `week(id)` is no partition transform"),
        (
            "ALTER TABLE shop.t SET PARTITIONED BY (price)",
            "shop.t can't be partitioned by `price`: the column is Float64, which takes nothing",
        ),
        (
            "ALTER TABLE shop.t SET PARTITIONED BY (bucket(0, id))",
            "PARTITIONED BY: `bucket(0, id)` needs a number above 0 before the column",
        ),
        (
            "ALTER TABLE shop.t DROP COLUMN day",
            "column \"day\" of shop.t can't be dropped: it is part of the partitions of its files",
        ),
    ] {
        let error = world.run(sql).await.unwrap_err();
        assert!(error.message.ends_with(said), "{sql}: {}", error.message);
    }
    world.must("CREATE TABLE shop.w (a int, b int) PARTITIONED BY (truncate(10, a), bucket(2, b))").await;
    let error = world.run("ALTER TABLE shop.w ALTER COLUMN a TYPE bigint").await.unwrap_err();
    assert!(
        error.message.ends_with("column \"a\" of shop.w can't be widened: its files are partitioned by its values"),
        "{}",
        error.message
    );
    world.must("ALTER TABLE shop.w ALTER COLUMN b TYPE bigint").await;
    world.must("ALTER TABLE shop.t RENAME COLUMN day TO date").await;
    world.must("INSERT INTO shop.t VALUES (1, 2, date '2026-02-03')").await;
    assert_eq!(
        world.ask("SELECT partition, partitioned_by FROM \"shop\".\"t$partitions\"").await,
        [r#"{"day_month":"2026-02"}|month(date)"#]
    );
}

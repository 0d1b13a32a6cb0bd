//! Files as tables: found, looked at, read; and what may not be read.

use crate::support::{Lake, rows};
use query::{Engine, FileFormat, FilePlaces, Kind};
use std::{fs, path::Path};

/// An engine that may read below a folder.
async fn engine(folder: &Path) -> Engine {
    let engine = Lake::default().engine();
    let mut places = FilePlaces::new();
    places.add_directory(folder).await.unwrap();
    engine.set_file_places(places);
    engine
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

async fn check(engine: &Engine, sql: &str, expected: &[&str]) {
    let got = rows(engine, sql).await.unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.hint));
    assert_eq!(got, expected, "{sql}");
}

async fn error(engine: &Engine, sql: &str) -> String {
    let error = rows(engine, sql).await.expect_err(sql);
    error.to_string()
}

#[tokio::test]
async fn a_quoted_path_in_from_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display().to_string();
    write(dir.path(), "orders.csv", "id;price;at\n1;1.10;2026-01-01\n2;2.25;2026-01-02\n");
    write(dir.path(), "events.ndjson", "{\"id\":1,\"tags\":[\"a\"]}\n{\"id\":2,\"more\":{\"x\":1.5}}\n");
    let engine = engine(dir.path()).await;
    check(&engine, &format!("SELECT * FROM '{root}/orders.csv' ORDER BY id"), &["1|1.10|2026-01-01", "2|2.25|2026-01-02"]).await;
    check(&engine, &format!("SELECT sum(orders.price) FROM '{root}/orders.csv'"), &["3.35"]).await;
    check(
        &engine,
        &format!("SELECT o.id, e.tags FROM '{root}/orders.csv' o JOIN '{root}/events.ndjson' e USING (id) ORDER BY 1"),
        &["1|[a]", "2|NULL"],
    )
    .await;
    check(&engine, &format!("SELECT arrow_typeof(price) FROM '{root}/orders.csv' LIMIT 1"), &["Decimal128(38, 2)"]).await;
    check(
        &engine,
        &format!("SELECT count(*) FROM read_csv('{root}/orders.csv', header => false, delimiter = ';', skip => 1)"),
        &["2"],
    )
    .await;
    check(&engine, &format!("SELECT id FROM read_csv('{root}/orders.csv', types => 'id: text') WHERE id = '2'"), &["2"]).await;
    assert_eq!(error(&engine, &format!("SELECT 1 FROM '{root}/none.csv'")).await, format!("there is no file at {root}/none.csv"));
}

#[tokio::test]
async fn patterns_and_partitions_make_one_table_of_many_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display().to_string();
    for (year, month) in [(2025, 12), (2026, 1), (2026, 2)] {
        write(dir.path(), &format!("sales/year={year}/month={month:02}/a.csv"), format!("id,amount\n{year}{month:02},1.5\n"));
    }
    write(dir.path(), "sales/year=2026/month=02/b.csv", "amount,id,note\n2.50,7,\"x\ny\"\n");
    write(dir.path(), "sales/_SUCCESS", "");
    let engine = engine(dir.path()).await;
    let all = ["202512|1.50|2025|12", "202601|1.50|2026|1", "202602|1.50|2026|2", "7|2.50|2026|2"];
    check(&engine, &format!("SELECT id, amount, year, month FROM '{root}/sales' ORDER BY year, month, amount"), &all).await;
    check(&engine, &format!("SELECT id, amount, year, month FROM '{root}/sales/*/*/*.csv' ORDER BY year, month, amount"), &all)
        .await;
    check(&engine, &format!("SELECT id, amount, year, month FROM '{root}/sales/**/*.csv' ORDER BY year, month, amount"), &all)
        .await;
    check(&engine, &format!("SELECT count(*) FROM '{root}/sales' WHERE year = 2026 AND month > 1"), &["2"]).await;
    check(&engine, &format!("SELECT note FROM '{root}/sales' WHERE note IS NOT NULL"), &["x\ny"]).await;
    let plan = rows(&engine, &format!("EXPLAIN SELECT count(*) FROM '{root}/sales' WHERE year = 2025")).await.unwrap().join("\n");
    assert!(plan.contains("1 of 4 files"), "{plan}");
    check(&engine, &format!("SELECT count(*) FROM read_csv('{root}/sales/**/a.csv', hive_partitioning => false, filename => true) WHERE filename LIKE '%2025%'"), &["1"]).await;
}

#[tokio::test]
async fn parquet_files_are_joined_by_name_and_widened() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display().to_string();
    parquet(dir.path(), "p/a.parquet", "SELECT 1::int AS id, 'x' AS a");
    parquet(dir.path(), "p/b.parquet", "SELECT 5000000000::bigint AS id, 2.5::double AS b");
    let engine = engine(dir.path()).await;
    check(&engine, &format!("SELECT id, a, b FROM '{root}/p/*.parquet' ORDER BY id"), &["1|x|NULL", "5000000000|NULL|2.5"]).await;
    check(&engine, &format!("SELECT id FROM read_parquet('{root}/p') WHERE id > 1"), &["5000000000"]).await;
    parquet(dir.path(), "p/c.parquet", "SELECT 'text' AS id");
    let told = error(&engine, &format!("SELECT * FROM '{root}/p/*.parquet'")).await;
    assert!(told.contains("the column `id` is bigint in") && told.contains("c.parquet"), "{told}");
    write(dir.path(), "q/broken.parquet", b"PAR1 this is none PAR1");
    let told = error(&engine, &format!("SELECT * FROM '{root}/q/broken.parquet'")).await;
    assert!(told.starts_with(&format!("{root}/q/broken.parquet: this is no Parquet file")), "{told}");
}

/// Writes the one row of a statement.
fn parquet(folder: &Path, name: &str, sql: &str) {
    use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use std::sync::Arc;
    let columns: Vec<(&str, ArrayRef)> = match sql {
        "SELECT 1::int AS id, 'x' AS a" => {
            vec![("id", Arc::new(Int32Array::from(vec![1]))), ("a", Arc::new(StringArray::from(vec!["x"])))]
        }
        "SELECT 'text' AS id" => vec![("id", Arc::new(StringArray::from(vec!["text"])))],
        _ => vec![("id", Arc::new(Int64Array::from(vec![5_000_000_000]))), ("b", Arc::new(Float64Array::from(vec![2.5])))],
    };
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    write(folder, name, bytes);
}

#[tokio::test]
async fn errors_say_file_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display().to_string();
    write(dir.path(), "ragged.csv", "a,b\n1,2\n3\n");
    write(dir.path(), "open.csv", "a,b\n1,\"2\n");
    write(dir.path(), "typed.csv", "a,b\n1,2\nx,4\n");
    write(dir.path(), "cut.json", "[{\"a\":1},\n{\"a\":");
    write(dir.path(), "empty.csv", "");
    write(dir.path(), "half.csv.gz", [0x1F, 0x8B, 8, 0, 1, 2, 3]);
    let engine = engine(dir.path()).await;
    for (sql, message) in [
        ("'ROOT/ragged.csv'", "ROOT/ragged.csv: line 3: the row has 1 fields where 2 are expected"),
        ("'ROOT/open.csv'", "ROOT/open.csv: line 2: a quote is opened and never closed"),
        (
            "read_csv('ROOT/typed.csv', types => 'a: bigint')",
            "ROOT/typed.csv: line 3, column `a`: `x` is no value of the type bigint",
        ),
        ("'ROOT/cut.json'", "ROOT/cut.json: line 2: the file ends inside of the document that begins here"),
        ("'ROOT/empty.csv'", "ROOT/empty.csv: the file is empty"),
        ("read_csv('ROOT/typed.csv', headr => true)", "there is no option `headr`"),
        ("read_csv('ROOT/typed.csv', types => 'z: text')", "ROOT/typed.csv has no column `z`"),
    ] {
        let sql = format!("SELECT * FROM {}", sql.replace("ROOT", &root));
        assert_eq!(error(&engine, &sql).await, message.replace("ROOT", &root), "{sql}");
    }
    assert!(error(&engine, &format!("SELECT * FROM '{root}/half.csv.gz'")).await.contains("can't be unpacked"));
    check(&engine, &format!("SELECT count(b) FROM read_csv('{root}/ragged.csv', null_padding => true)"), &["1"]).await;
}

#[tokio::test]
async fn nothing_outside_of_the_places_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, "in.csv", "a\n1\n");
    write(dir.path(), "secret.csv", "a\n2\n");
    std::os::unix::fs::symlink(dir.path().join("secret.csv"), data.join("link.csv")).unwrap();
    std::os::unix::fs::symlink(dir.path(), data.join("up")).unwrap();
    let engine = engine(&data).await;
    let (inside, outside) = (data.display(), dir.path().display());
    check(&engine, &format!("SELECT a FROM '{inside}/../data/in.csv'"), &["1"]).await;
    for path in [
        format!("{outside}/secret.csv"),
        format!("{inside}/../secret.csv"),
        "/etc/passwd".into(),
        "file:///etc/passwd".into(),
        "s3://b/x.csv".into(),
    ] {
        let error = rows(&engine, &format!("SELECT * FROM '{path}'")).await.expect_err(&path);
        assert!(error.message.ends_with("is not where SQL may read files"), "{path}: {error}");
        assert!(error.hint.unwrap().contains("server.files"));
    }
    for path in ["link.csv", "up/secret.csv", "up/*.csv"] {
        let error = rows(&engine, &format!("SELECT * FROM '{inside}/{path}'")).await.expect_err(path);
        assert!(!error.message.contains('2') && error.kind == Kind::Invalid, "{path}: {error}");
    }
    // The name that planning carries is no way around.
    let error = rows(&engine, r#"SELECT * FROM "$files:{""paths"":[""/etc/passwd""]}""#).await.unwrap_err();
    assert!(error.message.contains("is not where SQL may read files"), "{error}");
}

#[tokio::test]
async fn a_crawl_finds_tables_and_keeps_them_current() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display().to_string();
    write(dir.path(), "orders/2026-01.csv", "id,amount\n1,1.5\n");
    write(dir.path(), "events/day=2026-01-01/a.json", "{\"id\":1}\n");
    write(dir.path(), "customers.csv", "id,name\n1,Ann\n");
    write(dir.path(), "rates.csv", "currency,rate\nEUR,1.1\n");
    write(dir.path(), "bad/x.csv", "a,b\n1,\"2\n");
    delta(dir.path());
    let engine = engine(dir.path()).await;
    let found = engine.crawl(&root, None).await.unwrap();
    let shown: Vec<String> = found
        .iter()
        .map(|t| {
            format!(
                "{} {} {} {}",
                t.name,
                t.format,
                t.partitions.join(","),
                t.error.as_ref().map_or("", |(e, _)| e.split(": ").last().unwrap())
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "ledger delta day ",
            "customers csv  ",
            "rates csv  ",
            "bad csv  a quote is opened and never closed",
            "events json day ",
            "orders csv  ",
        ]
    );
    let tables = found.into_iter().filter_map(|t| Some((t.name.clone(), t.table?))).collect();
    engine.set_crawled("landing", tables);
    check(&engine, "SELECT name FROM landing.customers", &["Ann"]).await;
    write(dir.path(), "customers.csv", "id,name\n1,Ann\n2,Bob\n");
    check(&engine, "SELECT name FROM landing.customers ORDER BY id", &["Ann", "Bob"]).await;
    check(&engine, "SELECT id, day FROM landing.events", &["1|2026-01-01"]).await;
    check(&engine, "SELECT id, day FROM landing.ledger ORDER BY id", &["1|2026-01-01", "5000000000|NULL"]).await;
    check(
        &engine,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'landing' ORDER BY 1",
        &["customers", "events", "ledger", "orders", "rates"],
    )
    .await;
    // New files are seen without a crawl; columns that they bring are not.
    write(dir.path(), "orders/2026-02.csv", "amount,id,note\n2,2,x\n");
    check(&engine, "SELECT * FROM landing.orders ORDER BY id", &["1|1.5", "2|2.0"]).await;
    // A value that does not fit the type of the crawl is an error that names it, never another value.
    write(dir.path(), "orders/2026-03.csv", "id,amount\n3,2.25\n");
    let told = error(&engine, "SELECT * FROM landing.orders").await;
    assert!(told.ends_with("2026-03.csv: line 2, column `amount`: `2.25` has more decimals than numeric(38,1) holds"), "{told}");
    write(dir.path(), "events/day=2026-01-02/b.json", "{\"id\":2}\n");
    check(&engine, "SELECT max(day) FROM landing.events", &["2026-01-02"]).await;
    let only = engine.crawl(&root, Some(FileFormat::Json)).await.unwrap();
    assert_eq!(only.iter().filter(|t| t.format == "json").count(), 1);
    let outside = engine.crawl("/etc", None).await.unwrap_err();
    assert!(outside.message.contains("is not where SQL may read files"));
}

/// A Delta table of two commits, one of whose files is gone again.
fn delta(folder: &Path) {
    let schema = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}},{\"name\":\"day\",\"type\":\"date\",\"nullable\":true,\"metadata\":{}}]}"#;
    parquet(folder, "ledger/day=2026-01-01/a.parquet", "SELECT 1::int AS id, 'x' AS a");
    parquet(folder, "ledger/b.parquet", "SELECT 5000000000::bigint AS id, 2.5::double AS b");
    parquet(folder, "ledger/gone.parquet", "SELECT 'text' AS id");
    let size = |name: &str| fs::metadata(folder.join("ledger").join(name)).unwrap().len();
    let (a, b, gone) = (size("day=2026-01-01/a.parquet"), size("b.parquet"), size("gone.parquet"));
    let first = format!(
        r#"{{"protocol":{{"minReaderVersion":1,"minWriterVersion":2}}}}
{{"metaData":{{"id":"x","schemaString":"{schema}","partitionColumns":["day"],"configuration":{{}}}}}}
{{"add":{{"path":"day=2026-01-01/a.parquet","partitionValues":{{"day":"2026-01-01"}},"size":{a},"dataChange":true}}}}
{{"add":{{"path":"gone.parquet","partitionValues":{{"day":null}},"size":{gone},"dataChange":true}}}}"#
    );
    let second = format!(
        r#"{{"remove":{{"path":"gone.parquet","dataChange":true}}}}
{{"add":{{"path":"b.parquet","partitionValues":{{"day":null}},"size":{b},"dataChange":true}}}}"#
    );
    write(folder, "ledger/_delta_log/00000000000000000000.json", first);
    write(folder, "ledger/_delta_log/00000000000000000001.json", second);
}

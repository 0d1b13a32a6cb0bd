use super::{SystemTable, batch, from_rows, int, optional, required, schema_of, time, times};
use api::{Crawler, Drift};
use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    datatypes::DataType,
};
use std::sync::Arc;

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// `system.crawlers`: one row per table that a crawler found, and one for each crawler that found none, from a function that knows them.
pub fn crawlers(rows: impl Fn() -> Vec<Crawler> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    let schema = schema_of(vec![
        required("crawler", DataType::Utf8),
        required("url", DataType::Utf8),
        required("state", DataType::Utf8),
        optional("crawled_at", time()),
        optional("table_name", DataType::Utf8),
        optional("path", DataType::Utf8),
        optional("format", DataType::Utf8),
        optional("partitions", DataType::Utf8),
        optional("files", DataType::Int64),
        optional("bytes", DataType::Int64),
        optional("rows", DataType::Int64),
        optional("error", DataType::Utf8),
        optional("hint", DataType::Utf8),
    ]);
    let of = Arc::clone(&schema);
    from_rows("crawlers", schema, move || {
        let all = rows();
        let pairs: Vec<(&Crawler, Option<&api::CrawledTable>)> = all
            .iter()
            .flat_map(|c| {
                let alone = c.tables.is_empty().then_some((c, None));
                c.tables.iter().map(move |t| (c, Some(t))).chain(alone)
            })
            .collect();
        let partitions: Vec<Option<String>> = pairs.iter().map(|(_, t)| t.map(|t| t.partitions.join(", "))).collect();
        let counts = |f: &dyn Fn(&api::CrawledTable) -> Option<u64>| -> ArrayRef {
            Arc::new(pairs.iter().map(|(_, t)| t.and_then(f).map(int)).collect::<Int64Array>())
        };
        batch(
            Arc::clone(&of),
            vec![
                texts(pairs.iter().map(|(c, _)| Some(c.name.as_str()))),
                texts(pairs.iter().map(|(c, _)| Some(c.url.as_str()))),
                texts(pairs.iter().map(|(c, _)| Some(c.state.as_str()))),
                times(pairs.iter().map(|(c, _)| c.crawled_us)),
                texts(pairs.iter().map(|(_, t)| t.map(|t| t.name.as_str()))),
                texts(pairs.iter().map(|(_, t)| t.map(|t| t.path.as_str()))),
                texts(pairs.iter().map(|(_, t)| t.map(|t| t.format.as_str()))),
                texts(partitions.iter().map(Option::as_deref)),
                counts(&|t| Some(t.files)),
                counts(&|t| Some(t.bytes)),
                counts(&|t| t.rows),
                texts(pairs.iter().map(|(c, t)| t.map_or(c.error.as_deref(), |t| t.error.as_deref()))),
                texts(pairs.iter().map(|(c, t)| t.map_or(c.hint.as_deref(), |t| t.hint.as_deref()))),
            ],
        )
    })
}

/// `system.drift`: one row per change that a crawl saw, newest first, from a function that knows them.
pub fn drift(rows: impl Fn() -> Vec<Drift> + Send + Sync + 'static) -> Arc<dyn SystemTable> {
    let schema = schema_of(vec![
        required("seen_at", time()),
        required("crawler", DataType::Utf8),
        required("table_name", DataType::Utf8),
        required("kind", DataType::Utf8),
        required("column_name", DataType::Utf8),
        optional("was", DataType::Utf8),
        optional("becomes", DataType::Utf8),
        optional("file", DataType::Utf8),
    ]);
    let of = Arc::clone(&schema);
    from_rows("drift", schema, move || {
        let all = rows();
        batch(
            Arc::clone(&of),
            vec![
                times(all.iter().map(|d| Some(d.seen_us))),
                texts(all.iter().map(|d| Some(d.crawler.as_str()))),
                texts(all.iter().map(|d| Some(d.table.as_str()))),
                texts(all.iter().map(|d| Some(d.kind.as_str()))),
                texts(all.iter().map(|d| Some(d.column.as_str()))),
                texts(all.iter().map(|d| d.was.as_deref())),
                texts(all.iter().map(|d| d.becomes.as_deref())),
                texts(all.iter().map(|d| d.file.as_deref())),
            ],
        )
    })
}

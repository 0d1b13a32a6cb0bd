use crate::support::shop;
use futures::StreamExt;
use query::{Error, Form, Kind, QueryRequest, encode};

async fn body(sql: &str, form: Form) -> Result<Vec<u8>, Error> {
    let engine = shop().await.engine();
    let mut body = encode(engine.query(QueryRequest::new(sql, "test")).await?, form).await?;
    let mut out = Vec::new();
    while let Some(chunk) = body.chunks.next().await {
        out.extend_from_slice(&chunk?);
    }
    Ok(out)
}

const SQL: &str = "SELECT id, customer, total, placed_at FROM shop_orders WHERE id IN (0, 4) ORDER BY id";

#[tokio::test]
async fn json_is_the_document_that_the_api_promises() {
    let response: api::SqlResponse = serde_json::from_slice(&body(SQL, Form::Json).await.unwrap()).unwrap();
    let columns: Vec<(&str, &str)> = response.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str())).collect();
    assert_eq!(
        columns,
        [("id", "bigint"), ("customer", "text"), ("total", "numeric(12,2)"), ("placed_at", "timestamp with time zone")]
    );
    assert_eq!(
        serde_json::to_string(&response.rows).unwrap(),
        r#"[[0,null,"0.00","2023-11-14T22:13:20Z"],[4,"c4","4.04","2023-11-14T22:13:24.000004Z"]]"#
    );
    assert_eq!((response.row_count, response.truncated), (2, false));
    assert!(response.bytes_scanned > 0 && response.elapsed_ms > 0.0 && !response.query_id.is_empty());
    assert_eq!((response.as_of[0].source.as_str(), response.as_of[0].cursor.as_str()), ("shop", "0/7"));
}

#[tokio::test]
async fn lines_and_csv_hold_the_same_rows() {
    let lines = String::from_utf8(body(SQL, Form::Ndjson).await.unwrap()).unwrap();
    assert_eq!(lines.lines().next().unwrap(), r#"{"id":0,"customer":null,"total":"0.00","placed_at":"2023-11-14T22:13:20Z"}"#);
    let csv = String::from_utf8(body(SQL, Form::Csv).await.unwrap()).unwrap();
    assert_eq!(csv, "id,customer,total,placed_at\r\n0,,0.00,2023-11-14T22:13:20Z\r\n4,c4,4.04,2023-11-14T22:13:24.000004Z\r\n");
    assert_eq!(body("SELECT id FROM shop_orders WHERE false", Form::Csv).await.unwrap(), b"id\r\n");
}

#[tokio::test]
async fn arrow_reads_back_in_plain_types() {
    let bytes = body("SELECT customer, total FROM shop_orders ORDER BY id", Form::Arrow).await.unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    assert_eq!(*reader.schema().field(0).data_type(), arrow::datatypes::DataType::Utf8);
    assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), 97);
}

#[tokio::test]
async fn a_long_result_comes_in_chunks_and_an_early_failure_comes_first() {
    let engine = shop().await.engine();
    let sql = "SELECT value, repeat('x', 100) FROM generate_series(1, 100000)";
    let mut long = encode(engine.query(QueryRequest::new(sql, "test")).await.unwrap(), Form::Ndjson).await.unwrap();
    let mut chunks = 0;
    let mut lines = 0;
    while let Some(chunk) = long.chunks.next().await {
        chunks += 1;
        lines += chunk.unwrap().iter().filter(|b| **b == b'\n').count();
    }
    assert_eq!(lines, 100_000);
    assert!(chunks > 5, "{chunks}");
    let failing = body("SELECT 10 / (id - 50) FROM shop_orders", Form::Json).await.unwrap_err();
    assert_eq!(failing.kind, Kind::Invalid);
}

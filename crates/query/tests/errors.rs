use crate::support::{rows, shop};
use query::Kind;

/// What people see when a statement is wrong. The list is read by people: a change here is a change of the product.
#[tokio::test]
async fn errors_say_what_where_and_what_to_do() {
    let engine = shop().await.engine();
    let cases = [
        ("SELEC 1", Kind::Syntax),
        ("SELECT id\nFROM silver.shop_orders\nWHERE id >", Kind::Syntax),
        ("SELECT 1; SELECT 2", Kind::Syntax),
        ("", Kind::Syntax),
        ("SELECT * FROM silver.shop_order", Kind::UnknownTable),
        ("SELECT * FROM orders", Kind::UnknownTable),
        ("SELECT * FROM copper.shop_orders", Kind::UnknownTable),
        ("SELECT custmer FROM silver.shop_orders", Kind::UnknownColumn),
        ("SELECT o.nothing FROM silver.shop_orders o", Kind::UnknownColumn),
        ("SELECT id FROM silver.shop_orders a, silver.shop_orders b", Kind::UnknownColumn),
        ("SELECT lenght(customer) FROM silver.shop_orders", Kind::UnknownFunction),
        ("SELECT customer + 1 FROM silver.shop_orders WHERE customer IS NOT NULL", Kind::Invalid),
        ("SELECT 1 / 0", Kind::Invalid),
        ("SELECT CAST('x' AS INT)", Kind::Invalid),
        ("SELECT sum(customer) FROM silver.shop_orders", Kind::Invalid),
        ("SELECT $1", Kind::Invalid),
        ("INSERT INTO silver.shop_orders VALUES (1)", Kind::Unsupported),
        ("DROP TABLE silver.shop_orders", Kind::Unsupported),
        ("SELECT * INTO gold.x FROM silver.shop_orders", Kind::Unsupported),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", Kind::Unsupported),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", Kind::Unsupported),
        ("SELECT * FROM '/etc/passwd'", Kind::Invalid),
    ];
    let mut seen = String::new();
    for (sql, kind) in cases {
        let error = rows(&engine, sql).await.expect_err(sql);
        let place = match (error.line, error.column) {
            (Some(line), Some(column)) => format!(" [{line}:{column}]"),
            _ => String::new(),
        };
        let hint = error.hint.as_deref().map(|h| format!("\n    hint: {h}")).unwrap_or_default();
        seen.push_str(&format!("{}\n  {}{place}: {error}{hint}\n", sql.replace('\n', " "), error.kind.code()));
        assert_eq!(error.kind, kind, "{sql}: {error}");
    }
    let want = include_str!("errors.txt");
    assert!(seen == want, "the messages are now:\n{seen}");
}

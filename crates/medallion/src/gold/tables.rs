use model::{LakeTable, Layer};
use std::collections::BTreeSet;

/// The tables of the lake's layers that a statement names, `layer.table` with or without quotes. Comments and string literals don't count.
///
/// This is how a model's inputs are known: `ref()` and `source()` only spell such names, so a name that was typed counts as well.
pub(crate) fn tables_in(sql: &str) -> BTreeSet<LakeTable> {
    let plain = without_comments_and_strings(sql);
    let mut found = BTreeSet::new();
    for (at, _) in plain.match_indices('.') {
        let (before, after) = (&plain[..at], &plain[at + 1..]);
        if let (Some(layer), Some(name)) = (last_word(before), first_word(after))
            && let Ok(layer) = layer.to_lowercase().parse::<Layer>()
            // Any other word before a dot may be a table's alias as well.
            && layer.is_kept()
        {
            found.insert(LakeTable::new(layer, name));
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The word at the end, unless it is itself behind a dot (`other.silver.x` is nobody's here, but `lakebox.silver.x` is).
fn last_word(text: &str) -> Option<String> {
    let text = text.trim_end();
    if let Some(inner) = text.strip_suffix('"') {
        return inner.rsplit_once('"').map(|(_, word)| word.to_owned());
    }
    let start = text.rfind(|c| !is_word(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    (start < text.len()).then(|| text[start..].to_owned())
}

fn first_word(text: &str) -> Option<String> {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('"') {
        return inner.split_once('"').map(|(word, _)| word.to_owned());
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_lowercase())
}

/// The statement with comments and string literals replaced by blanks, quoted names kept.
fn without_comments_and_strings(sql: &str) -> String {
    let mut plain = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '\'' {
            // A doubled quote ends one literal and begins the next, which comes to the same.
            rest[1..].find('\'').map_or(rest.len(), |at| at + 2)
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        plain.push(' ');
        rest = &rest[skipped..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        let found: Vec<_> = tables_in(sql).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn tables_are_found_wherever_they_are_named() {
        check("select * from silver.shop_orders o join gold.days d on d.day = o.day", &["silver.shop_orders", "gold.days"]);
        check("with a as (select 1 from \"bronze\".\"Odd Name\") select a.x from a", &["bronze.Odd Name"]);
        check("SELECT * FROM Silver.Shop_Orders", &["silver.shop_orders"]);
    }

    #[test]
    fn comments_strings_and_columns_are_not_tables() {
        check("select 'gold.x', 'it''s silver.y' -- gold.z\n/* bronze.a */ from silver.b", &["silver.b"]);
        check("select o.gold, 1.5 from system.tables o", &[]);
        check("select p.amount from silver.payments p join analytics.days a on a.day = p.day", &["silver.payments"]);
    }
}

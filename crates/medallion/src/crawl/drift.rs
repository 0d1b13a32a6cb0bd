use catalog::{CrawledRecord, DriftRecord};
use query::FoundTable;

/// What changed about a table between two crawls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The table is new.
    TableAdded,
    /// The table's files are gone.
    TableRemoved,
    /// A column is new.
    ColumnAdded,
    /// No file that was looked at has the column any more.
    ColumnRemoved,
    /// Only the newest file lacks the column.
    ColumnMissing,
    /// The column has another type.
    TypeChanged,
    /// The table can't be read any more.
    Broken,
}

impl Change {
    /// Every change, for tests that walk them.
    pub const ALL: [Self; 7] = [
        Self::TableAdded,
        Self::TableRemoved,
        Self::ColumnAdded,
        Self::ColumnRemoved,
        Self::ColumnMissing,
        Self::TypeChanged,
        Self::Broken,
    ];

    /// The stable word that the API and pages show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TableAdded => "table_added",
            Self::TableRemoved => "table_removed",
            Self::ColumnAdded => "column_added",
            Self::ColumnRemoved => "column_removed",
            Self::ColumnMissing => "column_missing",
            Self::TypeChanged => "type_changed",
            Self::Broken => "broken",
        }
    }
}

struct Events<'a> {
    crawler: &'a str,
    seen_us: i64,
    all: Vec<DriftRecord>,
}

impl Events<'_> {
    fn add(&mut self, table: &str, change: Change, column: &str, types: (Option<&str>, Option<&str>), file: Option<&str>) {
        self.all.push(DriftRecord {
            id: String::new(),
            crawler: self.crawler.to_owned(),
            table: table.to_owned(),
            kind: change.as_str().to_owned(),
            column: column.to_owned(),
            was: types.0.map(str::to_owned),
            becomes: types.1.map(str::to_owned),
            file: file.map(str::to_owned),
            seen_us: self.seen_us,
        });
    }
}

/// What a crawl found other than the one before. The first crawl finds everything, which is no drift.
pub(super) fn between(crawler: &str, before: Option<&[CrawledRecord]>, now: &[FoundTable], seen_us: i64) -> Vec<DriftRecord> {
    let mut events = Events { crawler, seen_us, all: Vec::new() };
    let Some(before) = before else { return events.all };
    for known in before.iter().filter(|k| !now.iter().any(|t| t.name == k.name)) {
        events.add(&known.name, Change::TableRemoved, "", (None, None), Some(&known.path));
    }
    for table in now {
        match before.iter().find(|known| known.name == table.name) {
            None => events.add(&table.name, Change::TableAdded, "", (None, None), Some(&table.path)),
            Some(known) => of_table(known, table, &mut events),
        }
    }
    events.all
}

fn of_table(known: &CrawledRecord, table: &FoundTable, events: &mut Events<'_>) {
    let name = table.name.as_str();
    if let Some((error, _)) = &table.error {
        if known.error.as_ref() != Some(error) {
            events.add(name, Change::Broken, "", (None, Some(error)), Some(&table.path));
        }
        return;
    }
    // A table that could not be read had no columns to compare with.
    if known.error.is_some() && known.columns.is_empty() {
        return;
    }
    let in_file = |columns: &[(String, String)], column: &str| columns.iter().find(|(n, _)| n == column).map(|(_, t)| t.clone());
    for (column, data_type) in &table.columns {
        match in_file(&known.columns, column) {
            None => {
                let file = table.each.iter().find(|(_, columns)| in_file(columns, column).is_some());
                events.add(name, Change::ColumnAdded, column, (None, Some(data_type)), file.map(|(f, _)| f.as_str()));
            }
            Some(was) if was != *data_type => {
                // The first file whose own type is not the former one.
                let file = table.each.iter().find(|(_, columns)| in_file(columns, column).is_some_and(|t| t != was));
                events.add(name, Change::TypeChanged, column, (Some(&was), Some(data_type)), file.map(|(f, _)| f.as_str()));
            }
            Some(_) => {}
        }
    }
    let newest = table.each.last();
    for (column, was) in &known.columns {
        if in_file(&table.columns, column).is_none() {
            events.add(name, Change::ColumnRemoved, column, (Some(was), None), newest.map(|(f, _)| f.as_str()));
            continue;
        }
        let Some((file, columns)) = newest.filter(|_| !table.partitions.contains(column)) else { continue };
        let grew = table.files > known.files || table.bytes != known.bytes;
        if grew && table.each.len() > 1 && in_file(columns, column).is_none() {
            events.add(name, Change::ColumnMissing, column, (Some(was), None), Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(columns: &[(&str, &str)]) -> Vec<(String, String)> {
        columns.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect()
    }

    fn known(name: &str, columns: &[(&str, &str)]) -> CrawledRecord {
        CrawledRecord {
            name: name.to_owned(),
            path: format!("/d/{name}"),
            format: "csv".to_owned(),
            columns: pairs(columns),
            partitions: Vec::new(),
            files: 1,
            bytes: 1,
            rows: None,
            error: None,
            hint: None,
        }
    }

    fn found(name: &str, columns: &[(&str, &str)], each: &[(&str, &[(&str, &str)])]) -> FoundTable {
        FoundTable {
            name: name.to_owned(),
            path: format!("/d/{name}"),
            format: "csv".to_owned(),
            columns: pairs(columns),
            partitions: Vec::new(),
            files: 2,
            bytes: 2,
            rows: None,
            each: each.iter().map(|(f, c)| ((*f).to_owned(), pairs(c))).collect(),
            table: None,
            error: None,
        }
    }

    #[test]
    fn changes_name_the_file_that_shows_them() {
        let before = [known("t", &[("a", "bigint"), ("b", "text"), ("c", "date")]), known("gone", &[])];
        let columns = [("a", "numeric(38,2)"), ("b", "text"), ("d", "text")];
        let now = [
            found(
                "t",
                &columns,
                &[("1.csv", &[("a", "bigint"), ("b", "text")]), ("2.csv", &[("a", "numeric(38,2)"), ("d", "text")])],
            ),
            found("new", &[], &[]),
        ];
        let events = between("x", Some(&before), &now, 7);
        let shown: Vec<String> =
            events.iter().map(|e| format!("{} {} {} {:?}", e.table, e.kind, e.column, e.file.as_deref().unwrap_or(""))).collect();
        assert_eq!(
            shown,
            [
                "gone table_removed  \"/d/gone\"",
                "t type_changed a \"2.csv\"",
                "t column_added d \"2.csv\"",
                "t column_missing b \"2.csv\"",
                "t column_removed c \"2.csv\"",
                "new table_added  \"/d/new\"",
            ]
        );
        assert!(between("x", None, &now, 7).is_empty(), "the first crawl is no drift");
    }

    #[test]
    fn words_are_told_apart() {
        let mut words: Vec<_> = Change::ALL.iter().map(|c| c.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Change::ALL.len());
    }
}

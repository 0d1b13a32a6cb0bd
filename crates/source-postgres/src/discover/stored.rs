//! How a table's rows are stored, and whether that changed in a way that gave it other rows without any change event.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The files and definitions behind a table's rows. In a cursor it is one text, because cursors are made often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// A number that changes when the rows of the table, or of a leaf of it, move to another file: all rewrites do that, `VACUUM FULL` too.
    pub(crate) files: u64,
    /// Each column's number, and the transaction that last defined the column.
    pub(crate) columns: Vec<(i16, u32)>,
    /// Leaves that had been tables of their own before `ATTACH PARTITION`, in order.
    pub(crate) attached: Vec<u32>,
    /// Those of them that have rows. Not remembered.
    pub(crate) attached_with_rows: Vec<u32>,
}

impl Stored {
    /// Whether nothing is known: in cursors of lakebox before it was kept.
    pub(crate) fn is_unknown(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether rows that were copied under `self` may have become others under `now`, or more.
    ///
    /// `ALTER COLUMN … TYPE … USING` writes all rows anew and defines a column anew. Either alone changes no value: rows move for `VACUUM FULL`,
    /// `TRUNCATE` or a new partition, and columns are defined anew for statistics, rights or constraints. An attached partition brings its
    /// rows along.
    pub(crate) fn moved(&self, now: &Self) -> bool {
        if self.is_unknown() {
            return false;
        }
        let redefined = |&(number, by): &(i16, u32)| self.columns.iter().any(|&(n, former)| n == number && former != by);
        (self.files != now.files && now.columns.iter().any(redefined))
            || now.attached_with_rows.iter().any(|part| !self.attached.contains(part))
    }
}

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns: Vec<String> = self.columns.iter().map(|(number, by)| format!("{number}:{by}")).collect();
        let attached: Vec<String> = self.attached.iter().map(u32::to_string).collect();
        serializer.collect_str(&format_args!("{:x}|{}|{}", self.files, columns.join(" "), attached.join(" ")))
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).ok_or_else(|| D::Error::custom("what a table's rows are stored in is not as lakebox wrote it"))
    }
}

fn read(text: &str) -> Option<Stored> {
    let mut parts = text.split('|');
    let (files, columns, attached) = (parts.next()?, parts.next()?, parts.next()?);
    let column = |word: &str| {
        let (number, by) = word.split_once(':')?;
        Some((number.parse().ok()?, by.parse().ok()?))
    };
    Some(Stored {
        files: u64::from_str_radix(files, 16).ok()?,
        columns: columns.split_whitespace().map(column).collect::<Option<_>>()?,
        attached: attached.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?,
        attached_with_rows: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rewrite_needs_new_files_and_a_new_definition() {
        let before = Stored { files: 7, columns: vec![(1, 700), (2, 700)], attached: vec![9], attached_with_rows: vec![9] };
        let with = |change: &dyn Fn(&mut Stored)| {
            let mut now = before.clone();
            change(&mut now);
            before.moved(&now)
        };
        assert!(!with(&|_| ()));
        assert!(!with(&|s| s.files = 8), "VACUUM FULL");
        assert!(!with(&|s| s.columns[1].1 = 701), "SET STATISTICS");
        assert!(with(&|s| (s.files, s.columns[1].1) = (8, 701)), "USING");
        assert!(!with(&|s| (s.files, s.columns) = (8, vec![(1, 700), (3, 702)])), "a column more, one less, a new partition");
        assert!(!with(&|s| s.attached.push(11)), "an empty partition");
        assert!(with(&|s| s.attached_with_rows.push(11)), "a partition with rows");
        assert!(!Stored::default().moved(&before));
    }

    proptest! {
        #[test]
        fn it_survives_its_text(files: u64, columns: Vec<(i16, u32)>, attached: Vec<u32>) {
            let stored = Stored { files, columns, attached, attached_with_rows: Vec::new() };
            let text = serde_json::to_string(&stored).unwrap();
            prop_assert_eq!(serde_json::from_str::<Stored>(&text).unwrap(), stored);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*|[0-9a-f|: ]*") {
            let _ = serde_json::from_value::<Stored>(serde_json::Value::String(text));
        }
    }
}

//! How a table's columns are laid out, as the catalog numbers them, and whether a change of that left rows with other values without any
//! change event.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// PostgreSQL's own types have the same numbers in every database.
mod oid {
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const INT8: u32 = 20;
    pub(super) const TEXT: u32 = 25;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const NUMERIC: u32 = 1700;
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Laid {
    /// Its number, which no other column of the table ever gets.
    pub(crate) number: i16,
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    /// Whether rows from before the column was added may have values in it. Not remembered.
    pub(crate) filled: bool,
}

/// The columns of a table. In a cursor it is one text, because cursors are made often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout(pub(crate) Vec<Laid>);

impl Layout {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row that was copied under `self` and not changed since may hold other values under `now`. A new column that was empty in all
    /// rows does not count, nor does a dropped one.
    pub(crate) fn moved(&self, now: &Self) -> bool {
        now.0.iter().any(|column| match self.0.iter().find(|c| c.number == column.number) {
            Some(before) => before.name != column.name || !widened(before, column),
            None => column.filled || self.0.iter().any(|c| c.name == column.name),
        })
    }
}

/// Whether every value of the one column is the same value in the other.
fn widened(from: &Laid, to: &Laid) -> bool {
    if from.type_oid == to.type_oid && from.typmod == to.typmod {
        return true;
    }
    match (from.type_oid, to.type_oid) {
        (oid::INT2, oid::INT4 | oid::INT8) | (oid::INT4, oid::INT8) | (oid::FLOAT4, oid::FLOAT8) => true,
        (oid::VARCHAR, oid::TEXT) => true,
        (oid::TEXT, oid::VARCHAR) => to.typmod < 0,
        (oid::VARCHAR, oid::VARCHAR) => to.typmod < 0 || (from.typmod >= 0 && to.typmod >= from.typmod),
        (oid::NUMERIC, oid::NUMERIC) => from.typmod >= 0 && to.typmod >= from.typmod && scale(from.typmod) == scale(to.typmod),
        _ => false,
    }
}

/// The scale in a numeric's modifier (`numerictypmodin`).
fn scale(typmod: i32) -> i32 {
    (typmod - 4) & 0x7FF
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns: Vec<String> =
            self.0.iter().map(|c| format!("{} {} {} {}", c.number, c.type_oid, c.typmod, escaped(&c.name))).collect();
        serializer.serialize_str(&columns.join("\n"))
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let columns = text.lines().map(read).collect::<Option<Vec<_>>>();
        columns.map(Self).ok_or_else(|| D::Error::custom("a table's columns are not as lakebox wrote them"))
    }
}

fn read(line: &str) -> Option<Laid> {
    let mut words = line.splitn(4, ' ');
    Some(Laid {
        number: words.next()?.parse().ok()?,
        type_oid: words.next()?.parse().ok()?,
        typmod: words.next()?.parse().ok()?,
        name: unescaped(words.next()?),
        filled: false,
    })
}

/// A name without line breaks.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            c => c,
        });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(number: i16, name: &str, type_oid: u32, typmod: i32) -> Laid {
        Laid { number, name: name.into(), type_oid, typmod, filled: false }
    }

    fn layout(columns: &[Laid]) -> Layout {
        Layout(columns.to_vec())
    }

    #[test]
    fn only_what_changes_values_of_old_rows_counts() {
        let before =
            layout(&[column(1, "id", oid::INT4, -1), column(2, "a", oid::VARCHAR, 14), column(3, "n", oid::NUMERIC, 655_366)]);
        let with = |changed: Laid| {
            let mut now = before.clone();
            now.0.retain(|c| c.number != changed.number);
            now.0.push(changed);
            before.moved(&now)
        };
        assert!(!before.moved(&before));
        assert!(!before.moved(&layout(&before.0[..1])), "dropped columns");
        assert!(!with(column(1, "id", oid::INT8, -1)));
        assert!(!with(column(2, "a", oid::TEXT, -1)));
        assert!(!with(column(2, "a", oid::VARCHAR, 24)));
        assert!(!with(column(3, "n", oid::NUMERIC, 786_438)), "numeric(10,2) to numeric(12,2)");
        assert!(!with(column(4, "new", oid::TEXT, -1)));
        assert!(with(Laid { filled: true, ..column(4, "new", oid::TEXT, -1) }), "a default");
        assert!(with(column(1, "number", oid::INT4, -1)), "renamed");
        assert!(with(column(1, "id", oid::TEXT, -1)));
        assert!(with(column(2, "a", oid::VARCHAR, 9)), "cut");
        assert!(with(column(3, "n", oid::NUMERIC, 655_367)), "another scale");
        assert!(
            before.moved(&layout(&[column(1, "id", oid::INT4, -1), column(7, "a", oid::VARCHAR, 14)])),
            "dropped and made anew"
        );
        let swapped = layout(&[column(1, "a", oid::INT4, -1), column(2, "id", oid::VARCHAR, 14)]);
        assert!(before.moved(&swapped));
    }

    proptest! {
        #[test]
        fn a_layout_survives_its_text(columns in proptest::collection::vec((any::<i16>(), ".*|[\\\\nr\n\r ]*", any::<u32>(), any::<i32>()), 0..6)) {
            let layout = Layout(columns.iter().map(|(n, name, oid, typmod)| column(*n, name, *oid, *typmod)).collect());
            let text = serde_json::to_string(&layout).unwrap();
            prop_assert_eq!(serde_json::from_str::<Layout>(&text).unwrap(), layout);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = serde_json::from_value::<Layout>(serde_json::Value::String(text));
        }
    }
}

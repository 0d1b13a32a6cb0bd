use crate::{connect::Client, decode::Kind};
use pipeline::Error;
use std::collections::{BTreeSet, HashMap};

/// What the catalog says of a type that is not built in as a scalar.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// Another name for a type, with a modifier of its own.
    Domain { base: u32, typmod: i32 },
    /// A one- or more-dimensional array with commas between its elements.
    Array { item: u32 },
    /// Text, as printed.
    Other,
}

/// Types seen so far. Types never change their oid, and what is read of them here never changes under one oid.
#[derive(Debug, Default)]
pub(crate) struct TypeCatalog {
    entries: HashMap<u32, Entry>,
}

impl TypeCatalog {
    /// The kind of a column of this type; `None` where [`Self::learn`] must be asked first.
    pub(crate) fn kind(&self, oid: u32, typmod: i32) -> Option<Kind> {
        self.resolve(oid, typmod, 0)
    }

    fn resolve(&self, oid: u32, typmod: i32, depth: u8) -> Option<Kind> {
        if let Some(kind) = Kind::of_builtin(oid, typmod) {
            return Some(kind);
        }
        // Domains over domains are finite, but bytes from outside must not send us round for ever.
        if depth > 32 {
            return Some(Kind::Printed);
        }
        match *self.entries.get(&oid)? {
            Entry::Domain { base, typmod } => self.resolve(base, typmod, depth + 1),
            Entry::Array { item } => Some(match self.resolve(item, typmod, depth + 1)? {
                Kind::List(_) => Kind::Printed,
                item => Kind::List(Box::new(item)),
            }),
            Entry::Other => Some(Kind::Printed),
        }
    }

    /// Asks the catalog for those of `oids` that are not known, and for what they are made of.
    pub(crate) async fn learn(&mut self, client: &mut Client, oids: impl Iterator<Item = u32>) -> Result<(), Error> {
        let mut wanted: BTreeSet<u32> = oids.filter(|o| self.is_unknown(*o)).collect();
        while !wanted.is_empty() {
            let list = wanted.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let rows = client
                .query(
                    &format!(
                        "SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typelem, coalesce(e.typdelim, ',') \
                         FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.oid IN ({list})"
                    ),
                    "reading the catalog of types",
                )
                .await?;
            let mut next = BTreeSet::new();
            // Types that were dropped meanwhile stay text.
            self.entries.extend(wanted.iter().map(|o| (*o, Entry::Other)));
            for row in rows {
                let text = |at: usize| row.get(at).and_then(|v| v.as_deref()).unwrap_or("");
                let oid = |at: usize| text(at).parse::<u32>().unwrap_or(0);
                let entry = match (text(1), text(4), text(6)) {
                    ("d", ..) => Entry::Domain { base: oid(2), typmod: text(3).parse().unwrap_or(-1) },
                    // int2vector and oidvector call themselves arrays but are printed otherwise.
                    (_, "A", ",") if oid(5) != 0 && !matches!(oid(0), 22 | 30) => Entry::Array { item: oid(5) },
                    _ => Entry::Other,
                };
                if let Entry::Domain { base: part, .. } | Entry::Array { item: part } = entry {
                    next.insert(part);
                }
                self.entries.insert(oid(0), entry);
            }
            wanted = next.into_iter().filter(|o| self.is_unknown(*o)).collect();
        }
        Ok(())
    }

    fn is_unknown(&self, oid: u32) -> bool {
        oid != 0 && Kind::of_builtin(oid, -1).is_none() && !self.entries.contains_key(&oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_arrays_and_the_rest_are_resolved() {
        let mut types = TypeCatalog::default();
        types.entries.insert(1007, Entry::Array { item: 23 });
        types.entries.insert(9001, Entry::Domain { base: 1700, typmod: (10 << 16 | 2) + 4 });
        types.entries.insert(9002, Entry::Domain { base: 9001, typmod: -1 });
        types.entries.insert(9003, Entry::Array { item: 9002 });
        types.entries.insert(9004, Entry::Array { item: 1007 });
        types.entries.insert(9005, Entry::Domain { base: 9005, typmod: -1 });
        types.entries.insert(600, Entry::Other);
        let decimal = Kind::Numeric { precision: 10, scale: 2 };
        let cases = [
            (1007, Some(Kind::List(Box::new(Kind::Int4)))),
            (9002, Some(decimal.clone())),
            (9003, Some(Kind::List(Box::new(decimal)))),
            (9004, Some(Kind::Printed)),
            (9005, Some(Kind::Printed)),
            (600, Some(Kind::Printed)),
            (4242, None),
        ];
        for (oid, expected) in cases {
            assert_eq!(types.kind(oid, -1), expected, "{oid}");
        }
    }
}

//! Messages of the `pgoutput` plugin, protocol version 1, as views over their bytes.

/// Bytes that are no message; the text says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message<'a> {
    Begin {
        commit_lsn: u64,
        commit_us: i64,
        xid: u32,
    },
    Commit {
        end_lsn: u64,
        commit_us: i64,
    },
    Relation(Relation),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<Old<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: Old<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Origins, type names, logical messages: nothing that rows need.
    Other,
}

/// The shape of a table as of the changes that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `d`efault, `n`othing, `f`ull or `i`ndex.
    pub(crate) identity: u8,
    pub(crate) columns: Vec<RelationColumn>,
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelationColumn {
    pub(crate) in_key: bool,
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
}

/// The old image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Old<'a> {
    /// Only the columns of the replica identity have values; the others are NULL whatever they were.
    pub(crate) key_only: bool,
    pub(crate) tuple: Tuple<'a>,
}

/// The values of a row, still in their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Null,
    /// A TOAST value that the update left alone and the log does not have.
    Unchanged,
    Text(&'a [u8]),
}

/// Microseconds between 1970 and PostgreSQL's epoch.
pub(crate) const EPOCH_US: i64 = 946_684_800_000_000;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array("it ends early")?))
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array("it ends early")?))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array("it ends early")?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array("it ends early")?))
    }

    fn time(&mut self) -> Result<i64, Malformed> {
        Ok(self.u64()?.cast_signed().saturating_add(EPOCH_US))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Malformed("a name does not end"))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// A tuple, its end found by walking its values.
    fn tuple(&mut self) -> Result<Tuple<'a>, Malformed> {
        let count = usize::from(self.u16()?);
        let start = self.0;
        let mut cells = Cells { left: count, rest: start };
        for cell in cells.by_ref() {
            cell?;
        }
        self.0 = cells.rest;
        Ok(Tuple { count, bytes: start })
    }

    /// A tuple that is the last of its message: not walked here, since its reader will.
    fn last_tuple(&mut self) -> Result<Tuple<'a>, Malformed> {
        let count = usize::from(self.u16()?);
        Ok(Tuple { count, bytes: std::mem::take(&mut self.0) })
    }
}

/// The values of a tuple, one by one; after an error, nothing more.
pub(crate) struct Cells<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Cell<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let cell = self.cell();
        self.left = if cell.is_err() { 0 } else { self.left - 1 };
        Some(cell)
    }
}

impl<'a> Cells<'a> {
    fn cell(&mut self) -> Result<Cell<'a>, Malformed> {
        let (tag, rest) = self.rest.split_first().ok_or(Malformed("a tuple ends early"))?;
        self.rest = rest;
        match tag {
            b'n' => Ok(Cell::Null),
            b'u' => Ok(Cell::Unchanged),
            b't' => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or(Malformed("a value ends early"))?;
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                let (value, rest) = rest.split_at_checked(length).ok_or(Malformed("a value ends early"))?;
                self.rest = rest;
                Ok(Cell::Text(value))
            }
            _ => Err(Malformed("a value is of an unknown form")),
        }
    }
}

impl<'a> Tuple<'a> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn cells(&self) -> Cells<'a> {
        Cells { left: self.count, rest: self.bytes }
    }
}

/// Reads one message.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut r = Reader(bytes);
    Ok(match r.u8()? {
        b'I' => {
            let relation = r.u32()?;
            expect_new(r.u8()?)?;
            Message::Insert { relation, new: r.last_tuple()? }
        }
        b'U' => {
            let relation = r.u32()?;
            let old = match r.u8()? {
                b'N' => None,
                tag => {
                    let old = old(tag, r.tuple()?)?;
                    expect_new(r.u8()?)?;
                    Some(old)
                }
            };
            Message::Update { relation, old, new: r.last_tuple()? }
        }
        b'D' => {
            let relation = r.u32()?;
            let tag = r.u8()?;
            Message::Delete { relation, old: old(tag, r.last_tuple()?)? }
        }
        b'B' => Message::Begin { commit_lsn: r.u64()?, commit_us: r.time()?, xid: r.u32()? },
        b'C' => {
            let (_flags, _commit_lsn) = (r.u8()?, r.u64()?);
            Message::Commit { end_lsn: r.u64()?, commit_us: r.time()? }
        }
        b'R' => {
            let (oid, schema, name, identity) = (r.u32()?, r.text()?, r.text()?, r.u8()?);
            let count = r.u16()?;
            let mut columns = Vec::new();
            for _ in 0..count {
                let flags = r.u8()?;
                let name = r.text()?;
                columns.push(RelationColumn { in_key: flags & 1 == 1, name, type_oid: r.u32()?, typmod: r.u32()?.cast_signed() });
            }
            // An empty schema name stands for pg_catalog.
            let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
            Message::Relation(Relation { oid, schema, name, identity, columns })
        }
        b'T' => {
            let (count, _options) = (r.u32()?, r.u8()?);
            let mut relations = Vec::new();
            for _ in 0..count {
                relations.push(r.u32()?);
            }
            Message::Truncate { relations }
        }
        _ => Message::Other,
    })
}

fn expect_new(tag: u8) -> Result<(), Malformed> {
    if tag == b'N' { Ok(()) } else { Err(Malformed("the new row is missing")) }
}

fn old(tag: u8, tuple: Tuple<'_>) -> Result<Old<'_>, Malformed> {
    match tag {
        b'K' => Ok(Old { key_only: true, tuple }),
        b'O' => Ok(Old { key_only: false, tuple }),
        _ => Err(Malformed("the old row is of an unknown form")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages as the plugin writes them, for tests.
    pub(crate) mod write {
        pub(crate) fn tuple(cells: &[Option<&str>]) -> Vec<u8> {
            let mut out = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
            for cell in cells {
                match cell {
                    None => out.push(b'n'),
                    Some("<unchanged>") => out.push(b'u'),
                    Some(text) => {
                        out.push(b't');
                        out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                        out.extend(text.as_bytes());
                    }
                }
            }
            out
        }

        pub(crate) fn begin(commit_lsn: u64, xid: u32) -> Vec<u8> {
            [&b"B"[..], &commit_lsn.to_be_bytes(), &0_u64.to_be_bytes(), &xid.to_be_bytes()].concat()
        }

        pub(crate) fn commit(commit_lsn: u64, end_lsn: u64) -> Vec<u8> {
            [&b"C\0"[..], &commit_lsn.to_be_bytes(), &end_lsn.to_be_bytes(), &0_u64.to_be_bytes()].concat()
        }

        pub(crate) fn relation(oid: u32, name: &str, identity: u8, columns: &[(&str, bool, u32)]) -> Vec<u8> {
            let mut out = [&b"R"[..], &oid.to_be_bytes(), b"public\0", name.as_bytes(), &[0, identity]].concat();
            out.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
            for (name, key, type_oid) in columns {
                out.push(u8::from(*key));
                out.extend(name.as_bytes());
                out.push(0);
                out.extend(type_oid.to_be_bytes());
                out.extend((-1_i32).to_be_bytes());
            }
            out
        }

        pub(crate) fn insert(oid: u32, new: &[Option<&str>]) -> Vec<u8> {
            [&b"I"[..], &oid.to_be_bytes(), b"N", &tuple(new)].concat()
        }

        pub(crate) fn update(oid: u32, old: Option<(u8, &[Option<&str>])>, new: &[Option<&str>]) -> Vec<u8> {
            let old = old.map(|(tag, cells)| [vec![tag], tuple(cells)].concat()).unwrap_or_default();
            [&b"U"[..], &oid.to_be_bytes(), &old, b"N", &tuple(new)].concat()
        }

        pub(crate) fn delete(oid: u32, tag: u8, old: &[Option<&str>]) -> Vec<u8> {
            [&b"D"[..], &oid.to_be_bytes(), &[tag], &tuple(old)].concat()
        }

        pub(crate) fn truncate(oids: &[u32]) -> Vec<u8> {
            let mut out = [&b"T"[..], &u32::try_from(oids.len()).unwrap().to_be_bytes(), &[0]].concat();
            out.extend(oids.iter().flat_map(|o| o.to_be_bytes()));
            out
        }
    }

    fn cells(tuple: Tuple<'_>) -> Vec<Cell<'_>> {
        tuple.cells().map(Result::unwrap).collect()
    }

    #[test]
    fn an_update_with_an_old_key_gives_both_rows() {
        let bytes = write::update(7, Some((b'K', &[Some("1"), None])), &[Some("2"), Some("<unchanged>")]);
        let Message::Update { relation: 7, old: Some(old), new } = parse(&bytes).unwrap() else { panic!() };
        assert!(old.key_only);
        assert_eq!(cells(old.tuple), [Cell::Text(b"1"), Cell::Null]);
        assert_eq!(cells(new), [Cell::Text(b"2"), Cell::Unchanged]);
    }

    fn read_all(bytes: &[u8]) {
        if let Ok(Message::Insert { new, .. } | Message::Update { new, .. }) = parse(bytes) {
            for cell in new.cells() {
                let _ = cell;
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(tag in prop::sample::select(b"BCRIUDTYOM".to_vec()), mut bytes: Vec<u8>) {
            bytes.insert(0, tag);
            read_all(&bytes);
        }

        #[test]
        fn no_cut_or_damage_of_a_valid_message_makes_it_panic(cut in 0_usize..80, at in 0_usize..80, byte: u8) {
            for mut bytes in [
                write::relation(5, "t", b'd', &[("id", true, 23), ("v", false, 25)]),
                write::update(5, Some((b'O', &[Some("1"), Some("x")])), &[Some("1"), Some("y")]),
                write::delete(5, b'K', &[Some("1"), None]),
                write::truncate(&[1, 2, 3]),
            ] {
                read_all(&bytes[..cut.min(bytes.len())]);
                if let Some(b) = bytes.get_mut(at) { *b = byte; }
                read_all(&bytes);
            }
        }
    }
}

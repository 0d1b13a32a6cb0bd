//! Files as tables: `read_csv('…')`, `FROM 's3://…/*.parquet'`, and tables that crawlers found.
//!
//! Files are read from the places alone that the configuration names ([`FilePlaces`]); a path leads into one of them or nowhere. A statement's files
//! are listed and looked at once, when it is planned: what arrives later is seen by the next statement. What is asked for is carried through planning in
//! a table's name, because planning is where it may take time.

mod adapter;
mod call;
mod crawled;
mod delta;
mod listing;
mod look;
mod merge;
mod options;
mod parquet;
mod places;
mod routes;
mod sample;
mod scan;
mod syntax;
mod table;

pub(crate) use call::provider;
pub use crawled::{CrawledTable, FoundTable};
pub(crate) use crawled::{Tables as CrawledTables, crawl};
pub use places::FilePlaces;
pub(crate) use syntax::{called, rewrite};
pub(crate) use table::{scan_size, store_url};

use crate::{Error, Kind};

/// What the engine knows of files. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Where they may be.
    pub(crate) routes: routes::Routes,
    /// Tables that crawlers found.
    pub(crate) crawled: crawled::Tables,
}

/// The format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text between delimiters.
    Csv,
    /// JSON documents.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro object container files.
    Avro,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Parquet, Self::Avro];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Avro => "avro",
        }
    }

    /// The format that a file's name says, without the ending of its compression.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let bare = Compression::of_name(name).map_or(name, |c| &name[..name.len() - c.ending().len()]);
        let ending = bare.rsplit_once('.')?.1.to_ascii_lowercase();
        match ending.as_str() {
            "csv" | "tsv" | "tab" | "txt" => Some(Self::Csv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            "parquet" | "parq" | "pq" => Some(Self::Parquet),
            "avro" => Some(Self::Avro),
            _ => None,
        }
    }
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    const ALL: [Self; 4] = [Self::Gzip, Self::Zstd, Self::Bzip2, Self::Xz];

    const fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let ends = |c: &Self| name.len() > c.ending().len() && name.is_char_boundary(name.len() - c.ending().len());
        Self::ALL.into_iter().find(|c| ends(c) && name[name.len() - c.ending().len()..].eq_ignore_ascii_case(c.ending()))
    }

    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "gzip" | "gz" => Some(Self::Gzip),
            "zstd" | "zst" => Some(Self::Zstd),
            "bzip2" | "bz2" => Some(Self::Bzip2),
            "xz" => Some(Self::Xz),
            _ => None,
        }
    }
}

/// What is wrong with a file, as the error of a query.
pub(crate) fn broken(file: &str, error: formats::Error) -> Error {
    let hint = error.hint.clone();
    let out = Error::new(Kind::Invalid, format!("{file}: {error}"));
    match hint {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}

/// What a store said of a file or a prefix, as the error of a query.
pub(crate) fn unreachable(shown: &str, error: object_store::Error) -> Error {
    let (kind, message, hint) = match &error {
        object_store::Error::NotFound { .. } => (
            Kind::Invalid,
            format!("{shown} does not exist"),
            "Check the path; names of files and buckets tell upper and lower case apart.",
        ),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => (
            Kind::Invalid,
            format!("{shown} may not be read"),
            "Give lakebox the right to list and read there, or other credentials in `lake.options`.",
        ),
        _ => (Kind::Storage, format!("{shown} can't be read"), "Check that the store is there and lets lakebox in."),
    };
    Error::new(kind, message).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        for (name, format, compression) in [
            ("a.csv", Some(Format::Csv), None),
            ("a.b.TSV.GZ", Some(Format::Csv), Some(Compression::Gzip)),
            ("a.jsonl.zst", Some(Format::Json), Some(Compression::Zstd)),
            ("a.parquet", Some(Format::Parquet), None),
            ("é.xz", None, Some(Compression::Xz)),
            (".gz", None, None),
        ] {
            assert_eq!((Format::of_name(name), Compression::of_name(name)), (format, compression), "{name}");
        }
    }
}

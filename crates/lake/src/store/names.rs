//! Names that say what is inside of a file, so that a store that answers with other bytes is found out.

use object_store::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// What files that are read as a whole end with.
const ENDINGS: [&str; 4] = [".metadata.json", ".avro", ".parquet", ".puffin"];
/// What the name of a data file with checksums inside ends with; see [`super::seal`].
const SEALED: &str = "-b1.parquet";
/// In front of the digest in a name.
const MARK: &str = "-x";
const DIGITS: usize = 16;

/// The same place under a name that holds the digest of `bytes`. Only for files that are written and read as a whole.
pub(crate) fn with_digest(path: &Path, bytes: &[u8]) -> Path {
    let text = path.as_ref();
    match ENDINGS.iter().find_map(|ending| text.strip_suffix(ending).map(|stem| (stem, ending))) {
        Some((stem, ending)) => Path::from(format!("{stem}{MARK}{:016x}{ending}", xxh3_64(bytes))),
        None => path.clone(),
    }
}

/// The digest that the name of a file says its bytes have.
fn digest(path: &Path) -> Option<u64> {
    let text = path.as_ref();
    let stem = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending))?;
    let at = stem.len().checked_sub(DIGITS)?;
    let (front, digits) = (stem.get(..at)?, stem.get(at..)?);
    let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (front.ends_with(MARK) && hex).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Whether `bytes` are what the name says; `None` where it says nothing.
pub(super) fn fits(path: &Path, bytes: &[u8]) -> Option<bool> {
    digest(path).map(|wanted| xxh3_64(bytes) == wanted)
}

/// Whether a file carries checksums of its own.
pub(super) fn is_sealed(path: &Path) -> bool {
    path.as_ref().ends_with(SEALED)
}

/// The name of a data file that carries checksums of its own.
pub(crate) fn sealed(stem: &str) -> String {
    format!("{stem}{SEALED}")
}

/// The name of a data file without what it ends with, whether it carries checksums or not.
pub(crate) fn stem(path: &Path) -> Option<&str> {
    let text = path.as_ref();
    text.strip_suffix(SEALED).or_else(|| text.strip_suffix(".parquet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whether_the_bytes_are_its_own() {
        for name in ["t/metadata/00012-0b5e.metadata.json", "t/metadata/snap-1-0b5e.avro", "t/data/0b5e-deletes.parquet"] {
            let path = with_digest(&Path::from(name), b"inside");
            assert!(path.as_ref().starts_with(&name[..name.find('.').unwrap()]), "{path}");
            assert_eq!(fits(&path, b"inside"), Some(true));
            assert_eq!(fits(&path, b"insidf"), Some(false));
        }
    }

    #[test]
    fn names_of_others_say_nothing() {
        for name in [
            "t/metadata/00012-4a5b8c3e-0f6e-4c0e-9c39-0123456789ab.metadata.json",
            "t/a.avro",
            "t/x.parquet",
            "0123456789abcdef.avro",
        ] {
            assert_eq!(fits(&Path::from(name), b""), None, "{name}");
        }
        assert_eq!(with_digest(&Path::from("t/other.bin"), b"x"), Path::from("t/other.bin"));
        assert!(is_sealed(&Path::from(format!("t/data/{}", sealed("0b5e")))));
        assert!(!is_sealed(&Path::from("t/data/0b5e.parquet")));
    }
}

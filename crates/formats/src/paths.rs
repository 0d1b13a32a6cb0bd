//! Names of files as patterns, and as partitions.

use crate::typed::{Guess, Look};
use arrow::datatypes::DataType;

/// One level of a path: either a name, or a pattern for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// Exactly this.
    Name(String),
    /// What matches; `*` and `?` stand for any text and any character, `[a-c]` for one of several, `{a,b}` for either.
    Pattern(String),
    /// `**`: any number of levels, none included.
    Any,
}

/// Whether a path holds a pattern.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// The levels of a path.
pub fn levels(path: &str) -> Vec<Level> {
    let level = |part: &str| match part {
        "**" => Level::Any,
        part if is_pattern(part) => Level::Pattern(part.to_owned()),
        part => Level::Name(part.to_owned()),
    };
    path.split('/').filter(|part| !part.is_empty()).map(level).collect()
}

/// Whether a path, as its parts, is what `levels` say.
pub fn matches(levels: &[Level], parts: &[&str]) -> bool {
    // Which of the levels may come next, for each part: no pattern takes longer than levels times parts.
    let close = |mut reached: Vec<bool>| {
        for i in 0..levels.len() {
            if reached[i] && levels[i] == Level::Any {
                reached[i + 1] = true;
            }
        }
        reached
    };
    let mut reached = vec![false; levels.len() + 1];
    reached[0] = true;
    reached = close(reached);
    for part in parts {
        let mut next = vec![false; levels.len() + 1];
        for (i, level) in levels.iter().enumerate().filter(|(i, _)| reached[*i]) {
            match level {
                Level::Any => next[i] = true,
                Level::Name(name) => next[i + 1] |= name == part,
                Level::Pattern(pattern) => next[i + 1] |= name_matches(pattern, part),
            }
        }
        reached = close(next);
    }
    reached[levels.len()]
}

/// Alternatives of one pattern.
const ALTERNATIVES_MAX: usize = 256;

/// Whether a name is what a pattern says.
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    alternatives(pattern).iter().any(|one| one_matches(&one.chars().collect::<Vec<_>>(), &name))
}

/// The pattern with each of its `{a,b}` chosen.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(next) = open.pop() {
        let braces = next.find('{').and_then(|from| Some((from, from + next[from..].find('}')?)));
        match braces {
            Some((from, to)) if done.len() + open.len() < ALTERNATIVES_MAX => {
                open.extend(next[from + 1..to].split(',').map(|one| format!("{}{one}{}", &next[..from], &next[to + 1..])));
            }
            _ => done.push(next),
        }
    }
    done
}

fn one_matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was, and how far it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of the set that `pattern` begins with, where `c` is in it.
fn set(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
    let (inner, negated) = match pattern[1] {
        '!' | '^' => (&pattern[2..end], true),
        _ => (&pattern[1..end], false),
    };
    let mut found = false;
    let mut i = 0;
    while i < inner.len() {
        if i + 2 < inner.len() && inner[i + 1] == '-' {
            found |= inner[i] <= c && c <= inner[i + 2];
            i += 3;
        } else {
            found |= inner[i] == c;
            i += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

/// What Hive writes where a partition's value is NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partitions that the directories of a path say: `year=2026/month=01/x.csv`. Values are percent-decoded; NULL is none.
pub fn partitions(directories: &[&str]) -> Vec<(String, Option<String>)> {
    let partition = |part: &&str| {
        let (name, value) = part.split_once('=')?;
        let value = decoded(value);
        (!name.is_empty()).then(|| (decoded(name), (value != NULL).then_some(value)))
    };
    directories.iter().filter_map(partition).collect()
}

/// A text with its percent-escapes resolved; as it is where they are none.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let code = code.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The type of a partition column from all its values. `01` is a number here, as in other readers of such directories.
pub fn partition_type<'a>(values: impl Iterator<Item = &'a str>) -> DataType {
    let mut guess = Guess::Nothing;
    for value in values {
        let look = match value.trim_start_matches('0') {
            // Zeros in front are how months and days are sorted.
            bare if bare.len() < value.len() && value.len() <= 2 && value.bytes().all(|b| b.is_ascii_digit()) => {
                Guess::of(if bare.is_empty() { "0" } else { bare }, Look::Everything)
            }
            _ => Guess::of(value, Look::Everything),
        };
        guess = guess.join(look);
    }
    match guess.data_type(false) {
        data_type @ (DataType::Int64 | DataType::Date32) => data_type,
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, path, expected) in [
            ("a/*.csv", "a/x.csv", true),
            ("a/*.csv", "a/b/x.csv", false),
            ("a/**/*.csv", "a/x.csv", true),
            ("a/**/*.csv", "a/b/c/x.csv", true),
            ("**", "a/b", true),
            ("a/x?.[ct]sv", "a/x1.tsv", true),
            ("a/[!x]*", "a/xyz", false),
            ("a/{x,y}*.{csv,json}", "a/y1.json", true),
            ("a/{x,y}.csv", "a/z.csv", false),
            ("year=*/m=0[1-3]/*", "year=2026/m=02/f", true),
            ("a/*é*", "a/caféx", true),
            ("a/[", "a/[", false),
        ] {
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!(matches(&levels(pattern), &parts), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn partitions_are_read_from_directories() {
        let found = partitions(&["data", "year=2026", "city=S%C3%A3o%20Paulo", "x=__HIVE_DEFAULT_PARTITION__"]);
        let expected = [("year", Some("2026")), ("city", Some("São Paulo")), ("x", None)];
        assert_eq!(found, expected.map(|(n, v)| (n.to_owned(), v.map(str::to_owned))));
        assert_eq!(partition_type(["01", "12"].into_iter()), DataType::Int64);
        assert_eq!(partition_type(["2026-01-01"].into_iter()), DataType::Date32);
        assert_eq!(partition_type(["007", "1"].into_iter()), DataType::Utf8);
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic_or_run_away(pattern in "[a*?\\[\\]{},!^/-]{0,60}", path in "[a-c/]{0,60}") {
            let parts: Vec<&str> = path.split('/').collect();
            let _ = matches(&levels(&pattern), &parts);
        }
    }
}

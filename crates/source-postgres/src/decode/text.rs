//! Small text forms: bytea, uuid, and the elements of arrays.

/// The bytes of a `bytea` in either output form; `None` where it is neither.
pub(crate) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let Some(hex) = text.strip_prefix(b"\\x") else { return escaped(text, out) };
    if hex.len() % 2 != 0 {
        return None;
    }
    out.reserve(hex.len() / 2);
    let start = out.len();
    for pair in hex.chunks_exact(2) {
        match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => {
                out.truncate(start);
                return None;
            }
        }
    }
    Some(())
}

fn nibble(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

fn escaped(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if *first != b'\\' {
            out.push(*first);
            rest = tail;
            continue;
        }
        match tail {
            [b'\\', tail @ ..] => {
                out.push(b'\\');
                rest = tail;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                out.truncate(start);
                return None;
            }
        }
    }
    Some(())
}

/// `\x…`: bytes that no text column can hold, as PostgreSQL would print them as bytea.
pub(crate) fn print_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    push_hex(bytes, &mut text);
    text
}

fn push_hex(bytes: &[u8], text: &mut String) {
    for b in bytes {
        for digit in [b >> 4, b & 15] {
            text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        }
    }
}

/// The 36 characters of a binary uuid.
pub(crate) fn print_uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (at, part) in [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)] {
        if at > 0 {
            text.push('-');
        }
        push_hex(&bytes[at..part], &mut text);
    }
    Some(text)
}

/// Walks the elements of a one-dimensional array's text, in order: `visit(None)` for NULL, else the unquoted bytes. False where the text is
/// no such array (more dimensions, other lower bounds, malformed) or `visit` said so.
pub(crate) fn array_elements(text: &[u8], scratch: &mut Vec<u8>, mut visit: impl FnMut(Option<&[u8]>) -> bool) -> bool {
    let [b'{', inner @ .., b'}'] = text else { return false };
    if inner.is_empty() {
        return true;
    }
    let mut rest = inner;
    loop {
        scratch.clear();
        let quoted = rest.first() == Some(&b'"');
        let after = if quoted { quoted_element(&rest[1..], scratch) } else { plain_element(rest, scratch) };
        let Some(after) = after else { return false };
        let null = !quoted && scratch.eq_ignore_ascii_case(b"NULL");
        if !visit((!null).then_some(scratch.as_slice())) {
            return false;
        }
        match after {
            [] => return true,
            [b',', tail @ ..] => rest = tail,
            _ => return false,
        }
    }
}

fn quoted_element<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
            [b'\\'] | [] => return None,
            [b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
        }
    }
}

fn plain_element<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [b',', ..] => return (!out.is_empty()).then_some(rest),
            [b'{' | b'}' | b'"', ..] => return None,
            [b'\\', b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
            [b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(text: &str) -> Option<Vec<Option<String>>> {
        let mut all = Vec::new();
        let whole = array_elements(text.as_bytes(), &mut Vec::new(), |e| {
            all.push(e.map(|e| String::from_utf8_lossy(e).into_owned()));
            true
        });
        whole.then_some(all)
    }

    #[test]
    fn arrays_of_one_dimension_are_split_and_others_refused() {
        let some = |all: &[&str]| Some(all.iter().map(|e| (*e != "NULL").then(|| (*e).to_owned())).collect::<Vec<_>>());
        let cases: &[(&str, Option<Vec<Option<String>>>)] = &[
            ("{}", some(&[])),
            ("{1,2,3}", some(&["1", "2", "3"])),
            ("{1,NULL,3}", some(&["1", "NULL", "3"])),
            (r#"{"a,b","c\"d","e\\f",""}"#, some(&["a,b", "c\"d", "e\\f", ""])),
            (r#"{"NULL"}"#, Some(vec![Some("NULL".into())])),
            ("{{1,2},{3,4}}", None),
            ("[0:1]={1,2}", None),
            ("{1,}", None),
            (r#"{"a}"#, None),
            (r#"{"a"b}"#, None),
            ("", None),
            ("{", None),
        ];
        for (text, expected) in cases {
            assert_eq!(elements(text), *expected, "{text}");
        }
    }

    #[test]
    fn bytea_is_read_in_both_forms() {
        let cases: &[(&str, Option<&[u8]>)] = &[
            ("\\x", Some(b"")),
            ("\\x00ffAb", Some(&[0, 255, 0xab])),
            ("\\x0", None),
            ("\\x0g", None),
            ("abc", Some(b"abc")),
            ("a\\\\b\\000\\377", Some(b"a\\b\x00\xff")),
            ("\\9", None),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            let read = bytea(text.as_bytes(), &mut out);
            assert_eq!(read.map(|()| out.as_slice()), *expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_survive_their_hex(bytes: Vec<u8>) {
            let mut out = Vec::new();
            prop_assert_eq!(bytea(print_bytes(&bytes).as_bytes(), &mut out), Some(()));
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn any_texts_survive_being_an_array(items in prop::collection::vec(prop::option::of(".*"), 0..8)) {
            let quoted: Vec<String> = items.iter().map(|i| match i {
                None => "NULL".to_owned(),
                Some(t) => format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\"")),
            }).collect();
            prop_assert_eq!(elements(&format!("{{{}}}", quoted.join(","))), Some(items));
        }

        #[test]
        fn no_bytes_make_the_text_forms_panic(text: Vec<u8>) {
            let mut out = Vec::new();
            let _ = bytea(&text, &mut out);
            let _ = array_elements(&text, &mut out, |_| true);
            let _ = print_uuid(&text);
        }
    }
}

use crate::config::Rule;
use hmac::{Hmac, Mac};
use lakebox_transform::{TextBuilder, TextColumn};
use sha2::Sha256;

/// Stands for what is left out; always of one length, so that it does not tell how much that is.
const STARS: &str = "***";

/// Masks every value of a column.
pub fn column(column: &TextColumn<'_>, rule: &Rule, out: &mut TextBuilder) {
    match rule {
        Rule::Redact { replacement } => column.iter().for_each(|value| out.push(value.map(|_| replacement.as_str()))),
        Rule::Hash { secret } => {
            // A key of any length makes a valid HMAC.
            let Ok(keyed) = Hmac::<Sha256>::new_from_slice(secret) else { return };
            let mut hex = String::with_capacity(HASH_BYTES * 2);
            for value in column.iter() {
                out.push(value.map(|value| hash(&keyed, value, &mut hex)));
            }
        }
        Rule::Partial { keep_first, keep_last } => {
            column.iter().for_each(|value| out.push_parts(value.map(|value| partial(value, *keep_first, *keep_last))));
        }
    }
}

/// 128 bits: no two values of any real table meet.
const HASH_BYTES: usize = 16;

fn hash<'a>(keyed: &Hmac<Sha256>, value: &str, hex: &'a mut String) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut mac = keyed.clone();
    mac.update(value.as_bytes());
    hex.clear();
    for byte in mac.finalize().into_bytes().iter().take(HASH_BYTES) {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

/// What stays of a value: of an e-mail address the first characters and the domain, of others the first and last characters. Where that would be nearly
/// everything, nothing stays.
fn partial(value: &str, keep_first: usize, keep_last: usize) -> [&str; 3] {
    match value.split_once('@') {
        Some((person, domain)) if !person.is_empty() && !domain.contains('@') && domain.contains('.') => {
            let domain = &value[person.len()..domain.len() + person.len() + 1];
            let head = if person.chars().nth(keep_first).is_some() { first(person, keep_first) } else { "" };
            [head, STARS, domain]
        }
        _ => {
            let enough = keep_first + keep_last + 2;
            if value.chars().nth(enough.saturating_sub(1)).is_none() {
                return ["", STARS, ""];
            }
            [first(value, keep_first), STARS, last(value, keep_last)]
        }
    }
}

fn first(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

fn last(text: &str, chars: usize) -> &str {
    match chars.checked_sub(1).and_then(|back| text.char_indices().nth_back(back)) {
        Some((start, _)) => &text[start..],
        None => "",
    }
}

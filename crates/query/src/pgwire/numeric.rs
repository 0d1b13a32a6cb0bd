use bytes::{Buf, BufMut};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;

/// Writes a decimal number, given as digits with at most one point, in PostgreSQL's binary form: groups of four digits with a weight.
pub(super) fn encode(out: &mut Vec<u8>, text: &str) {
    let (sign, digits) = text.strip_prefix('-').map_or((0, text), |rest| (NEGATIVE, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut groups: Vec<u16> = Vec::new();
    let group = |chunk: &[u8]| chunk.iter().fold(0_u16, |n, d| n * 10 + u16::from(d.wrapping_sub(b'0')));
    let head = whole.len() % 4;
    if head > 0 {
        groups.push(group(&whole.as_bytes()[..head]));
    }
    groups.extend(whole.as_bytes()[head..].chunks(4).map(group));
    let mut weight = i32::try_from(groups.len()).unwrap_or(0) - 1;
    groups.extend(
        fraction.as_bytes().chunks(4).map(|chunk| group(chunk) * 10_u16.pow(4 - u32::try_from(chunk.len()).unwrap_or(4))),
    );
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..leading);
    weight -= i32::try_from(leading).unwrap_or(0);
    let empty = groups.is_empty();
    out.put_u16(u16::try_from(groups.len()).unwrap_or(u16::MAX));
    out.put_i16(if empty { 0 } else { i16::try_from(weight).unwrap_or(i16::MAX) });
    out.put_u16(if empty { 0 } else { sign });
    out.put_u16(u16::try_from(fraction.len()).unwrap_or(u16::MAX));
    groups.iter().for_each(|g| out.put_u16(*g));
}

/// The digits of a number in PostgreSQL's binary form; none where the bytes are not one.
pub(super) fn decode(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight, sign, scale) =
        (usize::from(bytes.get_u16()), i32::from(bytes.get_i16()), bytes.get_u16(), usize::from(bytes.get_u16()));
    if sign == NAN {
        return Some("NaN".to_owned());
    }
    if bytes.len() != 2 * count {
        return None;
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    let at = |i: i32| usize::try_from(i).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let mut whole: String = (0..=weight).map(|i| format!("{:04}", at(i))).collect();
    let places = i32::try_from(scale.div_ceil(4)).ok()?;
    let mut fraction: String = (1..=places).map(|i| format!("{:04}", at(weight + i))).collect();
    fraction.truncate(scale);
    whole = whole.trim_start_matches('0').to_owned();
    let whole = if whole.is_empty() { "0" } else { &whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{}{whole}{point}{fraction}", if sign == NEGATIVE { "-" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(text: &str) -> Option<String> {
        let mut out = Vec::new();
        encode(&mut out, text);
        decode(&out)
    }

    #[test]
    fn known_numbers_have_known_bytes() {
        let mut out = Vec::new();
        encode(&mut out, "-12345.678");
        assert_eq!(out, [0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 9, 41, 26, 124]);
        for text in ["0", "0.00", "0.0001", "10000", "99999999999999999999999999999999999999", "-0.5", "120000.50"] {
            assert_eq!(there_and_back(text).as_deref(), Some(text));
        }
    }

    proptest! {
        #[test]
        fn every_decimal_comes_back(value in any::<i128>(), scale in 0_i8..38) {
            use arrow::datatypes::{Decimal128Type, DecimalType};
            let text = Decimal128Type::format_decimal(value / 10, 38, scale);
            prop_assert_eq!(there_and_back(&text), Some(text));
        }

        #[test]
        fn strange_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            decode(&bytes);
        }
    }
}

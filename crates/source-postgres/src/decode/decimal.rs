//! `numeric`, from its text and from its binary form, to a decimal of 128 bits; exactly or not at all.

const POWERS: [i128; 39] = {
    let mut all = [1_i128; 39];
    let mut i = 1;
    while i < 39 {
        all[i] = all[i - 1] * 10;
        i += 1;
    }
    all
};

fn fits(value: i128, precision: u8) -> Option<i128> {
    (value.unsigned_abs() < POWERS.get(usize::from(precision))?.unsigned_abs()).then_some(value)
}

/// The value times 10^scale; `None` for NaN, infinities and values that need more digits than there are.
pub(crate) fn from_text(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (digits, negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    if digits.is_empty() {
        return None;
    }
    // Money-like values have at most 18 digits: one 64-bit loop, no 128-bit multiplication.
    let (mut small, mut value) = (0_u64, 0_i128);
    let (mut count, mut wide) = (0_usize, false);
    let mut point: Option<usize> = None;
    let scale = usize::try_from(scale).ok()?;
    for (at, b) in digits.iter().enumerate() {
        let digit = b.wrapping_sub(b'0');
        if digit < 10 {
            if point.is_some_and(|p| at - p > scale) {
                if digit != 0 {
                    return None;
                }
                continue;
            }
            if count < 18 {
                small = small * 10 + u64::from(digit);
            } else {
                if !wide {
                    value = i128::from(small);
                    wide = true;
                }
                value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
            }
            count += 1;
        } else if *b == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    if !wide {
        value = i128::from(small);
    }
    let given = point.map_or(0, |p| digits.len() - 1 - p).min(scale);
    value = value.checked_mul(*POWERS.get(scale - given)?)?;
    fits(if negative { -value } else { value }, precision)
}

/// The parts of the binary form: base-10000 digits with a weight, a sign and a display scale.
struct Binary<'a> {
    digits: &'a [u8],
    weight: i32,
    sign: u16,
    shown: usize,
}

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const PLUS_INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

impl<'a> Binary<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let count = usize::from(half(0)?);
        let digits = bytes.get(8..)?;
        (digits.len() == count * 2).then_some(())?;
        Some(Self { digits, weight: i32::from(half(2)?.cast_signed()), sign: half(4)?, shown: usize::from(half(6)? & 0x3fff) })
    }

    fn digits(&self) -> impl Iterator<Item = u16> + '_ {
        self.digits.chunks_exact(2).map(|d| u16::from_be_bytes([d[0], d[1]]))
    }

    fn digit(&self, index: i32) -> u16 {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.digits.get(i * 2..i * 2 + 2))
            .map_or(0, |d| u16::from_be_bytes([d[0], d[1]]))
    }
}

/// As [`from_text`], from the binary form.
pub(crate) fn from_binary(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let number = Binary::parse(bytes)?;
    if number.sign != 0 && number.sign != NEGATIVE {
        return None;
    }
    let mut value = 0_i128;
    let mut exponent = number.weight * 4 + i32::from(scale);
    for digit in number.digits() {
        if digit > 9999 {
            return None;
        }
        let digit = i128::from(digit);
        if exponent >= 0 {
            if digit != 0 {
                let power = POWERS.get(usize::try_from(exponent).ok()?)?;
                value = value.checked_add(digit.checked_mul(*power)?)?;
            }
        } else {
            // A part of this digit lies beyond the scale: exact only if that part is zero.
            let power = POWERS.get(usize::try_from(-exponent).ok()?.min(38))?;
            if digit % power != 0 {
                return None;
            }
            value = value.checked_add(digit / power)?;
        }
        exponent -= 4;
    }
    fits(if number.sign == NEGATIVE { -value } else { value }, precision)
}

/// A binary numeric as PostgreSQL prints it.
pub(crate) fn print_binary(bytes: &[u8]) -> Option<String> {
    let number = Binary::parse(bytes)?;
    match number.sign {
        NAN => return Some("NaN".into()),
        PLUS_INFINITY => return Some("Infinity".into()),
        MINUS_INFINITY => return Some("-Infinity".into()),
        0 | NEGATIVE => {}
        _ => return None,
    }
    let mut text = String::new();
    if number.sign == NEGATIVE {
        text.push('-');
    }
    if number.weight < 0 {
        text.push('0');
    } else {
        for at in 0..=number.weight {
            let digit = number.digit(at);
            if at == 0 { text.push_str(&digit.to_string()) } else { text.push_str(&format!("{digit:04}")) }
        }
    }
    if number.shown > 0 {
        text.push('.');
        let end = text.len() + number.shown;
        let mut at = number.weight.saturating_add(1);
        while text.len() < end {
            text.push_str(&format!("{:04}", number.digit(at)));
            at += 1;
        }
        text.truncate(end);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The binary form of a decimal text, made the slow and plain way.
    fn encode(text: &str) -> Vec<u8> {
        let (sign, rest) = text.strip_prefix('-').map_or((0_u16, text), |r| (NEGATIVE, r));
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
        let padded = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        let all = format!("{whole}{padded}");
        let mut digits: Vec<u16> = all.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap().parse().unwrap()).collect();
        let mut weight = i16::try_from(whole.len() / 4).unwrap() - 1;
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let mut out = Vec::new();
        for half in [u16::try_from(digits.len()).unwrap(), weight.cast_unsigned(), sign, u16::try_from(fraction.len()).unwrap()] {
            out.extend(half.to_be_bytes());
        }
        out.extend(digits.iter().flat_map(|d| d.to_be_bytes()));
        out
    }

    #[test]
    fn values_that_fit_are_exact_and_others_are_none() {
        let cases: &[(&str, u8, i8, Option<i128>)] = &[
            ("0", 12, 2, Some(0)),
            ("12.34", 12, 2, Some(1234)),
            ("-0.01", 12, 2, Some(-1)),
            ("12.3", 12, 2, Some(1230)),
            ("12.340", 12, 2, Some(1234)),
            ("12.345", 12, 2, None),
            ("9999999999.99", 12, 2, Some(999_999_999_999)),
            ("10000000000.00", 12, 2, None),
            ("99999999999999999999.999999999999999999", 38, 18, Some(10_i128.pow(38) - 1)),
            ("100000000000000000000", 38, 18, None),
            ("0.0000000000000000001", 38, 18, None),
            ("1e5", 38, 18, None),
            ("NaN", 38, 18, None),
            ("", 38, 18, None),
            ("-", 38, 18, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(from_text(text.as_bytes(), *precision, *scale), *expected, "{text}");
            if text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('e') {
                assert_eq!(from_binary(&encode(text), *precision, *scale), *expected, "{text} in binary");
            }
        }
    }

    #[test]
    fn what_no_decimal_holds_is_printed_as_the_server_does() {
        for (sign, text) in [(NAN, "NaN"), (PLUS_INFINITY, "Infinity"), (MINUS_INFINITY, "-Infinity")] {
            let bytes = [0, 0, 0, 0, (sign >> 8) as u8, sign as u8, 0, 0];
            assert_eq!(print_binary(&bytes).as_deref(), Some(text));
            assert_eq!(from_binary(&bytes, 38, 18), None);
        }
    }

    proptest! {
        #[test]
        fn text_and_binary_agree(text in "-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,30})?", precision in 1_u8..=38, scale in 0_i8..=38) {
            prop_assume!(i16::from(scale) <= i16::from(precision));
            let binary = encode(&text);
            prop_assert_eq!(from_text(text.as_bytes(), precision, scale), from_binary(&binary, precision, scale));
            prop_assert_eq!(print_binary(&binary), Some(text));
        }

        #[test]
        fn no_bytes_make_the_decimal_panic(bytes: Vec<u8>, precision: u8, scale: i8) {
            let _ = (from_text(&bytes, precision, scale), from_binary(&bytes, precision, scale), print_binary(&bytes));
        }
    }
}

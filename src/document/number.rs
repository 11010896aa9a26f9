//! Numbers of four types as one: their exact real value as bytes that compare as they do.
//!
//! The bytes, all of them turned over (255 - b) behind the first when the number is negative:
//!
//! - whole part of 1 to 8 bytes: big-endian, shortest; then the digits of the fraction; then 0.
//! - below 1, or from 2^64 on: the decimal exponent e of 0.d1d2d3... * 10^e with d1 not 0, as
//!   big-endian 16 bits with 0x8000 added; then the digits d1d2d3...; then 0.
//!
//! Digits stand in pairs, each pair as its value plus one, without the zeros at the end.

use std::cmp::Ordering;

use crate::document::{Element, kind};

/// First bytes. A whole part of n bytes has `WHOLE + n` above zero and `NEGATIVE_WHOLE - n` below.
const NAN: u8 = 10;
const NEGATIVE_INFINITY: u8 = 20;
const NEGATIVE_HUGE: u8 = 30;
const NEGATIVE_WHOLE: u8 = 40;
const NEGATIVE_TINY: u8 = 50;
const ZERO: u8 = 60;
const TINY: u8 = 70;
const WHOLE: u8 = 80;
const HUGE: u8 = 90;
const INFINITY: u8 = 100;

const EXPONENT_BIAS: i32 = 0x8000;
const LIMB: u64 = 1_000_000_000;

/// A number by its value: what tells -0 from 0, one NaN from another, or 1.0 from 1.00 is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Number {
    Nan,
    Infinite { negative: bool },
    Whole { negative: bool, magnitude: u64 },
    Expanded { negative: bool, expansion: Expansion },
}

/// 0.d1d2d3... * 10^exponent; the first digit and the last are not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expansion {
    digits: Vec<u8>,
    exponent: i32,
}

/// Appends the key bytes of a number; `None` if the element is none.
pub(super) fn encode(element: &Element, out: &mut Vec<u8>) -> Option<()> {
    match number(element)? {
        Number::Nan => out.push(NAN),
        Number::Infinite { negative } => {
            out.push(if negative { NEGATIVE_INFINITY } else { INFINITY });
        }
        Number::Whole { negative, magnitude } => encode_whole(negative, magnitude, &[], out),
        Number::Expanded { negative, expansion } => encode_expansion(negative, &expansion, out),
    }
    Some(())
}

/// By real value; NaN is below all and equal to itself. Elements that are no numbers are equal.
pub(super) fn compare(a: &Element, b: &Element) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a.cmp(&b);
    }
    let exactly = |element: &Element| match element.as_i64() {
        Some(whole) => (whole.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS).then_some(whole as f64),
        None => element.as_f64(),
    };
    if let (Some(a), Some(b)) = (exactly(a), exactly(b)) {
        return a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
    }
    let (mut key_a, mut key_b) = (Vec::new(), Vec::new());
    let _ = encode(a, &mut key_a);
    let _ = encode(b, &mut key_b);
    key_a.cmp(&key_b)
}

fn number(element: &Element) -> Option<Number> {
    match element.kind {
        kind::DOUBLE => Some(of_double(element.as_f64()?)),
        kind::DECIMAL128 => Some(of_decimal(u128::from_le_bytes(element.fixed()?))),
        _ => {
            let whole = element.as_i64()?;
            Some(Number::Whole { negative: whole < 0, magnitude: whole.unsigned_abs() })
        }
    }
}

fn encode_whole(negative: bool, magnitude: u64, fraction: &[u8], out: &mut Vec<u8>) {
    let bytes = magnitude.to_be_bytes();
    let skipped = magnitude.leading_zeros() as usize / 8;
    let length = (8 - skipped) as u8;
    if length == 0 {
        return out.push(ZERO);
    }
    out.push(if negative { NEGATIVE_WHOLE - length } else { WHOLE + length });
    let from = out.len();
    out.extend_from_slice(&bytes[skipped..]);
    push_digits(fraction, out);
    turn_over_if(negative, &mut out[from..]);
}

fn encode_expansion(negative: bool, expansion: &Expansion, out: &mut Vec<u8>) {
    let Expansion { digits, exponent } = expansion;
    if (1..=20).contains(exponent) {
        let places = *exponent as usize;
        let digit = |place: usize| u128::from(digits.get(place).copied().unwrap_or(0));
        let whole = (0..places).fold(0, |whole, place| whole * 10 + digit(place));
        if let Ok(magnitude) = u64::try_from(whole) {
            let fraction = digits.get(places..).unwrap_or_default();
            return encode_whole(negative, magnitude, fraction, out);
        }
    }
    out.push(match (negative, *exponent > 0) {
        (true, true) => NEGATIVE_HUGE,
        (true, false) => NEGATIVE_TINY,
        (false, true) => HUGE,
        (false, false) => TINY,
    });
    let from = out.len();
    let biased = u16::try_from(exponent + EXPONENT_BIAS).expect("no type has such exponents");
    out.extend_from_slice(&biased.to_be_bytes());
    push_digits(digits, out);
    turn_over_if(negative, &mut out[from..]);
}

fn push_digits(digits: &[u8], out: &mut Vec<u8>) {
    for pair in digits.chunks(2) {
        out.push(pair[0] * 10 + pair.get(1).copied().unwrap_or(0) + 1);
    }
    out.push(0);
}

fn turn_over_if(negative: bool, bytes: &mut [u8]) {
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn of_double(value: f64) -> Number {
    let negative = value.is_sign_negative();
    if value.is_nan() {
        return Number::Nan;
    }
    if value.is_infinite() {
        return Number::Infinite { negative };
    }
    let magnitude = value.abs();
    // Below 2^64 the conversion is exact, if there is no fraction.
    if magnitude < 2f64.powi(64) && magnitude.fract() == 0.0 {
        return Number::Whole { negative, magnitude: magnitude as u64 };
    }
    let bits = magnitude.to_bits();
    let (biased, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let (mantissa, power) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, biased - 1075),
    };
    let zeros = mantissa.trailing_zeros();
    Number::Expanded { negative, expansion: of_binary(mantissa >> zeros, power + zeros as i32) }
}

/// `mantissa * 2^power`, of a mantissa that is not 0.
fn of_binary(mantissa: u64, power: i32) -> Expansion {
    // Limbs of nine digits, the lowest first. m / 2^k is m * 5^k / 10^k.
    let mut limbs = vec![mantissa % LIMB, mantissa / LIMB % LIMB, mantissa / LIMB / LIMB];
    let (factor, most) = if power < 0 { (5u64, 12) } else { (2, 29) };
    let mut left = power.unsigned_abs();
    while left > 0 {
        let step = left.min(most);
        multiply(&mut limbs, factor.pow(step));
        left -= step;
    }
    let mut digits = Vec::with_capacity(limbs.len() * 9);
    for limb in limbs.iter().rev() {
        let mut place = LIMB / 10;
        while place > 0 {
            digits.push((limb / place % 10) as u8);
            place /= 10;
        }
    }
    expansion(digits, power.min(0))
}

/// `limbs *= factor`, of a factor below 2^30.
fn multiply(limbs: &mut Vec<u64>, factor: u64) {
    let mut carry = 0;
    for limb in limbs.iter_mut() {
        let product = *limb * factor + carry;
        *limb = product % LIMB;
        carry = product / LIMB;
    }
    if carry > 0 {
        limbs.push(carry);
    }
}

/// The number that these digits are, times `10^power`; one of them at least is not 0.
fn expansion(mut digits: Vec<u8>, power: i32) -> Expansion {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..zeros);
    let exponent = digits.len() as i32 + power;
    let used = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
    digits.truncate(used);
    Expansion { digits, exponent }
}

/// IEEE 754-2008 decimal128 in the binary encoding of the coefficient.
fn of_decimal(bits: u128) -> Number {
    const COEFFICIENT_MAX: u128 = 10u128.pow(34) - 1;
    const BIAS: i32 = 6176;
    let negative = bits >> 127 == 1;
    match bits >> 122 & 0x1f {
        0x1f => return Number::Nan,
        0x1e => return Number::Infinite { negative },
        _ => {}
    }
    // The other form, and coefficients of 35 digits, are not canonical and mean 0.
    let mut coefficient = bits & ((1 << 113) - 1);
    if bits >> 125 & 3 == 3 || coefficient > COEFFICIENT_MAX {
        coefficient = 0;
    }
    if coefficient == 0 {
        return Number::Whole { negative, magnitude: 0 };
    }
    let exponent = (bits >> 113 & 0x3fff) as i32 - BIAS;
    let mut digits = Vec::with_capacity(34);
    while coefficient > 0 {
        digits.push((coefficient % 10) as u8);
        coefficient /= 10;
    }
    digits.reverse();
    Number::Expanded { negative, expansion: expansion(digits, exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::testing::decimal;

    fn key(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&Element { kind, name: b"", value }, &mut out).unwrap();
        out
    }

    fn int(value: i64) -> Vec<u8> {
        let key64 = key(kind::INT64, &value.to_le_bytes());
        if let Ok(value) = i32::try_from(value) {
            assert_eq!(key(kind::INT32, &value.to_le_bytes()), key64);
        }
        key64
    }

    fn double(value: f64) -> Vec<u8> {
        key(kind::DOUBLE, &value.to_le_bytes())
    }

    fn dec(text: &str) -> Vec<u8> {
        key(kind::DECIMAL128, &decimal(text))
    }

    #[test]
    fn equal_numbers_have_equal_keys_whatever_their_type() {
        for value in [0, 1, -1, 255, 256, -256, 1 << 31, -(1 << 31), (1 << 53) + 2, 1 << 62] {
            assert_eq!(int(value), double(value as f64), "{value}");
            assert_eq!(int(value), dec(&value.to_string()), "{value}");
            assert_eq!(int(value), dec(&format!("{value}.00")), "{value}");
        }
        assert_eq!(int(i64::MIN), double(-(2f64.powi(63))));
        assert_eq!(int(i64::MAX), dec("9223372036854775807"));
        assert_eq!(double(0.0), double(-0.0));
        assert_eq!(double(0.0), dec("-0E-6176"));
        assert_eq!(double(0.0), dec("0E+6111"));
        assert_eq!(double(f64::NAN), dec("NaN"));
        assert_eq!(double(-f64::NAN), key(kind::DOUBLE, &0xfff8_1234_0000_0001u64.to_le_bytes()));
        assert_eq!(double(f64::INFINITY), dec("Infinity"));
        assert_eq!(double(f64::NEG_INFINITY), dec("-Infinity"));
        assert_eq!(double(0.5), dec("0.5"));
        assert_eq!(double(-2.25), dec("-2.250"));
        assert_eq!(double(2f64.powi(64)), dec("18446744073709551616"));
        assert_eq!(double(2f64.powi(-30)), dec("9.31322574615478515625E-10"));
        assert_eq!(dec("1E+6144"), dec("10E+6143"));
        assert_eq!(dec("1E-6175"), dec("10E-6176"));
        assert_ne!(double(0.1), dec("0.1"));
    }

    #[test]
    fn keys_lie_in_the_order_of_the_numbers() {
        let ascending = [
            double(f64::NAN),
            double(f64::NEG_INFINITY),
            dec("-9.999999999999999999999999999999999E+6144"),
            dec("-1E+309"),
            double(f64::MIN),
            dec("-18446744073709551616"),
            dec("-18446744073709551615"),
            int(i64::MIN),
            int(-256),
            int(-255),
            dec("-1.5"),
            dec("-1.05"),
            int(-1),
            dec("-0.999"),
            dec("-0.1"),
            dec("-1E-300"),
            double(-5e-324),
            dec("-1E-6176"),
            int(0),
            dec("1E-6176"),
            double(5e-324),
            double(f64::MIN_POSITIVE),
            dec("0.1"),
            double(0.1),
            dec("0.11"),
            double(0.5),
            int(1),
            double(1.000_000_000_000_000_2),
            dec("1.01"),
            dec("1.1"),
            int(255),
            dec("255.5"),
            int(256),
            int(1 << 53),
            int((1 << 53) + 1),
            int(i64::MAX),
            double(2f64.powi(63)),
            dec("18446744073709551615.5"),
            double(2f64.powi(64)),
            double(f64::MAX),
            dec("1E+309"),
            dec("9.999999999999999999999999999999999E+6144"),
            double(f64::INFINITY),
        ];
        for (place, pair) in ascending.windows(2).enumerate() {
            assert!(pair[0] < pair[1], "{place}: {:?} {:?}", pair[0], pair[1]);
        }
    }

    #[test]
    fn decimals_that_are_not_canonical_are_zero() {
        let other_form = 0b110u128 << 124 | 12345;
        let too_many_digits = 6176u128 << 113 | 10u128.pow(34);
        for bits in [other_form, too_many_digits] {
            assert_eq!(key(kind::DECIMAL128, &bits.to_le_bytes()), int(0));
        }
    }

    #[test]
    fn doubles_expand_exactly() {
        let least = of_binary(1, -1074);
        assert_eq!((least.digits.len(), least.exponent), (751, -323));
        assert_eq!(least.digits[..5], [4, 9, 4, 0, 6]);
        assert_eq!(least.digits[749..], [2, 5]);
        let text = |e: Expansion| e.digits.iter().map(|d| char::from(b'0' + d)).collect::<String>();
        assert_eq!(text(of_binary(1, 100)), "1267650600228229401496703205376");
        assert_eq!(text(of_binary(3, -3)), "375");
    }

    #[test]
    fn comparing_agrees_with_keys() {
        let values = [0.0, -0.0, 1.0, -1.0, 0.1, 1e300, -1e300, 5e-324, f64::NAN, f64::INFINITY];
        let whole = [0i64, 1, -1, 1 << 53, (1 << 53) + 1, i64::MIN, i64::MAX];
        let decimals =
            ["0.1", "1", "-1", "1E300", "NaN", "9223372036854775807", "9007199254740993"];
        let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
        all.extend(values.iter().map(|v| (kind::DOUBLE, v.to_le_bytes().to_vec())));
        all.extend(whole.iter().map(|v| (kind::INT64, v.to_le_bytes().to_vec())));
        all.extend(decimals.iter().map(|v| (kind::DECIMAL128, decimal(v).to_vec())));
        for (kind_a, a) in &all {
            for (kind_b, b) in &all {
                let order = key(*kind_a, a).cmp(&key(*kind_b, b));
                let a = Element { kind: *kind_a, name: b"", value: a };
                let b = Element { kind: *kind_b, name: b"", value: b };
                assert_eq!(compare(&a, &b), order, "{a:?} {b:?}");
            }
        }
    }
}

//! What may be asked of one value.

use std::cmp::Ordering;

use super::{bits::Bits, pattern::Pattern, types::Types};
use crate::document::{Element, Malformed, OwnedValue, compare, kind};

#[derive(Debug, Clone)]
pub enum Predicate {
    Compare(Comparison, OwnedValue),
    /// Any of these values, or any of these patterns.
    In(Vec<OwnedValue>, Vec<Pattern>),
    Exists,
    Type(Types),
    /// Divided by the first, the second remains.
    Mod(i64, i64),
    Matches(Pattern),
    Bits(Bits),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn takes(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Predicate {
    /// `None`: nothing stands there.
    pub fn holds(&self, found: Option<Element<'_>>) -> Result<bool, Malformed> {
        Ok(match (self, found) {
            (Predicate::Compare(comparison, value), found) => {
                compares(*comparison, found, &value.element())
            }
            (Predicate::In(values, patterns), found) => {
                let equals = |value: &OwnedValue| is_one(found, &value.element());
                let matches = |pattern: &Pattern| found.is_some_and(|e| pattern.matches(&e));
                values.iter().any(equals) || patterns.iter().any(matches)
            }
            (_, None) => false,
            (Predicate::Exists, Some(_)) => true,
            (Predicate::Type(types), Some(element)) => types.has(element.kind),
            (Predicate::Mod(divisor, wanted), Some(element)) => {
                // The remainder of the least number by -1 does not overflow: it is 0.
                whole(&element).is_some_and(|n| n.wrapping_rem(*divisor) == *wanted)
            }
            (Predicate::Matches(pattern), Some(element)) => pattern.matches(&element),
            (Predicate::Bits(bits), Some(element)) => bits.hold(&element),
        })
    }
}

/// Only values of one class compare; null equals what is not there, and what is undefined.
fn compares(comparison: Comparison, found: Option<Element<'_>>, value: &Element<'_>) -> bool {
    let is_absent = found.is_none_or(|element| element.kind == kind::UNDEFINED);
    if value.kind == kind::NULL && is_absent {
        return comparison.takes(Ordering::Equal);
    }
    let ends = match value.kind {
        kind::MIN_KEY => Some(Ordering::Greater),
        kind::MAX_KEY => Some(Ordering::Less),
        _ => None,
    };
    let element = match (found, ends) {
        (Some(element), Some(_)) if element.kind == value.kind => element,
        // Everything lies between the two ends, and so does nothing.
        (_, Some(ordering)) => {
            return comparison != Comparison::Equal && comparison.takes(ordering);
        }
        (Some(element), None) => element,
        (None, None) => return false,
    };
    if class(element.kind) != class(value.kind) {
        return false;
    }
    // No order holds between NaN and numbers.
    match (is_nan(&element), is_nan(value)) {
        (false, false) => comparison.takes(compare(&element, value)),
        (true, true) => comparison.takes(Ordering::Equal),
        _ => false,
    }
}

fn is_one(found: Option<Element<'_>>, value: &Element<'_>) -> bool {
    match found {
        None => value.kind == kind::NULL,
        Some(element) => compares(Comparison::Equal, Some(element), value),
    }
}

/// Types whose values compare with one another.
fn class(of: u8) -> u8 {
    match of {
        kind::INT32 | kind::INT64 | kind::DECIMAL128 => kind::DOUBLE,
        kind::SYMBOL => kind::STRING,
        other => other,
    }
}

fn is_nan(element: &Element<'_>) -> bool {
    match element.kind {
        kind::DOUBLE => element.as_f64().is_some_and(f64::is_nan),
        // Five bits below the sign tell it.
        kind::DECIMAL128 => element.value.last().is_some_and(|byte| byte & 0x7c == 0x7c),
        _ => false,
    }
}

/// The number without its fraction; `None`: no number, or none that an int64 holds.
pub fn whole(element: &Element<'_>) -> Option<i64> {
    match element.kind {
        kind::INT32 | kind::INT64 => element.as_i64(),
        kind::DOUBLE => element.as_f64().and_then(whole_of_f64),
        kind::DECIMAL128 => whole_of_decimal(element),
        _ => None,
    }
}

fn whole_of_f64(number: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    (-END..END).contains(&number).then_some(number as i64)
}

fn whole_of_decimal(element: &Element<'_>) -> Option<i64> {
    let (sign, digits, point) = decimal(element)?;
    let before = usize::try_from(point).unwrap_or(0);
    if before > 19 && digits.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let whole: String =
        digits.bytes().chain(std::iter::repeat(b'0')).take(before).map(char::from).collect();
    if whole.is_empty() { Some(0) } else { format!("{sign}{whole}").parse().ok() }
}

/// Sign, digits, and how many of them (or more zeros) stand before the point; `None`: no number.
pub fn decimal(element: &Element<'_>) -> Option<(&'static str, String, i64)> {
    let text = bson::Decimal128::from_bytes(element.value.try_into().ok()?).to_string();
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", mantissa),
    };
    let (before, after) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{before}{after}");
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let significant = digits.trim_start_matches('0');
    let point = before.len() as i64 + exponent - (digits.len() - significant.len()) as i64;
    is_number.then(|| (sign, significant.to_owned(), point))
}

//! `$bitsAllSet` and its kin: single bits of integers and of binary data.

use super::{QueryError, parse::integer};
use crate::document::{Element, elements, kind};

#[derive(Debug, Clone)]
pub struct Bits {
    wanted: Wanted,
    /// From 0, the least significant.
    positions: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    AllSet,
    AllClear,
    AnySet,
    AnyClear,
}

impl Bits {
    /// The operand is a number whose bits are meant, an array of positions, or binary data.
    pub fn parse(wanted: Wanted, operand: &Element<'_>) -> Result<Bits, QueryError> {
        let positions = match operand.kind {
            kind::ARRAY => {
                let mut positions = Vec::new();
                for element in elements(operand.value) {
                    let position = integer(&element?).and_then(|p| u64::try_from(p).ok());
                    let fits = |position: &u64| *position <= i32::MAX as u64;
                    positions.push(position.filter(fits).ok_or_else(|| refused(wanted))?);
                }
                positions
            }
            kind::BINARY => {
                let (_, bytes) = operand.as_binary().unwrap_or_default();
                (0..bytes.len() as u64 * 8).filter(|at| bit_of_bytes(bytes, *at)).collect()
            }
            _ => {
                let mask = integer(operand).and_then(|mask| u64::try_from(mask).ok());
                let mask = mask.ok_or_else(|| refused(wanted))?;
                (0..64).filter(|at| mask >> at & 1 == 1).collect()
            }
        };
        Ok(Bits { wanted, positions })
    }

    pub fn hold(&self, element: &Element<'_>) -> bool {
        if let Some((_, bytes)) = element.as_binary() {
            return self.judge(|at| bit_of_bytes(bytes, at));
        }
        let Some(number) = exact(element) else { return false };
        // Beyond its highest bit a number goes on as its sign does.
        self.judge(|at| number >> at.min(63) & 1 == 1)
    }

    fn judge(&self, is_set: impl Fn(u64) -> bool) -> bool {
        let mut positions = self.positions.iter().copied();
        match self.wanted {
            Wanted::AllSet => positions.all(is_set),
            Wanted::AllClear => !positions.any(is_set),
            Wanted::AnySet => positions.any(is_set),
            Wanted::AnyClear => !positions.all(is_set),
        }
    }
}

fn bit_of_bytes(bytes: &[u8], at: u64) -> bool {
    bytes.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// An integer, whatever type it has; a decimal is rounded to one, as the server does.
fn exact(element: &Element<'_>) -> Option<i64> {
    if element.kind == kind::DECIMAL128 {
        return Some(rounded(element));
    }
    let number = super::predicate::whole(element)?;
    match element.as_f64() {
        Some(double) if double != number as f64 => None,
        _ => Some(number),
    }
}

/// The nearest integer, of two the even one; the least there is for all that is none.
fn rounded(element: &Element<'_>) -> i64 {
    let parts = super::predicate::decimal(element).zip(super::predicate::whole(element));
    let Some(((sign, digits, point), whole)) = parts else { return i64::MIN };
    let fraction = match usize::try_from(point) {
        Ok(before) => digits.get(before..).unwrap_or_default().trim_end_matches('0'),
        // At least one zero stands between the point and the first digit.
        Err(_) => "",
    };
    let rounds_away = fraction > "5" || (fraction == "5" && whole % 2 != 0);
    match (rounds_away, sign.is_empty()) {
        (false, _) => whole,
        (true, true) => whole.saturating_add(1),
        (true, false) => whole.saturating_sub(1),
    }
}

fn refused(wanted: Wanted) -> QueryError {
    let operator = match wanted {
        Wanted::AllSet => "$bitsAllSet",
        Wanted::AllClear => "$bitsAllClear",
        Wanted::AnySet => "$bitsAnySet",
        Wanted::AnyClear => "$bitsAnyClear",
    };
    QueryError::Operand {
        operator: operator.into(),
        wanted: "an integer from 0, an array of positions, or binary data",
    }
}

//! A query's document, understood or refused.

use super::{
    Condition, OfValue, QueryError, Test,
    bits::{Bits, Wanted},
    path::Path,
    pattern::Pattern,
    predicate::{Comparison, Predicate, whole},
    types::Types,
};
use crate::{
    document::{Element, OwnedValue, elements, get, kind},
    limits::DOCUMENT_DEPTH_MAX,
};

pub fn document(query: &[u8]) -> Result<Condition, QueryError> {
    at_depth(query, 1)
}

fn at_depth(query: &[u8], depth: usize) -> Result<Condition, QueryError> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(crate::document::Malformed::TooDeep.into());
    }
    let mut conditions = Vec::new();
    for element in elements(query) {
        let element = element?;
        if !element.name.starts_with(b"$") {
            conditions.push(field(&element, depth)?);
            continue;
        }
        match element.name {
            b"$and" => conditions.push(Condition::All(branches(&element, depth)?)),
            b"$or" => conditions.push(Condition::Any(branches(&element, depth)?)),
            b"$nor" => {
                let any = Condition::Any(branches(&element, depth)?);
                conditions.push(Condition::Not(Box::new(any)));
            }
            b"$comment" => {}
            other => return Err(unsupported(other)),
        }
    }
    Ok(Condition::All(conditions))
}

fn branches(operand: &Element<'_>, depth: usize) -> Result<Vec<Condition>, QueryError> {
    const WANTED: &str = "an array of at least one query";
    let refused = || refuse(operand.name, WANTED);
    if operand.kind != kind::ARRAY {
        return Err(refused());
    }
    let mut branches = Vec::new();
    for element in elements(operand.value) {
        let element = element?;
        if element.kind != kind::DOCUMENT {
            return Err(refused());
        }
        branches.push(at_depth(element.value, depth + 1)?);
    }
    if branches.is_empty() { Err(refused()) } else { Ok(branches) }
}

fn field(element: &Element<'_>, depth: usize) -> Result<Condition, QueryError> {
    let tests = match element.kind {
        kind::DOCUMENT if holds_operators(element.value)? => operators(element.value, depth)?,
        kind::REGEX => vec![value(Predicate::Matches(Pattern::of_regex(element)?))],
        _ => vec![compare(Comparison::Equal, element, element.name)?],
    };
    // What the server makes of a part without a name differs from what stands there.
    if element.name.contains(&b'.') && element.name.split(|b| *b == b'.').any(<[u8]>::is_empty) {
        return Err(refuse(element.name, "a name between its dots"));
    }
    Ok(at_path(&Path::new(element.name), tests))
}

fn at_path(path: &Path, tests: Vec<OfValue>) -> Condition {
    let of = |test| match test {
        OfValue::Holds(test) => Condition::At(path.clone(), test),
        OfValue::Not(tests) => Condition::Not(Box::new(at_path(path, tests))),
    };
    Condition::All(tests.into_iter().map(of).collect())
}

/// Whether it is made of operators, as opposed to a value that is meant itself. A reference to a
/// document of another collection (`$ref`, `$id`) is a value.
fn holds_operators(doc: &[u8]) -> Result<bool, QueryError> {
    let Some(first) = elements(doc).next().transpose()? else { return Ok(false) };
    let is_reference = get(doc, b"$ref")?.is_some() && get(doc, b"$id")?.is_some();
    Ok(first.name.starts_with(b"$") && !is_reference)
}

fn operators(doc: &[u8], depth: usize) -> Result<Vec<OfValue>, QueryError> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(crate::document::Malformed::TooDeep.into());
    }
    let mut tests = Vec::new();
    for element in elements(doc) {
        let element = element?;
        match element.name {
            b"$all" => tests.extend(all(&element, depth)?),
            b"$options" if get(doc, b"$regex")?.is_some() => {}
            b"$regex" => {
                let pattern = Pattern::parse(&element, get(doc, b"$options")?.as_ref())?;
                tests.push(value(Predicate::Matches(pattern)));
            }
            _ => tests.push(operator(&element, depth)?),
        }
    }
    Ok(tests)
}

fn operator(element: &Element<'_>, depth: usize) -> Result<OfValue, QueryError> {
    let name = element.name;
    Ok(match name {
        b"$eq" => compare(Comparison::Equal, element, name)?,
        b"$ne" if element.kind == kind::REGEX => return Err(refuse(name, "a value, no pattern")),
        b"$ne" => OfValue::Not(vec![compare(Comparison::Equal, element, name)?]),
        b"$lt" => compare(Comparison::Less, element, name)?,
        b"$lte" => compare(Comparison::LessOrEqual, element, name)?,
        b"$gt" => compare(Comparison::Greater, element, name)?,
        b"$gte" => compare(Comparison::GreaterOrEqual, element, name)?,
        b"$in" => any_of(element)?,
        b"$nin" => OfValue::Not(vec![any_of(element)?]),
        b"$not" => not(element, depth)?,
        b"$exists" if is_true(element) => value(Predicate::Exists),
        b"$exists" => OfValue::Not(vec![value(Predicate::Exists)]),
        b"$type" => value(Predicate::Type(Types::parse(element)?)),
        b"$size" => {
            let size = integer(element).filter(|size| *size >= 0);
            let size = size.ok_or_else(|| refuse(name, "an integer from 0"))?;
            OfValue::Holds(Test::Size(size))
        }
        b"$elemMatch" => some_value(element, depth)?,
        b"$mod" => remainder(element)?,
        b"$bitsAllSet" => value(Predicate::Bits(Bits::parse(Wanted::AllSet, element)?)),
        b"$bitsAllClear" => value(Predicate::Bits(Bits::parse(Wanted::AllClear, element)?)),
        b"$bitsAnySet" => value(Predicate::Bits(Bits::parse(Wanted::AnySet, element)?)),
        b"$bitsAnyClear" => value(Predicate::Bits(Bits::parse(Wanted::AnyClear, element)?)),
        other => return Err(unsupported(other)),
    })
}

fn compare(
    comparison: Comparison,
    operand: &Element<'_>,
    name: &[u8],
) -> Result<OfValue, QueryError> {
    match operand.kind {
        kind::UNDEFINED => Err(refuse(name, "a value that is defined")),
        kind::REGEX if comparison != Comparison::Equal => Err(refuse(name, "a value, no pattern")),
        _ => Ok(value(Predicate::Compare(comparison, (*operand).into()))),
    }
}

fn any_of(operand: &Element<'_>) -> Result<OfValue, QueryError> {
    const WANTED: &str = "an array of values and regular expressions";
    if operand.kind != kind::ARRAY {
        return Err(refuse(operand.name, WANTED));
    }
    let (mut values, mut patterns) = (Vec::new(), Vec::new());
    for element in elements(operand.value) {
        let element = element?;
        match element.kind {
            kind::REGEX => patterns.push(Pattern::of_regex(&element)?),
            kind::UNDEFINED => return Err(refuse(operand.name, WANTED)),
            kind::DOCUMENT if holds_operators(element.value)? => {
                return Err(refuse(operand.name, WANTED));
            }
            _ => values.push(OwnedValue::from(element)),
        }
    }
    Ok(value(Predicate::In(values, patterns)))
}

fn not(operand: &Element<'_>, depth: usize) -> Result<OfValue, QueryError> {
    let tests = match operand.kind {
        kind::REGEX => vec![value(Predicate::Matches(Pattern::of_regex(operand)?))],
        kind::DOCUMENT if holds_operators(operand.value)? => operators(operand.value, depth + 1)?,
        _ => return Err(refuse(operand.name, "operators, or a regular expression")),
    };
    Ok(OfValue::Not(tests))
}

fn all(operand: &Element<'_>, depth: usize) -> Result<Vec<OfValue>, QueryError> {
    const WANTED: &str = "an array of values, or of `$elemMatch`";
    let refused = || refuse(operand.name, WANTED);
    if operand.kind != kind::ARRAY {
        return Err(refused());
    }
    let mut tests = Vec::new();
    let mut are_matches = None;
    for element in elements(operand.value) {
        let element = element?;
        let is_match = element.kind == kind::DOCUMENT && holds_operators(element.value)?;
        if *are_matches.get_or_insert(is_match) != is_match {
            return Err(refused());
        }
        tests.push(match element.kind {
            kind::DOCUMENT if is_match => {
                let inner = get(element.value, b"$elemMatch")?.ok_or_else(refused)?;
                if elements(element.value).count() != 1 {
                    return Err(refused());
                }
                some_value(&inner, depth)?
            }
            kind::REGEX => value(Predicate::Matches(Pattern::of_regex(&element)?)),
            _ => compare(Comparison::Equal, &element, operand.name)?,
        });
    }
    if tests.is_empty() {
        // All of nothing is asked for, and nothing answers to that.
        tests.push(value(Predicate::In(Vec::new(), Vec::new())));
    }
    Ok(tests)
}

fn some_value(operand: &Element<'_>, depth: usize) -> Result<OfValue, QueryError> {
    if operand.kind != kind::DOCUMENT {
        return Err(refuse(operand.name, "a query, or operators"));
    }
    let first = elements(operand.value).next().transpose()?;
    let is_query = first.is_some_and(|first| matches!(first.name, b"$and" | b"$or" | b"$nor"));
    Ok(OfValue::Holds(match holds_operators(operand.value)? && !is_query {
        true => Test::SomeValue(operators(operand.value, depth + 1)?),
        false => Test::SomeDocument(Box::new(at_depth(operand.value, depth + 1)?)),
    }))
}

fn remainder(operand: &Element<'_>) -> Result<OfValue, QueryError> {
    let refused = || refuse(operand.name, "an array of two numbers, the first not 0");
    if operand.kind != kind::ARRAY {
        return Err(refused());
    }
    let numbers: Vec<Element> = elements(operand.value).collect::<Result<_, _>>()?;
    let [divisor, remainder] = numbers[..] else { return Err(refused()) };
    let (divisor, remainder) = whole(&divisor).zip(whole(&remainder)).ok_or_else(refused)?;
    if divisor == 0 {
        return Err(refused());
    }
    Ok(value(Predicate::Mod(divisor, remainder)))
}

fn value(predicate: Predicate) -> OfValue {
    OfValue::Holds(Test::Value(predicate))
}

/// A number without a fraction, whatever type it has.
pub fn integer(element: &Element<'_>) -> Option<i64> {
    let number = whole(element)?;
    let back = OwnedValue { kind: kind::INT64, bytes: number.to_le_bytes().to_vec() };
    crate::document::compare(element, &back.element()).is_eq().then_some(number)
}

/// What the server takes for true: everything but false, null, what is undefined, and 0.
fn is_true(element: &Element<'_>) -> bool {
    match element.kind {
        kind::BOOL => element.as_bool() == Some(true),
        kind::NULL | kind::UNDEFINED => false,
        _ => integer(element) != Some(0),
    }
}

fn unsupported(operator: &[u8]) -> QueryError {
    QueryError::Unsupported { operator: String::from_utf8_lossy(operator).into_owned() }
}

fn refuse(operator: &[u8], wanted: &'static str) -> QueryError {
    QueryError::Operand { operator: String::from_utf8_lossy(operator).into_owned(), wanted }
}

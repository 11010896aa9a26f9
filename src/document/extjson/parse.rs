//! Extended JSON, v2 and what came before it, as raw documents.

use bson::Decimal128;

use super::{
    ParseError, base64, date,
    json::{Json, read},
};
use crate::document::{ArrayWriter, OwnedValue, Writer, kind};

/// A document. Its fields stand in the order of the text, and as often.
///
/// `{"$regex": ...}` stays the query operator that it is: a regular expression as a value is
/// `{"$regularExpression": {...}}`.
pub fn parse(text: &str) -> Result<Vec<u8>, ParseError> {
    match read(text)? {
        Json::Object(fields) => document(&fields),
        _ => Err(ParseError::NotADocument),
    }
}

/// Any one value.
pub fn parse_value(text: &str) -> Result<OwnedValue, ParseError> {
    value(&read(text)?)
}

/// A moment as `$date` takes it in a text.
pub fn moment_value(text: &str) -> Option<OwnedValue> {
    date::of_text(text).map(|millis| of(kind::DATE, millis.to_le_bytes()))
}

fn document(fields: &[(String, Json)]) -> Result<Vec<u8>, ParseError> {
    let mut writer = Writer::new();
    for (name, json) in fields {
        let value = value(json)?;
        writer.push_raw(value.kind, c_string(name)?, &value.bytes);
    }
    Ok(writer.finish())
}

fn array(values: &[Json]) -> Result<Vec<u8>, ParseError> {
    let mut writer = ArrayWriter::new();
    for json in values {
        let value = value(json)?;
        writer.push_raw(value.kind, &value.bytes);
    }
    Ok(writer.finish())
}

fn value(json: &Json) -> Result<OwnedValue, ParseError> {
    Ok(match json {
        Json::Null => of(kind::NULL, []),
        Json::Bool(value) => of(kind::BOOL, [u8::from(*value)]),
        Json::Number(text) => number(text)?,
        Json::Text(text) => of(kind::STRING, string(text)),
        Json::List(values) => of(kind::ARRAY, array(values)?),
        Json::Object(fields) => match wrapped(fields)? {
            Some(value) => value,
            None => of(kind::DOCUMENT, document(fields)?),
        },
    })
}

fn of(kind: u8, bytes: impl Into<Vec<u8>>) -> OwnedValue {
    OwnedValue { kind, bytes: bytes.into() }
}

/// An integer as the smallest type that holds it; what none holds, and all with a fraction or an
/// exponent, as a double.
fn number(text: &str) -> Result<OwnedValue, ParseError> {
    if let Ok(number) = text.parse::<i32>()
        && text != "-0"
    {
        return Ok(of(kind::INT32, number.to_le_bytes()));
    }
    if let Ok(number) = text.parse::<i64>()
        && text != "-0"
    {
        return Ok(of(kind::INT64, number.to_le_bytes()));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or_else(|| ParseError::Number { text: text.to_owned() })?;
    Ok(of(kind::DOUBLE, number.to_le_bytes()))
}

/// What the format's own names wrap; `None`: they are fields like any others.
fn wrapped(fields: &[(String, Json)]) -> Result<Option<OwnedValue>, ParseError> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let field = |wanted: &str| {
        &fields.iter().find(|(name, _)| name == wanted).expect("the names were compared").1
    };
    let value = match names[..] {
        ["$oid"] => object_id(field("$oid")),
        ["$symbol"] => text(field("$symbol")).map(|text| of(kind::SYMBOL, string(text))),
        ["$numberInt"] => {
            parsed::<i32>(field("$numberInt")).map(|n| of(kind::INT32, n.to_le_bytes()))
        }
        ["$numberLong"] => {
            parsed::<i64>(field("$numberLong")).map(|n| of(kind::INT64, n.to_le_bytes()))
        }
        ["$numberDouble"] => double(field("$numberDouble")),
        ["$numberDecimal"] => parsed::<Decimal128>(field("$numberDecimal"))
            .map(|decimal| of(kind::DECIMAL128, decimal.bytes())),
        ["$binary"] => binary(field("$binary")),
        ["$binary", "$type"] => old_binary(field("$binary"), field("$type")),
        ["$uuid"] => uuid(field("$uuid")),
        ["$code"] => text(field("$code")).map(|code| of(kind::CODE, string(code))),
        ["$code", "$scope"] => return code_with_scope(field("$code"), field("$scope")).map(Some),
        ["$timestamp"] => timestamp(field("$timestamp")),
        ["$regularExpression"] => return regex(field("$regularExpression")).map(Some),
        ["$dbPointer"] => db_pointer(field("$dbPointer")),
        ["$date"] => moment(field("$date")).map(|millis| of(kind::DATE, millis.to_le_bytes())),
        ["$minKey"] => is_one(field("$minKey")).then(|| of(kind::MIN_KEY, [])),
        ["$maxKey"] => is_one(field("$maxKey")).then(|| of(kind::MAX_KEY, [])),
        ["$undefined"] => is_one(field("$undefined")).then(|| of(kind::UNDEFINED, [])),
        _ => return Ok(None),
    };
    value.map(Some).ok_or_else(|| wants(names[0]))
}

fn wants(wrapper: &str) -> ParseError {
    let wanted = match wrapper {
        "$oid" => "24 hex digits",
        "$numberInt" | "$numberLong" => "an integer in quotes that fits its type",
        "$numberDouble" | "$numberDecimal" => "a number in quotes",
        "$binary" => "`{\"base64\": \"...\", \"subType\": \"00\"}`",
        "$uuid" => "a UUID: 8-4-4-4-12 hex digits",
        "$timestamp" => "`{\"t\": SECONDS, \"i\": INCREMENT}`",
        "$regularExpression" => "`{\"pattern\": \"...\", \"options\": \"...\"}`",
        "$dbPointer" => "`{\"$ref\": \"...\", \"$id\": {\"$oid\": \"...\"}}`",
        "$date" => "a moment as in \"2026-01-31T12:00:00Z\", or milliseconds since 1970",
        "$minKey" | "$maxKey" => "1",
        "$undefined" => "true",
        _ => "a text",
    };
    ParseError::Wrapper { wrapper: wrapper.to_owned(), wanted }
}

fn text(json: &Json) -> Option<&str> {
    if let Json::Text(text) = json { Some(text) } else { None }
}

/// In quotes, as v2 has it, or without, as was usual before.
fn digits(json: &Json) -> Option<&str> {
    if let Json::Text(text) | Json::Number(text) = json { Some(text) } else { None }
}

fn parsed<T: std::str::FromStr>(json: &Json) -> Option<T> {
    digits(json)?.parse().ok()
}

/// The fields of an object, if it has these and no others.
fn exactly<'j, const N: usize>(json: &'j Json, names: [&str; N]) -> Option<[&'j Json; N]> {
    let Json::Object(fields) = json else { return None };
    let value = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|field| &field.1);
    let mut found = [json; N];
    for (slot, name) in found.iter_mut().zip(names) {
        *slot = value(name)?;
    }
    (fields.len() == N).then_some(found)
}

fn is_one(json: &Json) -> bool {
    *json == Json::Bool(true) || *json == Json::Number("1".into())
}

fn object_id(json: &Json) -> Option<OwnedValue> {
    let mut id = [0; 12];
    hex::decode_to_slice(text(json)?, &mut id).ok()?;
    Some(of(kind::OBJECT_ID, id))
}

fn double(json: &Json) -> Option<OwnedValue> {
    let number = match digits(json)? {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust reads more words than these as numbers.
        text if text.contains(['i', 'I', 'n', 'N']) => return None,
        text => text.parse().ok()?,
    };
    Some(of(kind::DOUBLE, number.to_le_bytes()))
}

fn binary(json: &Json) -> Option<OwnedValue> {
    let [base64, subtype] = exactly(json, ["base64", "subType"])?;
    let subtype = text(subtype).filter(|hex| (1..=2).contains(&hex.len()))?;
    binary_of(&base64::decode(text(base64)?)?, u8::from_str_radix(subtype, 16).ok()?)
}

fn old_binary(data: &Json, subtype: &Json) -> Option<OwnedValue> {
    let subtype = match subtype {
        Json::Number(number) => number.parse().ok()?,
        other => u8::from_str_radix(text(other)?, 16).ok()?,
    };
    binary_of(&base64::decode(text(data)?)?, subtype)
}

fn binary_of(data: &[u8], subtype: u8) -> Option<OwnedValue> {
    let length = u32::try_from(data.len()).ok()?.to_le_bytes();
    let bytes = match subtype {
        2 => {
            let outer = u32::try_from(data.len() + 4).ok()?.to_le_bytes();
            [&outer[..], &[2], &length, data].concat()
        }
        _ => [&length[..], &[subtype], data].concat(),
    };
    Some(of(kind::BINARY, bytes))
}

fn uuid(json: &Json) -> Option<OwnedValue> {
    super::uuid_bytes(text(json)?).and_then(|bytes| binary_of(&bytes, 4))
}

fn code_with_scope(code: &Json, scope: &Json) -> Result<OwnedValue, ParseError> {
    let (Some(code), Json::Object(scope)) = (text(code), scope) else {
        return Err(ParseError::Wrapper {
            wrapper: "$code".into(),
            wanted: "a text, and `$scope` a document",
        });
    };
    let body = [string(code), document(scope)?].concat();
    let length = (body.len() as u32 + 4).to_le_bytes();
    Ok(of(kind::CODE_WITH_SCOPE, [&length[..], &body].concat()))
}

fn timestamp(json: &Json) -> Option<OwnedValue> {
    let [seconds, increment] = exactly(json, ["t", "i"])?;
    let number = |json: &Json| match json {
        Json::Number(text) => text.parse::<u32>().ok(),
        // Canonical writers wrap even these.
        json => exactly(json, ["$numberLong"])
            .or_else(|| exactly(json, ["$numberInt"]))
            .and_then(|[inner]| parsed(inner)),
    };
    let (seconds, increment) = (number(seconds)?, number(increment)?);
    Some(of(kind::TIMESTAMP, [increment.to_le_bytes(), seconds.to_le_bytes()].concat()))
}

fn regex(json: &Json) -> Result<OwnedValue, ParseError> {
    let parts = exactly(json, ["pattern", "options"]).and_then(|[p, o]| text(p).zip(text(o)));
    let (pattern, options) = parts.ok_or_else(|| wants("$regularExpression"))?;
    let bytes = [c_string(pattern)?, &[0], c_string(options)?, &[0]].concat();
    Ok(of(kind::REGEX, bytes))
}

fn db_pointer(json: &Json) -> Option<OwnedValue> {
    let [namespace, id] = exactly(json, ["$ref", "$id"])?;
    let [id] = exactly(id, ["$oid"])?;
    Some(of(kind::DB_POINTER, [string(text(namespace)?), object_id(id)?.bytes].concat()))
}

fn moment(json: &Json) -> Option<i64> {
    match json {
        Json::Text(text) => date::of_text(text),
        Json::Number(text) => text.parse().ok(),
        _ => parsed(exactly(json, ["$numberLong"])?[0]),
    }
}

/// A text as BSON has it: its length, its bytes, a zero.
fn string(text: &str) -> Vec<u8> {
    let length = text.len() as u32 + 1;
    [&length.to_le_bytes()[..], text.as_bytes(), &[0]].concat()
}

fn c_string(text: &str) -> Result<&[u8], ParseError> {
    if text.contains('\0') { Err(ParseError::Zero) } else { Ok(text.as_bytes()) }
}

//! An `_id` as a person types it, and what it may mean.

use super::{
    OwnedValue,
    extjson::{moment_value, parse_value, uuid_bytes},
    kind,
};

/// The values that a text may mean, to be tried in this order:
///
/// - Extended JSON with braces or quotes is what it says;
/// - 24 hex digits are an ObjectId, or the text;
/// - a UUID is a Binary of subtype 4, or the text;
/// - a number is one (all numeric types of equal value are one `_id`; with a fraction first the
///   double, then the decimal), or the text;
/// - a moment such as `2026-01-31T12:00:00Z` is a date, or the text;
/// - `true`, `false` and `null` are those, or the text;
/// - anything else is the text.
pub fn readings(text: &str) -> Vec<OwnedValue> {
    let parsed = parse_value(text).ok();
    let as_text = OwnedValue::string(text);
    if text.starts_with(['{', '"']) {
        return vec![parsed.unwrap_or(as_text)];
    }
    let mut readings = Vec::new();
    let mut id = [0; 12];
    if hex::decode_to_slice(text, &mut id).is_ok() {
        readings.push(OwnedValue { kind: kind::OBJECT_ID, bytes: id.to_vec() });
    }
    if let Some(uuid) = uuid_bytes(text) {
        let head = [&16u32.to_le_bytes()[..], &[4]].concat();
        readings.push(OwnedValue { kind: kind::BINARY, bytes: [&head[..], &uuid].concat() });
    }
    readings.extend(moment_value(text));
    if let Some(value) = parsed.filter(|value| value.kind != kind::ARRAY) {
        let is_double = value.kind == kind::DOUBLE;
        readings.push(value);
        if is_double {
            readings.extend(parse_value(&format!("{{\"$numberDecimal\":\"{text}\"}}")).ok());
        }
    }
    readings.push(as_text);
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_may_mean() {
        let kinds = |text: &str| -> Vec<u8> {
            readings(text).into_iter().map(|value| value.kind).collect()
        };
        let text = kind::STRING;
        assert_eq!(kinds("abc"), [text]);
        assert_eq!(kinds(""), [text]);
        assert_eq!(kinds("65f0a1b2c3d4e5f601234567"), [kind::OBJECT_ID, text]);
        assert_eq!(kinds("12"), [kind::INT32, text]);
        assert_eq!(kinds("012"), [text]);
        assert_eq!(kinds("9999999999"), [kind::INT64, text]);
        assert_eq!(kinds("1.5"), [kind::DOUBLE, kind::DECIMAL128, text]);
        assert_eq!(
            kinds("123456789012345678901234"),
            [kind::OBJECT_ID, kind::DOUBLE, kind::DECIMAL128, text]
        );
        assert_eq!(kinds("true"), [kind::BOOL, text]);
        assert_eq!(kinds("null"), [kind::NULL, text]);
        assert_eq!(kinds("[1]"), [text]);
        assert_eq!(kinds("00112233-4455-6677-8899-aabbccddeeff"), [kind::BINARY, text]);
        assert_eq!(kinds("2026-01-31T12:00:00Z"), [kind::DATE, text]);
        assert_eq!(kinds("\"12\""), [text]);
        assert_eq!(kinds("{\"$oid\":\"65f0a1b2c3d4e5f601234567\"}"), [kind::OBJECT_ID]);
        assert_eq!(kinds("{\"a\":1}"), [kind::DOCUMENT]);
        assert_eq!(kinds("{a"), [text]);
        assert_eq!(readings("\"x\""), readings("x"));
    }
}

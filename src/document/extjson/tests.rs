//! Every type in both flavours and back, and what people type.

use super::*;
use crate::document::{ArrayWriter, OwnedValue, Writer, elements, kind, testing::one_of_each};

fn both(value: OwnedValue, canonical: &str, relaxed: &str) {
    let element = value.element();
    assert_eq!(value_to_text(&element, Flavour::Canonical).unwrap(), canonical);
    assert_eq!(value_to_text(&element, Flavour::Relaxed).unwrap(), relaxed);
    assert_eq!(parse_value(canonical).unwrap(), value, "{canonical}");
}

fn of(kind: u8, bytes: &[u8]) -> OwnedValue {
    OwnedValue { kind, bytes: bytes.to_vec() }
}

fn double(number: f64) -> OwnedValue {
    of(kind::DOUBLE, &number.to_le_bytes())
}

#[test]
fn numbers_in_both_flavours() {
    let int = |n: i32| of(kind::INT32, &n.to_le_bytes());
    let long = |n: i64| of(kind::INT64, &n.to_le_bytes());
    both(int(-5), r#"{"$numberInt":"-5"}"#, "-5");
    both(int(i32::MIN), r#"{"$numberInt":"-2147483648"}"#, "-2147483648");
    both(long(5), r#"{"$numberLong":"5"}"#, "5");
    both(long(i64::MIN), r#"{"$numberLong":"-9223372036854775808"}"#, "-9223372036854775808");
    both(double(0.1), r#"{"$numberDouble":"0.1"}"#, "0.1");
    both(double(-1.0), r#"{"$numberDouble":"-1.0"}"#, "-1.0");
    both(double(-0.0), r#"{"$numberDouble":"-0.0"}"#, "-0.0");
    both(double(1e300), r#"{"$numberDouble":"1e300"}"#, "1e300");
    both(double(5e-324), r#"{"$numberDouble":"5e-324"}"#, "5e-324");
    for (number, word) in
        [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")]
    {
        let text = format!("{{\"$numberDouble\":\"{word}\"}}");
        both(double(number), &text, &text);
    }
    for text in ["1.50", "0E-6176", "-9.999999999999999999999999999999999E+6144", "NaN", "Infinity"]
    {
        let decimal: bson::Decimal128 = text.parse().unwrap();
        let text = format!("{{\"$numberDecimal\":\"{text}\"}}");
        both(of(kind::DECIMAL128, &decimal.bytes()), &text, &text);
    }
}

#[test]
fn all_other_types_in_both_flavours() {
    let same = |value: OwnedValue, text: &str| both(value, text, text);
    same(OwnedValue::string("a\"\\\n\u{1}\u{9b}é"), r#""a\"\\\n\u0001\u009bé""#);
    same(of(kind::NULL, &[]), "null");
    same(of(kind::BOOL, &[1]), "true");
    same(of(kind::BOOL, &[0]), "false");
    same(of(kind::UNDEFINED, &[]), r#"{"$undefined":true}"#);
    same(of(kind::MIN_KEY, &[]), r#"{"$minKey":1}"#);
    same(of(kind::MAX_KEY, &[]), r#"{"$maxKey":1}"#);
    same(of(kind::OBJECT_ID, &[0xab; 12]), &format!("{{\"$oid\":\"{}\"}}", "ab".repeat(12)));
    same(of(kind::TIMESTAMP, &(7u64 << 32 | 9).to_le_bytes()), r#"{"$timestamp":{"t":7,"i":9}}"#);
    same(of(kind::BINARY, b"\x03\0\0\0\x80abc"), r#"{"$binary":{"base64":"YWJj","subType":"80"}}"#);
    same(
        of(kind::BINARY, b"\x07\0\0\0\x02\x03\0\0\0abc"),
        r#"{"$binary":{"base64":"YWJj","subType":"02"}}"#,
    );
    same(
        of(kind::REGEX, b"^a/\0im\0"),
        r#"{"$regularExpression":{"pattern":"^a/","options":"im"}}"#,
    );
    let pointer = [&b"\x04\0\0\0a.b\0"[..], &[0xab; 12]].concat();
    same(
        of(kind::DB_POINTER, &pointer),
        &format!(r#"{{"$dbPointer":{{"$ref":"a.b","$id":{{"$oid":"{}"}}}}}}"#, "ab".repeat(12)),
    );
    same(of(kind::CODE, b"\x02\0\0\0;\0"), r#"{"$code":";"}"#);
    same(of(kind::SYMBOL, b"\x02\0\0\0s\0"), r#"{"$symbol":"s"}"#);
    let mut scope = Writer::new();
    scope.push_str(b"x", "y");
    let code = [&b"\x1c\0\0\0\x02\0\0\0;\0"[..], &scope.finish()].concat();
    same(
        of(kind::CODE_WITH_SCOPE, &[&(code.len() as u32).to_le_bytes(), &code[4..]].concat()),
        r#"{"$code":";","$scope":{"x":"y"}}"#,
    );
}

#[test]
fn dates_are_for_people_only_where_people_agree() {
    let date = |millis: i64| of(kind::DATE, &millis.to_le_bytes());
    let number = |millis: i64| format!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}");
    let never = 253_402_300_799_999;
    both(date(1500), &number(1500), r#"{"$date":"1970-01-01T00:00:01.500Z"}"#);
    both(date(never), &number(never), r#"{"$date":"9999-12-31T23:59:59.999Z"}"#);
    for millis in [-1, never + 1, i64::MIN, i64::MAX] {
        both(date(millis), &number(millis), &number(millis));
    }
}

#[test]
fn a_document_with_everything_comes_back_byte_for_byte() {
    // But for what is no UTF-8.
    let mut writer = Writer::new();
    for element in elements(&one_of_each()).map(Result::unwrap) {
        let is_text = std::str::from_utf8(element.name).is_ok();
        if is_text {
            writer.push(&element);
        }
    }
    let doc = writer.finish();
    for layout in [Layout::Line, Layout::Indented] {
        let mut text = String::new();
        assert_eq!(write(&mut text, &doc, Flavour::Canonical, layout), Ok(Fidelity::Exact));
        assert_eq!(parse(&text).unwrap(), doc, "{text}");
        assert_eq!(text.contains('\n'), layout == Layout::Indented);
    }
}

#[test]
fn what_is_no_utf8_is_shown_as_such() {
    let mut text = String::new();
    let fidelity = write(&mut text, &one_of_each(), Flavour::Relaxed, Layout::Line).unwrap();
    assert_eq!(fidelity, Fidelity::Lossy);
    assert!(text.contains("\"not \u{fffd} UTF-8\":\"\u{fffd}\u{fffd}\""), "{text}");
}

#[test]
fn names_stay_in_order_doubled_and_empty() {
    let text = r#"{"b":1,"":{"z":[],"a":[{}]},"b":2,"a.b":null,"$c":3}"#;
    let doc = parse(text).unwrap();
    let names: Vec<_> = elements(&doc).map(|e| e.unwrap().name).collect();
    assert_eq!(names, [&b"b"[..], b"", b"b", b"a.b", b"$c"]);
    assert_eq!(to_text(&doc, Flavour::Relaxed).unwrap(), text);
    let mut pretty = String::new();
    write(&mut pretty, &doc, Flavour::Relaxed, Layout::Indented).unwrap();
    let wanted = "{\n  \"b\": 1,\n  \"\": {\n    \"z\": [],\n    \"a\": [\n      {}\n    ]\n  },\n\
                  \x20 \
                  \"b\": 2,\n  \"a.b\": null,\n  \"$c\": 3\n}";
    assert_eq!(pretty, wanted);
}

#[test]
fn older_and_shorter_forms_are_understood() {
    let same = |text: &str, canonical: &str| {
        let value = parse_value(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value_to_text(&value.element(), Flavour::Canonical).unwrap(), canonical);
    };
    same("5", r#"{"$numberInt":"5"}"#);
    same("2147483648", r#"{"$numberLong":"2147483648"}"#);
    same("9223372036854775808", r#"{"$numberDouble":"9.223372036854776e18"}"#);
    same("-0", r#"{"$numberDouble":"-0.0"}"#);
    same("1.0", r#"{"$numberDouble":"1.0"}"#);
    same(r#"{"$numberLong":5}"#, r#"{"$numberLong":"5"}"#);
    same(r#"{"$date":5}"#, r#"{"$date":{"$numberLong":"5"}}"#);
    same(r#"{"$date":"1970-01-01T01:00:00+01:00"}"#, r#"{"$date":{"$numberLong":"0"}}"#);
    same(r#"{"$binary":"YWJj","$type":"00"}"#, r#"{"$binary":{"base64":"YWJj","subType":"00"}}"#);
    same(
        r#"{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}"#,
        r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#,
    );
    same(r#"{"$timestamp":{"t":{"$numberLong":"7"},"i":1}}"#, r#"{"$timestamp":{"t":7,"i":1}}"#);
    // Operators of queries are fields like others.
    for text in
        [r#"{"$regex":"a","$options":"i"}"#, r#"{"$type":"int"}"#, r#"{"$ref":"a","$id":1}"#]
    {
        assert_eq!(parse_value(text).unwrap().kind, kind::DOCUMENT, "{text}");
    }
}

#[test]
fn wrappers_that_wrap_something_else_are_refused() {
    for text in [
        r#"{"$oid":"12"}"#,
        r#"{"$oid":12}"#,
        r#"{"$numberInt":"2147483648"}"#,
        r#"{"$numberDouble":"inf"}"#,
        r#"{"$numberDecimal":"x"}"#,
        r#"{"$date":"soon"}"#,
        r#"{"$date":1.5}"#,
        r#"{"$binary":{"base64":"YWJj"}}"#,
        r#"{"$binary":{"base64":"!","subType":"00"}}"#,
        r#"{"$timestamp":{"t":-1,"i":1}}"#,
        r#"{"$regularExpression":{"pattern":"a"}}"#,
        r#"{"$code":";","$scope":1}"#,
        r#"{"$minKey":2}"#,
        r#"{"$uuid":"0"}"#,
    ] {
        assert!(matches!(parse_value(text), Err(ParseError::Wrapper { .. })), "{text}");
    }
    assert_eq!(parse("[1]"), Err(ParseError::NotADocument));
    assert_eq!(parse(r#"{"a\u0000b":1}"#), Err(ParseError::Zero));
    assert!(matches!(parse_value("1e999"), Err(ParseError::Number { .. })));
}

#[test]
fn arrays_and_bytes_that_are_none_of_it() {
    let mut array = ArrayWriter::new();
    array.push_i64(1);
    let mut doc = Writer::new();
    doc.push_array(b"a", &array.finish());
    let doc = doc.finish();
    assert_eq!(to_text(&doc, Flavour::Relaxed).unwrap(), r#"{"a":[1]}"#);
    for length in 0..doc.len() {
        assert!(to_text(&doc[..length], Flavour::Relaxed).is_err());
    }
}

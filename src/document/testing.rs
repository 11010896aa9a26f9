//! Documents for the tests of this room.

use crate::document::{ArrayWriter, Writer, kind};

/// A decimal's sixteen bytes.
pub fn decimal(text: &str) -> [u8; 16] {
    text.parse::<bson::Decimal128>().unwrap().bytes()
}

/// A document with every type there is, some of them nested, and names that are odd.
pub fn one_of_each() -> Vec<u8> {
    let mut scope = Writer::new();
    scope.push_i32(b"x", 1);
    let scope = scope.finish();
    let mut array = ArrayWriter::new();
    array.push_i64(1 << 40);
    array.push_str("in an array");
    array.push_doc(&scope);
    let mut code = 0i32.to_le_bytes().to_vec();
    code.extend(b"\x04\0\0\0x++\0");
    code.extend(&scope);
    let length = code.len() as i32;
    code[..4].copy_from_slice(&length.to_le_bytes());

    let mut all = Writer::new();
    all.push_object_id(b"_id", *b"twelve bytes");
    all.push_f64(b"double", -0.1);
    all.push_str(b"string", "a\0b\u{e4}");
    all.push_str(b"not \xff UTF-8", b"\xff\xfe");
    all.push_doc(b"document", &scope);
    all.push_array(b"array", &array.finish());
    all.push_binary(b"binary", 0x80, b"\0\x01\x02");
    all.push_binary(b"old binary", 2, b"\x01\0\0\0x");
    all.push_raw(kind::UNDEFINED, b"undefined", &[]);
    all.push_bool(b"bool", true);
    all.push_date(b"date", -1);
    all.push_null(b"");
    all.push_raw(kind::REGEX, b"regex", b"^a.*\0ims\0");
    all.push_raw(kind::DB_POINTER, b"pointer", b"\x04\0\0\0a.b\0twelve bytes");
    all.push_raw(kind::CODE, b"code", b"\x02\0\0\0;\0");
    all.push_raw(kind::SYMBOL, b"symbol", b"\x02\0\0\0s\0");
    all.push_raw(kind::CODE_WITH_SCOPE, b"code with scope", &code);
    all.push_i32(b"int32", i32::MIN);
    all.push_timestamp(b"timestamp", u64::MAX);
    all.push_i64(b"int64", i64::MIN);
    all.push_raw(kind::DECIMAL128, b"decimal", &decimal("1.50"));
    all.push_raw(kind::MIN_KEY, b"least", &[]);
    all.push_raw(kind::MAX_KEY, b"most", &[]);
    all.push_i32(b"int32", 2);
    all.finish()
}

//! Keys of documents, kept to the byte: repositories hold them.

use icecore::document::{ArrayWriter, Element, Writer, id_key, kind};
use mongodb::bson::Decimal128;
use serde_json::{Value, json};

use crate::format_vectors::golden;

type Id = (&'static str, u8, Vec<u8>);

#[test]
fn keys_are_what_they_were() {
    let ids: Vec<Id> = [numbers(), others(), nested(), odd()].concat();
    let mut found: Vec<(Vec<u8>, Value)> = Vec::new();
    for (what, kind, value) in ids {
        let key = id_key(&Element { kind, name: b"_id", value: &value }).unwrap();
        let (kind, value, hex) = (hex::encode([kind]), hex::encode(value), hex::encode(&key));
        found.push((key, json!({ "id": what, "type": kind, "value": value, "key": hex })));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let found: Vec<Value> = found.into_iter().map(|(_, vector)| vector).collect();
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    golden("tests/vectors/document_keys.json", &text);
}

fn decimal(text: &str) -> Vec<u8> {
    text.parse::<Decimal128>().unwrap().bytes().to_vec()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as i32 + 1).to_le_bytes()[..], text, b"\0"].concat()
}

fn numbers() -> Vec<Id> {
    let whole = |what, value: i64| (what, kind::INT64, value.to_le_bytes().to_vec());
    let double = |what, value: f64| (what, kind::DOUBLE, value.to_le_bytes().to_vec());
    let decimal = |what| (what, kind::DECIMAL128, decimal(what));
    vec![
        whole("0", 0),
        whole("1", 1),
        whole("-1", -1),
        whole("255", 255),
        whole("256", 256),
        whole("-258", -258),
        whole("2^53 + 1", (1 << 53) + 1),
        whole("the largest int64", i64::MAX),
        whole("the smallest int64", i64::MIN),
        ("int32 1", kind::INT32, vec![1, 0, 0, 0]),
        double("1.0", 1.0),
        double("-0.0", -0.0),
        double("1.5", 1.5),
        double("-1.5", -1.5),
        double("0.0625", 0.0625),
        double("-0.1", -0.1),
        double("0.1", 0.1),
        double("the least above zero", f64::from_bits(1)),
        double("2^64", 2f64.powi(64)),
        double("2^1000", 2f64.powi(1000)),
        double("the lowest", f64::MIN),
        double("Infinity", f64::INFINITY),
        double("-Infinity", f64::NEG_INFINITY),
        double("NaN", f64::NAN),
        decimal("0.1"),
        decimal("1.00"),
        decimal("123456789.0123456789"),
        decimal("1E-6176"),
        decimal("-9.999999999999999999999999999999999E+6144"),
        decimal("18446744073709551615.5"),
        decimal("NaN"),
        decimal("-0E+10"),
        ("a decimal that is not canonical", kind::DECIMAL128, vec![0x6c; 16]),
    ]
}

fn others() -> Vec<Id> {
    let binary = |length: usize, subtype: u8| {
        let mut bytes = (length as i32).to_le_bytes().to_vec();
        bytes.push(subtype);
        bytes.resize(5 + length, 7);
        bytes
    };
    let oid = b"twelve bytes".to_vec();
    vec![
        ("MinKey", kind::MIN_KEY, vec![]),
        ("MaxKey", kind::MAX_KEY, vec![]),
        ("null", kind::NULL, vec![]),
        ("undefined", kind::UNDEFINED, vec![]),
        ("empty string", kind::STRING, text(b"")),
        ("string", kind::STRING, text("h\u{e4}".as_bytes())),
        ("string with NUL", kind::STRING, text(b"a\0b")),
        ("string, not UTF-8", kind::STRING, text(b"\xff\0")),
        ("symbol", kind::SYMBOL, text(b"h")),
        ("code", kind::CODE, text(b"h")),
        ("binary", kind::BINARY, binary(3, 0)),
        ("UUID", kind::BINARY, binary(16, 4)),
        ("binary of 254", kind::BINARY, binary(254, 0x80)),
        ("binary of 255", kind::BINARY, binary(255, 0x80)),
        ("old binary", kind::BINARY, b"\x05\0\0\0\x02\x01\0\0\0x".to_vec()),
        ("ObjectId", kind::OBJECT_ID, oid.clone()),
        ("false", kind::BOOL, vec![0]),
        ("true", kind::BOOL, vec![1]),
        ("date", kind::DATE, 1_700_000_000_000i64.to_le_bytes().to_vec()),
        ("date before 1970", kind::DATE, (-1i64).to_le_bytes().to_vec()),
        ("timestamp", kind::TIMESTAMP, (1u64 << 63 | 5).to_le_bytes().to_vec()),
        ("regex", kind::REGEX, b"^a.*\0im\0".to_vec()),
        ("DBPointer", kind::DB_POINTER, [text(b"a.b"), oid.clone()].concat()),
        ("DBPointer with NUL", kind::DB_POINTER, [text(b"a\0b"), oid].concat()),
    ]
}

fn nested() -> Vec<Id> {
    let doc = |fill: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        fill(&mut writer);
        writer.finish()
    };
    let one = doc(&|w| w.push_i32(b"n", 1));
    let several = doc(&|w| {
        w.push_i32(b"n", -1);
        w.push_str(b"", "x\0");
        w.push_doc(b"n", &one);
    });
    let mut values = ArrayWriter::new();
    values.push_i64(-1);
    values.push_str("x");
    values.push_doc(&one);
    let inside = [text(b"n++"), one.clone()].concat();
    let scoped = [&(inside.len() as i32 + 4).to_le_bytes()[..], &inside].concat();
    vec![
        ("{}", kind::DOCUMENT, doc(&|_| {})),
        ("{n: 1}", kind::DOCUMENT, one),
        ("{n: -1, '': 'x\\0', n: {n: 1}}", kind::DOCUMENT, several),
        ("[]", kind::ARRAY, doc(&|_| {})),
        ("[-1, 'x', {n: 1}]", kind::ARRAY, values.finish()),
        ("code with scope", kind::CODE_WITH_SCOPE, scoped),
    ]
}

/// Keys about as long as may be, and longer.
fn odd() -> Vec<Id> {
    let long = |length: usize| text(&vec![b'x'; length]);
    vec![
        ("the longest whole key", kind::STRING, long(4094)),
        ("the shortest with a hash", kind::STRING, long(4095)),
        ("with a hash", kind::STRING, long(5000)),
    ]
}

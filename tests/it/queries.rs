//! Queries evaluated by us and by a real server: the same documents are found, whatever is asked.

use futures_util::TryStreamExt;
use icecore::document::{
    extjson,
    query::{Query, QueryError},
};
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex,
    Timestamp, doc, oid::ObjectId, spec::BinarySubtype,
};

use crate::mongod::{Ability, Deployment, can};

const DOCUMENTS: i32 = 400;
const QUERIES: usize = 3000;

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype, bytes: bytes.to_vec() })
}

fn regex(pattern: &str, options: &str) -> Bson {
    let (pattern, options) = (pattern.try_into().unwrap(), options.try_into().unwrap());
    Bson::RegularExpression(Regex { pattern, options })
}

/// Values that are near to one another, and odd ones.
fn scalars() -> Vec<Bson> {
    let decimal = |text: &str| Bson::Decimal128(text.parse::<Decimal128>().unwrap());
    let pointer =
        r#"{"p":{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"030303030303030303030303"}}}}"#;
    let pointer = RawDocumentBuf::from_bytes(extjson::parse(pointer).unwrap()).unwrap();
    let pointer = Document::try_from(&*pointer).unwrap().remove("p").unwrap();
    let code = JavaScriptCodeWithScope { code: "x".into(), scope: doc! { "a": 1 } };
    let numbers = [-1.0, -0.0, 0.5, 1.0, 1.5, 4.0, 1e300, f64::NAN, f64::INFINITY];
    let mut all: Vec<Bson> = numbers.into_iter().map(Bson::Double).collect();
    all.extend((-2..8).map(Bson::Int32));
    all.extend([0, 1, 5, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1].map(Bson::Int64));
    all.extend(["0", "1.0", "1.5", "-2.5", "0.05", "1E3", "NaN", "Infinity", "-9E99"].map(decimal));
    all.extend(["", "a", "A", "ab", "abc\n", "b", "é", "1"].map(Bson::from));
    all.extend([true, false].map(Bson::Boolean));
    all.extend([Bson::Null, Bson::Null, Bson::MinKey, Bson::MaxKey, Bson::Undefined]);
    all.extend([0, 1].map(|ms| Bson::DateTime(DateTime::from_millis(ms))));
    all.extend([0u32, 1].map(|time| Bson::Timestamp(Timestamp { time, increment: 1 })));
    all.extend([1, 2].map(|byte| Bson::ObjectId(ObjectId::from_bytes([byte; 12]))));
    all.push(binary(BinarySubtype::Generic, b""));
    all.push(binary(BinarySubtype::Generic, &[5, 128]));
    all.push(binary(BinarySubtype::UserDefined(0x80), &[5, 128]));
    all.extend([regex("^a", ""), regex("^a", "i"), Bson::Symbol("a".into())]);
    all.extend([Bson::JavaScriptCode("x".into()), Bson::JavaScriptCodeWithScope(code)]);
    all.push(pointer);
    all
}

fn value(chance: &mut Chance, scalars: &[Bson], depth: usize) -> Bson {
    match chance.below(if depth == 0 { 6 } else { 10 }) {
        0..4 => chance.one(&scalars[9..30]),
        4 | 5 => chance.one(scalars),
        6 | 7 => {
            let length = chance.below(4);
            Bson::Array((0..length).map(|_| value(chance, scalars, depth - 1)).collect())
        }
        _ => Bson::Document(document(chance, scalars, depth - 1)),
    }
}

fn document(chance: &mut Chance, scalars: &[Bson], depth: usize) -> Document {
    let mut doc = Document::new();
    for _ in 0..chance.below(4) {
        let name = chance.one(&["a", "b", "c", "0", "1", ""]);
        doc.insert(name, value(chance, scalars, depth));
    }
    doc
}

const PATHS: [&str; 16] = [
    "a", "b", "c", "a.b", "a.a", "b.c", "a.0", "a.1", "b.0", "a.0.b", "a.b.c", "b.0.0", "a.0.0.a",
    "", "c.1.a", "a.b.0",
];

fn query(chance: &mut Chance, scalars: &[Bson], depth: usize) -> Document {
    let mut query = Document::new();
    if depth > 0 && chance.below(5) == 0 {
        let operator = chance.one(&["$and", "$or", "$nor"]);
        let branches: Vec<Bson> =
            (0..=chance.below(3)).map(|_| query_value(chance, scalars, depth)).collect();
        query.insert(operator, branches);
        return query;
    }
    for _ in 0..=chance.below(2) {
        let path = chance.one(&PATHS);
        let asked = match chance.below(4) {
            0 => value(chance, scalars, 2),
            _ => Bson::Document(operators(chance, scalars, depth)),
        };
        query.insert(path, asked);
    }
    query
}

fn query_value(chance: &mut Chance, scalars: &[Bson], depth: usize) -> Bson {
    Bson::Document(query(chance, scalars, depth - 1))
}

fn operators(chance: &mut Chance, scalars: &[Bson], depth: usize) -> Document {
    let mut asked = Document::new();
    for _ in 0..=chance.below(2) {
        let (name, operand) = operator(chance, scalars, depth);
        asked.insert(name, operand);
        if name == "$regex" && chance.below(2) == 0 {
            asked.insert("$options", chance.one(&["", "i", "ims", "x"]));
        }
    }
    asked
}

fn operator(chance: &mut Chance, scalars: &[Bson], depth: usize) -> (&'static str, Bson) {
    let values = |chance: &mut Chance| {
        let length = chance.below(4);
        Bson::Array((0..length).map(|_| value(chance, scalars, 2)).collect())
    };
    let types = ["int", "double", "long", "decimal", "number", "string", "object", "array", "null"];
    let others = ["undefined", "minKey", "maxKey", "regex", "binData", "bool", "symbol", "missing"];
    match chance.below(if depth == 0 { 16 } else { 20 }) {
        0..7 => {
            let name = chance.one(&["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$gte"]);
            (name, value(chance, scalars, 2))
        }
        7 => ("$in", values(chance)),
        8 => ("$nin", values(chance)),
        9 => ("$exists", chance.one(&[true.into(), false.into(), 0.into(), Bson::Null])),
        10 => ("$type", chance.one(&[&types[..], &others].concat()).into()),
        11 => ("$size", chance.one(&[0.into(), 1.into(), 2.0.into(), (-1).into(), 1.5.into()])),
        12 => ("$all", values(chance)),
        13 => {
            let divisor =
                chance.one(&[2.into(), (-3).into(), 1.9.into(), Bson::Int64(-1), 0.into()]);
            ("$mod", Bson::Array(vec![divisor, chance.one(&[0.into(), 1.into(), (-1).into()])]))
        }
        14 => {
            let name = ["$bitsAllSet", "$bitsAllClear", "$bitsAnySet", "$bitsAnyClear"];
            let operands = [
                Bson::Int32(5),
                Bson::Int64(1),
                Bson::Double(2.0),
                Bson::Array(vec![0.into(), 70.into()]),
                binary(BinarySubtype::Generic, &[1, 128]),
                Bson::Int32(0),
                Bson::Int32(-1),
            ];
            (chance.one(&name), chance.one(&operands))
        }
        15 => ("$regex", chance.one(&["^a", "b$", "A|é", "", "\\w\\s$", "a(?=b)"]).into()),
        16 | 17 => ("$not", Bson::Document(operators(chance, scalars, depth - 1))),
        18 => ("$elemMatch", Bson::Document(operators(chance, scalars, depth - 1))),
        _ => ("$elemMatch", Bson::Document(query(chance, scalars, depth - 1))),
    }
}

fn ids_by_server(server: &Deployment, filter: &Document) -> Result<Vec<i32>, String> {
    let collection = server.client().database("test").collection::<Document>("odd");
    let found = server.block(async {
        let cursor = collection.find(filter.clone()).sort(doc! { "_id": 1 }).await?;
        cursor.try_collect::<Vec<Document>>().await
    });
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.iter().map(|doc| doc.get_i32("_id").unwrap()).collect())
}

fn ids_by_us(raw: &[RawDocumentBuf], filter: &Document) -> Result<Vec<i32>, QueryError> {
    let filter = RawDocumentBuf::try_from(filter).unwrap();
    let query = Query::parse(filter.as_bytes())?;
    let matches = |doc: &&RawDocumentBuf| query.matches(doc.as_bytes()).unwrap();
    Ok(raw.iter().filter(matches).map(|doc| doc.get_i32("_id").unwrap()).collect())
}

const TEXTS: [&str; 36] = [
    "", "a", "b", "A", "ab", "aB", "C", "a-b", "-", "+", ",", ".", "_", "~", "&", "[", "]", "^",
    ":", "}", "a{b}", "a{,2}", "5", " ", "a b", "\n", "a\n", "a\nb", "b\na\n", "é", "É", "ä-ö",
    "#", "\\", "\u{212a}", "\u{7f}",
];

/// Patterns in which signs, escapes and options meet.
const PATTERNS: [(&str, &str); 62] = [
    ("^[\\w\\s-_]$", ""),
    ("^[\\w-~]$", ""),
    ("^[\\d-]$", ""),
    ("^[-\\d]$", ""),
    ("^[A-\\d]$", ""),
    ("^[[:alpha:]-~]$", ""),
    ("^[+--]$", ""),
    ("^[+-.]$", ""),
    ("^[a&&b]$", ""),
    ("^[a~~b]$", ""),
    ("^[a--b]$", ""),
    ("^[a-b-~]$", ""),
    ("^[]-a]$", ""),
    ("^[^]a]$", ""),
    ("^[a^]$", ""),
    ("^[[a]$", ""),
    ("^[[]]$", ""),
    ("^[[:alpha:][:digit:]]$", ""),
    ("^[[:^alpha:]]$", ""),
    ("^[[:]$", ""),
    ("^[\\]]$", ""),
    ("^[\\\\]$", ""),
    ("^[^\\W]$", ""),
    ("^[\\W\\d]$", ""),
    ("^[\\x41-\\x{42}]$", ""),
    ("^[\\x2d-\\x2f]$", ""),
    ("^[\\n-\\r]$", ""),
    ("^[é-ö]$", "i"),
    ("^[\\p{L}-]$", ""),
    ("^\\pL$", ""),
    ("^\\p{Lu}+$", ""),
    ("^[ #]$", "x"),
    ("a\\ b", "x"),
    ("a b", "x"),
    ("a # b\nb", "x"),
    ("^a $", "mx"),
    ("a$", ""),
    ("a$", "m"),
    ("^b", "m"),
    ("(?m)a$", ""),
    ("(?m:a$)", ""),
    ("(?i)a$", ""),
    ("(?i:a)b", ""),
    ("(a(?i)b|c)", ""),
    ("(?s)a.b", ""),
    ("(?-i)a", "i"),
    ("(?x)a b", ""),
    ("a(?R)?b", ""),
    ("^a{b}$", ""),
    ("a{,2}", ""),
    ("^a{1}$", ""),
    ("^(a|b){1,2}?$", ""),
    ("^a{ 1 }$", "x"),
    ("}", ""),
    ("a\\Z", ""),
    ("a\\z", ""),
    ("\\Aa", ""),
    ("^[\\b]$", ""),
    ("\\bb", ""),
    ("^\\x7f$", ""),
    ("^[\\~-\\x7f]$", ""),
    ("^.$", "s"),
];

/// Those that we refuse, all others are answered as the server answers them.
const REFUSED: [&str; 6] = ["^[[:]$", "(?m)a$", "(?m:a$)", "(?x)a b", "a(?R)?b", "a{,2}"];

#[test]
fn patterns_find_what_the_server_finds_or_are_refused() {
    let server = Deployment::standalone();
    let texts = (0..).zip(TEXTS).map(|(id, text)| doc! { "_id": id, "a": text });
    let texts: Vec<Document> = texts.collect();
    let collection = server.client().database("test").collection::<Document>("odd");
    server.block(collection.insert_many(&texts)).unwrap();
    let raw: Vec<RawDocumentBuf> =
        texts.iter().map(|text| RawDocumentBuf::try_from(text).unwrap()).collect();
    let (mut wrong, mut refused, mut hits) = (Vec::new(), Vec::new(), 0);
    for (pattern, options) in PATTERNS {
        let filter = doc! { "a": { "$regex": pattern, "$options": options } };
        match (ids_by_server(&server, &filter), ids_by_us(&raw, &filter)) {
            (Ok(_), Err(_)) => refused.push(pattern),
            // What it refuses is nobody's question.
            (Err(_), _) => {}
            (Ok(theirs), Ok(ours)) if theirs == ours => hits += ours.len(),
            (Ok(theirs), Ok(ours)) => {
                let [theirs, ours] = [theirs, ours]
                    .map(|ids| ids.iter().map(|id| TEXTS[*id as usize]).collect::<Vec<_>>());
                wrong.push(format!("{pattern} {options}\n  server {theirs:?}\n  ours {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(refused, REFUSED);
    assert!(hits > PATTERNS.len(), "{hits} found");
}

#[test]
fn random_queries_find_what_the_server_finds() {
    let server = Deployment::standalone();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let scalars = scalars();
    let docs: Vec<Document> = (0..DOCUMENTS)
        .map(|id| {
            let mut doc = doc! { "_id": id };
            doc.extend(document(&mut chance, &scalars, 3));
            doc
        })
        .collect();
    let collection = server.client().database("test").collection::<Document>("odd");
    server.block(collection.insert_many(&docs)).unwrap();
    // As the server has them.
    let raw_collection = collection.clone_with_type::<RawDocumentBuf>();
    let raw: Vec<RawDocumentBuf> = server
        .block(async {
            raw_collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await
        })
        .unwrap();
    let (mut compared, mut hits, mut wrong) = (0, 0, Vec::new());
    let compares_mod = can(Ability::ModOfFractions);
    for _ in 0..QUERIES {
        let filter = query(&mut chance, &scalars, 2);
        if !compares_mod && filter.to_string().contains("$mod") {
            continue;
        }
        let (theirs, ours) = (ids_by_server(&server, &filter), ids_by_us(&raw, &filter));
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) if theirs == ours => {
                compared += 1;
                hits += usize::from(!ours.is_empty());
            }
            // An engine without look-around says so.
            (Ok(_), Err(QueryError::Regex { .. })) | (Err(_), Err(_)) => {}
            (Ok(theirs), Ok(ours)) => {
                let differs = |id: &&i32| theirs.contains(id) != ours.contains(id);
                let ids: Vec<&i32> = theirs.iter().chain(&ours).filter(differs).collect();
                let doc = &docs[*ids[0] as usize];
                wrong.push(format!("{filter}: we differ on {ids:?}, of which the first is {doc}"));
            }
            (theirs, ours) => wrong.push(format!("{filter}\n  server {theirs:?}\n  ours {ours:?}")),
        }
    }
    wrong.truncate(12);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > QUERIES / 2 && hits > QUERIES / 6, "{compared} compared, {hits} found any");
}

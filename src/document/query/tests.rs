//! What can be asked and what is refused; the server's own answers are compared in `tests/it`.

use super::*;
use crate::document::extjson::parse;

#[track_caller]
fn answers(query: &str, yes: &[&str], no: &[&str]) {
    let query_doc = parse(query).unwrap();
    let parsed = Query::parse(&query_doc).unwrap_or_else(|error| panic!("{query}: {error}"));
    for (docs, wanted) in [(yes, true), (no, false)] {
        for doc in docs {
            assert_eq!(parsed.matches(&parse(doc).unwrap()), Ok(wanted), "{query} of {doc}");
        }
    }
}

#[test]
fn equality_means_a_value_or_one_of_many() {
    answers("{}", &["{}", "{a:1}"], &[]);
    answers("{a:1}", &["{a:1.0}", "{a:[2,1]}", "{a:1,a:2}"], &["{}", "{a:[[1]]}", "{a:2,a:1}"]);
    answers("{a:[1,2]}", &["{a:[1,2]}", "{a:[[1,2]]}"], &["{a:[2,1]}", "{a:1}"]);
    answers("{a:{b:1,c:2}}", &["{a:{b:1,c:2}}"], &["{a:{c:2,b:1}}", "{a:{b:1}}"]);
    answers("{a:null}", &["{}", "{a:null}", "{a:[1,null]}"], &["{a:[]}", "{a:0}"]);
    answers(
        "{'a.b':1}".replace('\'', "\"").as_str(),
        &["{a:{b:1}}", "{a:[{b:2},{b:1}]}"],
        &["{a:[1]}"],
    );
    answers(r#"{"a.1":1}"#, &["{a:[0,1]}", r#"{a:{"1":1}}"#], &["{a:[1,0]}"]);
    answers(
        r#"{"a.b":null}"#,
        &["{}", "{a:1}", "{a:[{c:1}]}"],
        &["{a:[]}", "{a:[1]}", "{a:{b:1}}"],
    );
}

#[test]
fn comparisons_stay_within_a_type() {
    answers("{a:{$gt:1}}", &["{a:2}", "{a:[0,2]}"], &["{a:1}", r#"{a:"2"}"#, "{}", "{a:null}"]);
    answers("{a:{$gte:null}}", &["{}", "{a:null}"], &["{a:1}"]);
    answers(r#"{a:{$lt:"b"}}"#, &[r#"{a:"a"}"#], &["{a:1}", r#"{a:"b"}"#]);
    answers("{a:{$gt:1,$lt:5}}", &["{a:[0,9]}"], &["{a:[0]}"]);
    answers("{a:{$ne:1}}", &["{}", "{a:2}"], &["{a:1}", "{a:[1,2]}"]);
    answers(
        r#"{a:{$lte:{"$numberDouble":"NaN"}}}"#,
        &[r#"{a:{"$numberDouble":"NaN"}}"#],
        &["{a:1}"],
    );
    answers(r#"{a:{$gt:{"$minKey":1}}}"#, &["{a:1}", "{a:[]}"], &[r#"{a:{"$minKey":1}}"#]);
}

#[test]
fn operators_on_arrays_and_their_values() {
    answers("{a:{$size:2}}", &["{a:[1,2]}"], &["{a:[[1,2]]}", "{a:1}"]);
    answers("{a:{$all:[1,2]}}", &["{a:[2,1,0]}"], &["{a:[1]}"]);
    answers("{a:{$all:[]}}", &[], &["{a:[]}", "{a:1}"]);
    answers("{a:{$elemMatch:{$gt:1,$lt:5}}}", &["{a:[0,3]}"], &["{a:[0,9]}", "{a:3}"]);
    answers("{a:{$elemMatch:{b:1,c:2}}}", &["{a:[{b:1,c:2}]}"], &["{a:[{b:1},{c:2}]}"]);
    answers("{a:{$in:[1,null]}}", &["{}", "{a:[1]}"], &["{a:2}"]);
    answers("{a:{$nin:[1,null]}}", &["{a:2}"], &["{}", "{a:[1]}"]);
    answers("{a:{$exists:false}}", &["{}"], &["{a:null}", "{a:[]}"]);
    answers("{a:{$type:\"array\"}}", &["{a:[]}"], &["{a:1}"]);
    answers("{a:{$type:[\"number\",\"bool\"]}}", &["{a:1.5}", "{a:[true]}"], &["{a:\"x\"}"]);
    answers("{a:{$mod:[4,1]}}", &["{a:5}", "{a:5.9}", "{a:[2,9]}"], &["{a:4}", "{a:-3}", "{}"]);
    answers("{a:{$bitsAllSet:5}}", &["{a:7}", "{a:-1}"], &["{a:4}", "{a:5.5}"]);
    answers("{a:{$bitsAnyClear:[0,100]}}", &["{a:1}", "{a:2}"], &["{a:-1}"]);
}

#[test]
fn logic_and_patterns() {
    answers("{$or:[{a:1},{b:1}]}", &["{a:1}", "{b:1}"], &["{a:2,b:2}"]);
    answers("{$nor:[{a:1},{b:1}]}", &["{a:2}"], &["{a:1}", "{b:1}"]);
    answers("{$and:[{a:1},{a:2}]}", &["{a:[1,2]}"], &["{a:1}"]);
    answers("{a:{$not:{$gt:1}}}", &["{}", "{a:1}"], &["{a:2}"]);
    answers(
        r#"{a:{$regex:"^x",$options:"i"}}"#,
        &[r#"{a:"Xy"}"#, r#"{a:["x"]}"#],
        &[r#"{a:"yx"}"#],
    );
    let regex = r#"{a:{$in:[{"$regularExpression":{"pattern":"b","options":""}},1]}}"#;
    answers(regex, &[r#"{a:"abc"}"#, "{a:1}"], &[r#"{a:"c"}"#]);
    answers(r#"{a:1,$comment:"why"}"#, &["{a:1}"], &["{}"]);
}

#[test]
fn what_is_not_known_is_refused_by_its_name() {
    for (query, operator) in [
        (r#"{$where:"1"}"#, "$where"),
        ("{$expr:{}}", "$expr"),
        ("{a:{$near:[1,2]}}", "$near"),
        ("{a:{$gt:1,b:2}}", "b"),
        ("{a:{$options:\"i\"}}", "$options"),
        ("{$or:[{a:{$not:{$geoWithin:{}}}}]}", "$geoWithin"),
        ("{a:{$elemMatch:{$expr:1}}}", "$expr"),
    ] {
        match Query::parse(&parse(query).unwrap()) {
            Err(QueryError::Unsupported { operator: found }) => assert_eq!(found, operator),
            other => panic!("{query}: {other:?}"),
        }
    }
    for query in [
        "{$or:[]}",
        "{$and:[1]}",
        "{a:{$in:1}}",
        "{a:{$in:[{$gt:1}]}}",
        "{a:{$size:-1}}",
        "{a:{$size:1.5}}",
        "{a:{$mod:[0,1]}}",
        "{a:{$mod:[1]}}",
        "{a:{$type:\"integer\"}}",
        "{a:{$type:99}}",
        "{a:{$not:1}}",
        "{a:{$not:{}}}",
        "{a:{$all:[1,{$elemMatch:{}}]}}",
        "{a:{$elemMatch:1}}",
        "{a:{$bitsAllSet:-1}}",
        r#"{a:{$gt:{"$regularExpression":{"pattern":"b","options":""}}}}"#,
        r#"{a:{"$undefined":true}}"#,
    ] {
        let found = Query::parse(&parse(query).unwrap());
        assert!(matches!(found, Err(QueryError::Operand { .. })), "{query}: {found:?}");
    }
}

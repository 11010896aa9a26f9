//! Documents to be changed and statements that change them, with paths that mostly lead somewhere.
//!
//! Below every name lies mostly the same kind of value: `a` and `b` are documents, `c` and `d` are
//! arrays, `e` is a number, wherever they stand.

use icecore::document::{ArrayWriter, Writer, kind};

use super::{
    array, doc,
    random::{Chance, Value, number, value},
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// So many bytes stand in each document beside what changes.
pub const FILLER: usize = 2000;

/// Long enough that the server finds a diff shorter than the document.
pub fn base(chance: &mut Chance, number: i64) -> Vec<u8> {
    doc(|w| {
        w.push_i64(b"_id", number);
        w.push_str(b"filler", "x".repeat(FILLER));
        fields(chance, w, 0);
        // Only raw bytes can be so.
        w.push_str(b"not UTF-8 \xff", b"\xff\0\xfe");
        w.push_null(b"");
    })
}

fn fields(chance: &mut Chance, w: &mut Writer, depth: usize) {
    for name in NAMES {
        if !chance.one_in(4) {
            let (kind, bytes) = value_of(chance, name, depth + 1);
            w.push_raw(kind, name.as_bytes(), &bytes);
        }
    }
}

fn value_of(chance: &mut Chance, name: &str, depth: usize) -> Value {
    if chance.one_in(12) || depth > 3 {
        return scalar(chance);
    }
    match name {
        "a" | "b" => (kind::DOCUMENT, doc(|w| fields(chance, w, depth))),
        "c" | "d" => {
            let mut out = ArrayWriter::new();
            for _ in 0..chance.below(5) {
                let name = chance.pick(&["a", "c", "e", "e", "f"]);
                let (kind, bytes) = value_of(chance, name, depth + 1);
                out.push_raw(kind, &bytes);
            }
            (kind::ARRAY, out.finish())
        }
        "e" => number(chance),
        _ => scalar(chance),
    }
}

/// Not a document: those of `random` have names twice, and the server's own maker of diffs ends
/// the server when it meets such a one (6.0.5: an invariant in document_diff_serialization).
fn scalar(chance: &mut Chance) -> Value {
    value(chance, 3)
}

/// A path whose last name is one of these.
fn path(chance: &mut Chance, last: &[&'static str]) -> (String, &'static str) {
    let mut path = String::new();
    for _ in 0..chance.below(3) {
        let name = chance.pick(&["a", "b", "c", "d"]);
        path += name;
        path.push('.');
        if matches!(name, "c" | "d") {
            path += &format!("{}.", chance.below(4));
        }
    }
    let last = chance.pick(last);
    (path + last, last)
}

/// A statement of the update command for one of so many documents.
pub fn statement(chance: &mut Chance, documents: usize) -> Vec<u8> {
    let id = chance.below(documents) as i64;
    let (kind, update) = update(chance, id);
    doc(|w| {
        w.push_doc(b"q", &doc(|w| w.push_i64(b"_id", id)));
        w.push_raw(kind, b"u", &update);
    })
}

fn update(chance: &mut Chance, id: i64) -> Value {
    match chance.below(20) {
        0..=12 => (kind::DOCUMENT, operators(chance)),
        13..=17 => (kind::ARRAY, pipeline(chance, id)),
        18 => (kind::DOCUMENT, base(chance, id)),
        _ => {
            // Every element of an array at once.
            let all = format!("{}.$[].e", path(chance, &["c", "d"]).0);
            let inc = doc(|w| w.push_i32(all.as_bytes(), 1));
            (kind::DOCUMENT, doc(|w| w.push_doc(b"$inc", &inc)))
        }
    }
}

fn operators(chance: &mut Chance) -> Vec<u8> {
    let count = 1 + chance.below(3);
    doc(|w| {
        let mut used: Vec<&str> = Vec::new();
        for _ in 0..count {
            let (operator, argument) = operator(chance);
            if !used.contains(&operator) {
                used.push(operator);
                w.push_doc(operator.as_bytes(), &argument);
            }
        }
    })
}

fn operator(chance: &mut Chance) -> (&'static str, Vec<u8>) {
    match chance.below(14) {
        0..=3 => ("$set", set(chance, false)),
        4 | 5 => ("$unset", argument(chance, &NAMES, |_| (kind::STRING, string("")))),
        6 => (chance.pick(&["$inc", "$mul", "$min", "$max"]), argument(chance, &["e"], number)),
        7..=9 => ("$push", argument(chance, &["c", "d"], pushed)),
        10 => {
            let argument = argument(chance, &["c", "d"], |chance| {
                let (kind, bytes) = number(chance);
                let above = |w: &mut Writer| w.push_raw(kind, b"$gt", &bytes);
                (kind::DOCUMENT, doc(above))
            });
            ("$pull", argument)
        }
        11 => {
            let one = |chance: &mut Chance| {
                (kind::INT32, chance.pick(&[1i32, -1]).to_le_bytes().to_vec())
            };
            ("$pop", argument(chance, &["c", "d"], one))
        }
        12 => {
            let new = |chance: &mut Chance| (kind::STRING, string(&path(chance, &NAMES).0));
            ("$rename", argument(chance, &NAMES, new))
        }
        _ => ("$addToSet", argument(chance, &["c", "d"], number)),
    }
}

fn argument(
    chance: &mut Chance,
    last: &[&'static str],
    make: impl Fn(&mut Chance) -> Value,
) -> Vec<u8> {
    let (path, _) = path(chance, last);
    let (kind, bytes) = make(chance);
    doc(|w| w.push_raw(kind, path.as_bytes(), &bytes))
}

/// Up to three paths with values; places in arrays and new fields among them.
fn set(chance: &mut Chance, literal: bool) -> Vec<u8> {
    let count = 1 + chance.below(3);
    doc(|w| {
        for _ in 0..count {
            let (mut path, last) = path(chance, &NAMES);
            let mut name = last;
            if matches!(last, "c" | "d") && chance.one_in(2) {
                path += &format!(".{}", chance.below(8));
                name = "e";
            } else if chance.one_in(4) {
                path += &format!("_{}", chance.below(30));
            }
            let (kind, bytes) = value_of(chance, name, 2);
            if literal {
                let literal = doc(|w| w.push_raw(kind, b"$literal", &bytes));
                w.push_doc(path.as_bytes(), &literal);
            } else {
                w.push_raw(kind, path.as_bytes(), &bytes);
            }
        }
    })
}

fn pushed(chance: &mut Chance) -> Value {
    let (kind, bytes) = value_of(chance, "e", 2);
    if chance.one_in(2) {
        return (kind, bytes);
    }
    let mut each = ArrayWriter::new();
    (0..chance.below(4)).for_each(|_| each.push_raw(kind, &bytes));
    let each = each.finish();
    let modifiers = doc(|w| {
        w.push_array(b"$each", &each);
        if chance.one_in(2) {
            w.push_i32(b"$position", chance.below(4) as i32 - 2);
        }
        if chance.one_in(2) {
            w.push_i32(b"$slice", chance.below(9) as i32 - 4);
        }
        if chance.one_in(4) {
            w.push_i32(b"$sort", 1);
        }
    });
    (kind::DOCUMENT, modifiers)
}

fn pipeline(chance: &mut Chance, id: i64) -> Vec<u8> {
    let mut stages = Vec::new();
    for _ in 0..1 + chance.below(2) {
        stages.push(match chance.below(6) {
            0..=2 => doc(|w| w.push_doc(b"$set", &set(chance, true))),
            3 | 4 => doc(|w| w.push_str(b"$unset", path(chance, &NAMES).0)),
            _ => {
                // Some fields anew, others in another order.
                let new = doc(|w| w.push_doc(b"$literal", &doc(|w| fields(chance, w, 1))));
                let first = doc(|w| w.push_doc(b"$literal", &doc(|w| w.push_i64(b"_id", id))));
                let mut merged = ArrayWriter::new();
                if chance.one_in(2) {
                    [&first, &new].iter().for_each(|part| merged.push_doc(part));
                    merged.push_str("$$ROOT");
                } else {
                    merged.push_str("$$ROOT");
                    merged.push_doc(&new);
                }
                let merged = doc(|w| w.push_array(b"$mergeObjects", &merged.finish()));
                doc(|w| w.push_doc(b"$replaceWith", &merged))
            }
        });
    }
    array(&stages)
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), b"\0"].concat()
}

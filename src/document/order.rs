//! The server's order of values, of whatever types: the order of keys, without making any.

use std::cmp::Ordering;

use crate::{
    document::{
        Element, Elements, elements,
        key::class,
        kind, number,
        raw::{code_and_scope, pointer},
    },
    limits::DOCUMENT_DEPTH_MAX,
};

/// How the server orders two values; names don't matter. As [`id_key`] orders them, without its
/// rule for long keys. Arrays are compared as whole values, element by element.
///
/// Of malformed values the rest behind the flaw does not count; what lies deeper than
/// [`DOCUMENT_DEPTH_MAX`] is compared as bytes.
///
/// [`id_key`]: super::id_key
pub fn compare(a: &Element, b: &Element) -> Ordering {
    values(a, b, 0)
}

fn values(a: &Element, b: &Element, depth: usize) -> Ordering {
    class(a.kind).cmp(&class(b.kind)).then_with(|| bodies(a, b, depth))
}

/// Of two values of one class.
fn bodies(a: &Element, b: &Element, depth: usize) -> Ordering {
    match a.kind {
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => number::compare(a, b),
        kind::STRING | kind::SYMBOL | kind::CODE => a.as_str().cmp(&b.as_str()),
        kind::DOCUMENT => documents(a.value, b.value, depth + 1),
        kind::ARRAY => arrays(a.value, b.value, depth + 1),
        kind::BINARY => {
            let parts = |e: &Element| e.as_binary().map(|(subtype, bytes)| (bytes.len(), subtype));
            parts(a).cmp(&parts(b)).then_with(|| a.value.cmp(b.value))
        }
        kind::BOOL => a.as_bool().cmp(&b.as_bool()),
        kind::DATE => a.as_date().cmp(&b.as_date()),
        kind::TIMESTAMP => a.as_timestamp().cmp(&b.as_timestamp()),
        kind::DB_POINTER => {
            let (a, b) = (pointer(a.value), pointer(b.value));
            let length = |pointer: Option<(&[u8], &[u8])>| pointer.map(|(name, _)| name.len());
            length(a).cmp(&length(b)).then_with(|| a.cmp(&b))
        }
        kind::CODE_WITH_SCOPE => match (code_and_scope(a.value), code_and_scope(b.value)) {
            (Some((code_a, scope_a)), Some((code_b, scope_b))) => {
                code_a.cmp(code_b).then_with(|| documents(scope_a, scope_b, depth + 1))
            }
            (a, b) => a.is_some().cmp(&b.is_some()),
        },
        // Nothing, twelve bytes of an ObjectId, or a regex with the NULs of its two strings.
        _ => a.value.cmp(b.value),
    }
}

/// Field by field: type, then name, then value; the shorter first.
fn documents(a: &[u8], b: &[u8], depth: usize) -> Ordering {
    lockstep(a, b, depth, |a, b| {
        let classes = class(a.kind).cmp(&class(b.kind));
        classes.then_with(|| a.name.cmp(b.name)).then_with(|| bodies(a, b, depth))
    })
}

fn arrays(a: &[u8], b: &[u8], depth: usize) -> Ordering {
    lockstep(a, b, depth, |a, b| values(a, b, depth))
}

fn lockstep(
    a: &[u8],
    b: &[u8],
    depth: usize,
    compare: impl Fn(&Element, &Element) -> Ordering,
) -> Ordering {
    if depth > DOCUMENT_DEPTH_MAX {
        return a.cmp(b);
    }
    let sound = |doc| Elements::map_while(elements(doc), Result::ok);
    let (mut a, mut b) = (sound(a), sound(b));
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) => match compare(&a, &b) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
            (a, b) => return a.is_some().cmp(&b.is_some()),
        }
    }
}

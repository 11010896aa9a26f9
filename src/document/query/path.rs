//! Dotted paths into documents, through the arrays on the way.

use crate::document::{Element, Malformed, elements, get, kind};

/// `a.b.0`, at its dots.
#[derive(Debug, Clone)]
pub struct Path {
    parts: Vec<Vec<u8>>,
}

/// What is to be told of an array that stands at a path's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Each of its values, then the array itself.
    ArrayAndItsValues,
    /// Itself alone.
    AsItStands,
}

/// Told for everything that stands at a path, `None` for a place where nothing stands; true ends
/// it.
type Visit<'v> = dyn FnMut(Option<Element<'_>>) -> Result<bool, Malformed> + 'v;

impl Path {
    pub fn new(dotted: &[u8]) -> Path {
        Path { parts: dotted.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect() }
    }

    /// Whether `visit` says yes to anything that stands at the path. An array on the way stands
    /// for each of the documents in it, and, where the path goes on with a number, for the value
    /// at that place.
    pub fn any(&self, doc: &[u8], leaf: Leaf, visit: &mut Visit<'_>) -> Result<bool, Malformed> {
        in_document(doc, &self.parts, leaf, visit)
    }
}

fn in_document(
    doc: &[u8],
    parts: &[Vec<u8>],
    leaf: Leaf,
    visit: &mut Visit<'_>,
) -> Result<bool, Malformed> {
    let [part, rest @ ..] = parts else { return Ok(false) };
    let Some(found) = get(doc, part)? else { return visit(None) };
    match found.kind {
        kind::ARRAY => in_array(found, rest, leaf, visit),
        _ if rest.is_empty() => visit(Some(found)),
        kind::DOCUMENT => in_document(found.value, rest, leaf, visit),
        _ => visit(None),
    }
}

fn in_array(
    array: Element<'_>,
    parts: &[Vec<u8>],
    leaf: Leaf,
    visit: &mut Visit<'_>,
) -> Result<bool, Malformed> {
    let Some((part, rest)) = parts.split_first() else {
        if leaf == Leaf::ArrayAndItsValues {
            for element in elements(array.value) {
                if visit(Some(element?))? {
                    return Ok(true);
                }
            }
        }
        return visit(Some(array));
    };
    for element in elements(array.value) {
        let element = element?;
        if element.kind == kind::DOCUMENT && in_document(element.value, parts, leaf, visit)? {
            return Ok(true);
        }
        if element.name == part && at_place(element, rest, leaf, visit)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A value of an array that the path names by its place.
fn at_place(
    element: Element<'_>,
    rest: &[Vec<u8>],
    leaf: Leaf,
    visit: &mut Visit<'_>,
) -> Result<bool, Malformed> {
    match element.kind {
        _ if rest.is_empty() => visit(Some(element)),
        kind::DOCUMENT => in_document(element.value, rest, leaf, visit),
        kind::ARRAY => in_array(element, rest, leaf, visit),
        _ => Ok(false),
    }
}

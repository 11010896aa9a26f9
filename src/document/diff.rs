//! Changes as a server's log holds them since 5.0 (`$v: 2`): what a document was, made what it is.
//!
//! A diff of a document: `d: {f: false}` fields go, `u: {f: v}` fields get a value where they
//! stand, `i: {f: v}` fields go and come again at the end, `sf: diff` a diff of the field f. Fields
//! of `u` and `i` that were not there come at the end, those of `u` first.
//!
//! A diff of an array: `a: true`, `l: n` its new length, `uN: v` and `sN: diff` for a place. What
//! is missing before a place, or up to the new length, is null.
//!
//! A diff for a value of the other kind, or of neither, makes null of it, as the server does.

use hashbrown::{HashMap, HashSet};

use crate::{
    document::{ArrayWriter, Element, Malformed, Writer, elements, kind},
    limits::{DOCUMENT_DEPTH_MAX, DOCUMENT_MAX_BYTES},
};

/// Why a change could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a change has the section {name:?}, which this program does not know")]
    UnknownSection { name: String },
    #[error("a change has a section {name:?} that is not what it should be")]
    WrongSection { name: String },
    #[error("a change speaks of {name:?} twice")]
    Twice { name: String },
    #[error("a change would make a document larger than {DOCUMENT_MAX_BYTES} bytes")]
    TooLarge,
}

impl DiffError {
    /// Whether the change is whole, and of a form that only others know; the document itself has
    /// to be asked for.
    pub fn is_unknown_form(&self) -> bool {
        use DiffError::{Twice, UnknownSection, WrongSection};
        matches!(self, UnknownSection { .. } | WrongSection { .. } | Twice { .. })
    }
}

/// The document that `diff` (the field of that name in an entry of the log) makes of `base`.
///
/// # Errors
/// One of the two is malformed, or the diff is of a kind that is not known: the document then has
/// to be fetched.
pub fn apply_diff(base: &[u8], diff: &[u8]) -> Result<Vec<u8>, DiffError> {
    object(base, &ObjectDiff::read(diff)?, 1)
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Delete,
    Update(Element<'a>),
    Insert,
    Sub(&'a [u8]),
}

struct ObjectDiff<'a> {
    changes: HashMap<&'a [u8], Change<'a>>,
    updates: Vec<Element<'a>>,
    inserts: Vec<Element<'a>>,
}

struct ArrayDiff<'a> {
    length: Option<usize>,
    /// By their places, ascending.
    changes: Vec<(usize, Change<'a>)>,
}

impl<'a> ObjectDiff<'a> {
    fn read(diff: &'a [u8]) -> Result<Self, DiffError> {
        let (changes, updates, inserts) = Default::default();
        let mut read = ObjectDiff { changes, updates, inserts };
        for section in elements(diff) {
            let section = section?;
            let inner = section.as_doc().filter(|_| section.kind == kind::DOCUMENT);
            let wrong = || DiffError::WrongSection { name: readable(section.name) };
            match section.name {
                b"d" | b"u" | b"i" => read.fields(section.name, inner.ok_or_else(wrong)?)?,
                [b's', name @ ..] => read.change(name, Change::Sub(inner.ok_or_else(wrong)?))?,
                other => return Err(DiffError::UnknownSection { name: readable(other) }),
            }
        }
        Ok(read)
    }

    fn fields(&mut self, section: &[u8], fields: &'a [u8]) -> Result<(), DiffError> {
        for field in elements(fields) {
            let field = field?;
            let change = match section {
                b"d" => Change::Delete,
                b"u" => {
                    self.updates.push(field);
                    Change::Update(field)
                }
                _ => {
                    self.inserts.push(field);
                    Change::Insert
                }
            };
            self.change(field.name, change)?;
        }
        Ok(())
    }

    fn change(&mut self, name: &'a [u8], change: Change<'a>) -> Result<(), DiffError> {
        match self.changes.insert(name, change) {
            Some(_) => Err(DiffError::Twice { name: readable(name) }),
            None => Ok(()),
        }
    }
}

impl<'a> ArrayDiff<'a> {
    fn read(diff: &'a [u8]) -> Result<Self, DiffError> {
        let mut read = ArrayDiff { length: None, changes: Vec::new() };
        for section in elements(diff) {
            let section = section?;
            let wrong = || DiffError::WrongSection { name: readable(section.name) };
            match section.name {
                b"a" => {}
                b"l" => {
                    let length = section.as_i64().and_then(|length| usize::try_from(length).ok());
                    read.length = Some(length.ok_or_else(wrong)?);
                }
                [b'u', place @ ..] => {
                    let place = array_place(place).ok_or_else(wrong)?;
                    read.changes.push((place, Change::Update(section)));
                }
                [b's', place @ ..] => {
                    let place = array_place(place).ok_or_else(wrong)?;
                    let inner = section.as_doc().ok_or_else(wrong)?;
                    read.changes.push((place, Change::Sub(inner)));
                }
                other => return Err(DiffError::UnknownSection { name: readable(other) }),
            }
        }
        read.changes.sort_by_key(|(place, _)| *place);
        match read.changes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(DiffError::Twice { name: pair[0].0.to_string() }),
            None => Ok(read),
        }
    }
}

fn object(base: &[u8], diff: &ObjectDiff, depth: usize) -> Result<Vec<u8>, DiffError> {
    let mut out = Writer::new();
    let mut updated = HashSet::new();
    for field in elements(base) {
        let field = field?;
        match diff.changes.get(field.name) {
            None => out.push(&field),
            Some(Change::Delete | Change::Insert) => {}
            Some(Change::Update(new)) => {
                updated.insert(field.name);
                out.push(new);
            }
            Some(Change::Sub(sub)) => {
                let (kind, value) = changed(&field, sub, depth)?;
                out.push_raw(kind, field.name, &value);
            }
        }
        bounded(out.len())?;
    }
    let new = diff.updates.iter().filter(|update| !updated.contains(update.name));
    for field in new.chain(&diff.inserts) {
        out.push(field);
        bounded(out.len())?;
    }
    Ok(out.finish())
}

fn array(base: &[u8], diff: &ArrayDiff, depth: usize) -> Result<Vec<u8>, DiffError> {
    let mut out = ArrayWriter::new();
    let mut changes = diff.changes.iter().peekable();
    for value in elements(base) {
        let value = value?;
        if diff.length.is_some_and(|length| out.count() >= length) {
            break;
        }
        match changes.next_if(|(place, _)| *place == out.count()) {
            Some((_, Change::Update(new))) => out.push_raw(new.kind, new.value),
            Some((_, Change::Sub(sub))) => {
                let (kind, value) = changed(&value, sub, depth)?;
                out.push_raw(kind, &value);
            }
            _ => out.push_raw(value.kind, value.value),
        }
        bounded(out.bytes())?;
    }
    for (place, change) in changes {
        fill(&mut out, *place)?;
        match change {
            Change::Update(new) => out.push_raw(new.kind, new.value),
            // The value it was made for is gone meanwhile.
            _ => out.push_raw(kind::NULL, &[]),
        }
        bounded(out.bytes())?;
    }
    fill(&mut out, diff.length.unwrap_or(0))?;
    Ok(out.finish())
}

/// Nulls up to that length.
pub(super) fn fill(out: &mut ArrayWriter, length: usize) -> Result<(), DiffError> {
    while out.count() < length {
        out.push_raw(kind::NULL, &[]);
        bounded(out.bytes())?;
    }
    Ok(())
}

/// What a diff makes of a value.
fn changed(base: &Element, diff: &[u8], depth: usize) -> Result<(u8, Vec<u8>), DiffError> {
    if depth >= DOCUMENT_DEPTH_MAX {
        return Err(Malformed::TooDeep.into());
    }
    let first = elements(diff).next().transpose()?;
    let of_array = first.is_some_and(|first| first.name == b"a");
    Ok(match (base.kind, of_array) {
        (kind::DOCUMENT, false) => {
            (base.kind, object(base.value, &ObjectDiff::read(diff)?, depth + 1)?)
        }
        (kind::ARRAY, true) => (base.kind, array(base.value, &ArrayDiff::read(diff)?, depth + 1)?),
        _ => (kind::NULL, Vec::new()),
    })
}

/// A place in an array, as its name: digits without a zero before them.
pub(super) fn array_place(digits: &[u8]) -> Option<usize> {
    let sound = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    sound.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

pub(super) fn bounded(bytes: usize) -> Result<(), DiffError> {
    if bytes > DOCUMENT_MAX_BYTES { Err(DiffError::TooLarge) } else { Ok(()) }
}

pub(super) fn readable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use bson::{Document, bson, doc};

    use super::*;
    use crate::document::testing::one_of_each;

    fn applied(base: Document, diff: Document) -> Result<Document, DiffError> {
        let changed = apply_diff(&base.to_vec().unwrap(), &diff.to_vec().unwrap())?;
        crate::document::check(&changed).unwrap();
        Ok(Document::from_reader(&changed[..]).unwrap())
    }

    #[test]
    fn fields_go_change_and_come_in_their_order() {
        let base = doc! { "_id": 1, "a": 1, "b": 2, "c": 3, "d": { "x": 1, "y": 2 } };
        let diff = doc! {
            "d": { "a": false },
            "u": { "new": 0, "b": "two" },
            "i": { "c": "last", "newest": 1 },
            "sd": { "d": { "x": false }, "i": { "z": 3 } },
        };
        let expected = doc! {
            "_id": 1, "b": "two", "d": { "y": 2, "z": 3 }, "new": 0, "c": "last", "newest": 1,
        };
        assert_eq!(applied(base, diff).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn arrays_change_in_places_shrink_and_grow() {
        let base = || doc! { "a": [1, 2, { "x": 1 }, [5]] };
        let array = |diff: Document| applied(base(), doc! { "sa": diff }).map(|d| d["a"].clone());
        let changed = array(doc! { "a": true, "u0": "new", "s2": { "u": { "x": 2 } } });
        assert_eq!(changed.unwrap(), bson!(["new", 2, { "x": 2 }, [5]]));
        let deeper = array(doc! { "a": true, "s3": { "a": true, "u1": 6 } });
        assert_eq!(deeper.unwrap(), bson!([1, 2, { "x": 1 }, [5, 6]]));
        assert_eq!(array(doc! { "a": true, "l": 1 }).unwrap(), bson!([1]));
        assert_eq!(array(doc! { "a": true, "l": 0 }).unwrap(), bson!([]));
        let grown = array(doc! { "a": true, "l": 7, "u5": 5 });
        assert_eq!(grown.unwrap(), bson!([1, 2, { "x": 1 }, [5], null, 5, null]));
    }

    #[test]
    fn a_diff_for_another_kind_of_value_makes_null() {
        let base = doc! { "a": [1], "d": {}, "n": 1 };
        let diff = doc! {
            "sa": { "u": { "x": 1 } }, "sd": { "a": true, "u0": 1 }, "sn": { "u": { "x": 1 } },
            "snone": { "u": { "x": 1 } },
        };
        let expected = doc! { "a": null, "d": null, "n": null };
        assert_eq!(applied(base, diff).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        let refused = |diff| applied(doc! { "a": [1] }, diff).unwrap_err();
        let unknown = |name: &str| DiffError::UnknownSection { name: name.into() };
        assert_eq!(refused(doc! { "b": { "a": 1 } }), unknown("b"));
        assert_eq!(refused(doc! { "bdata": 1 }), unknown("bdata"));
        assert_eq!(refused(doc! { "sa": { "a": true, "x": 1 } }), unknown("x"));
        let wrong = |name: &str| DiffError::WrongSection { name: name.into() };
        assert_eq!(refused(doc! { "u": 1 }), wrong("u"));
        assert_eq!(refused(doc! { "sa": [1] }), wrong("sa"));
        assert_eq!(refused(doc! { "sa": { "a": true, "u": 1 } }), wrong("u"));
        assert_eq!(refused(doc! { "sa": { "a": true, "u01": 1 } }), wrong("u01"));
        assert_eq!(refused(doc! { "sa": { "a": true, "l": -1 } }), wrong("l"));
        let twice = doc! { "d": { "a": false }, "u": { "a": 1 } };
        assert_eq!(refused(twice), DiffError::Twice { name: "a".into() });
        let endless = doc! { "sa": { "a": true, "l": i64::MAX } };
        assert_eq!(refused(endless), DiffError::TooLarge);
    }

    #[test]
    fn fields_that_are_not_spoken_of_stay_to_the_byte() {
        let base = one_of_each();
        assert_eq!(apply_diff(&base, &Writer::new().finish()).unwrap(), base);
        let diff = doc! { "i": { "new": 1 } }.to_vec().unwrap();
        let changed = apply_diff(&base, &diff).unwrap();
        assert_eq!(changed[4..base.len() - 1], base[4..base.len() - 1]);
        assert_eq!(changed.len(), base.len() + 9);
    }

    #[test]
    fn every_cut_is_an_error() {
        let diff = doc! { "u": { "a": 1 }, "sb": { "a": true, "u0": { "c": 1 } } };
        let (base, diff) = (doc! { "b": [1] }.to_vec().unwrap(), diff.to_vec().unwrap());
        for length in 0..diff.len() {
            assert!(apply_diff(&base, &diff[..length]).is_err(), "{length}");
        }
        for length in 0..base.len() {
            assert!(apply_diff(&base[..length], &diff).is_err(), "{length}");
        }
    }
}

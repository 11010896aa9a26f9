//! Changes as a server's log holds them up to 4.4 (`$v: 1`): `$set` and `$unset` of paths.
//!
//! A path is names with dots between; in an array a name is a place. Fields that are not there come
//! at the end, with the documents above them, in the order of the entry; what `$unset` takes from
//! an array becomes null. A path that leads through a value without fields changes nothing.
//!
//! Made on the document that they were made on, they give what the server made of it, to the byte.
//! Made on a later one, as after a scan, all of them together give the same fields and values, but
//! fields that went and came again may stand in another order, which such a log does not tell.

use hashbrown::HashMap;

use crate::{
    document::{
        ArrayWriter, DiffError, Element, Malformed, Writer,
        diff::{array_place, bounded, fill, readable},
        elements, kind,
    },
    limits::DOCUMENT_DEPTH_MAX,
};

/// The document that `update` (the `o` of an entry of the log) makes of `base`. `$v` and `$set`
/// and `$unset` are known.
///
/// # Errors
/// One of the two is malformed, or the update holds another operator, or two that contradict.
pub fn apply_modifiers(base: &[u8], update: &[u8]) -> Result<Vec<u8>, DiffError> {
    let mut changes = Changes::default();
    for operator in elements(update) {
        let operator = operator?;
        let fields = operator.as_doc().filter(|_| operator.kind == kind::DOCUMENT);
        let wrong = || DiffError::WrongSection { name: readable(operator.name) };
        match operator.name {
            b"$v" => {}
            b"$set" | b"$unset" => {
                for field in elements(fields.ok_or_else(wrong)?) {
                    let field = field?;
                    let set = operator.name == b"$set";
                    let leaf = if set { Change::Set(field) } else { Change::Unset };
                    changes.insert(field.name, leaf)?;
                }
            }
            other => return Err(DiffError::UnknownSection { name: readable(other) }),
        }
    }
    document(base, &changes)
}

/// What becomes of the fields of one document.
#[derive(Default)]
struct Changes<'a> {
    places: HashMap<&'a [u8], usize>,
    /// In the order in which the update speaks of them first.
    fields: Vec<(&'a [u8], Change<'a>)>,
}

enum Change<'a> {
    Set(Element<'a>),
    Unset,
    Within(Changes<'a>),
}

impl<'a> Changes<'a> {
    fn insert(&mut self, path: &'a [u8], leaf: Change<'a>) -> Result<(), DiffError> {
        let twice = || DiffError::Twice { name: readable(path) };
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'.').collect();
        if names.len() > DOCUMENT_DEPTH_MAX {
            return Err(Malformed::TooDeep.into());
        }
        let last = names.pop().expect("a split gives one part at least");
        let mut within = self;
        for name in names {
            let place = within.place_of(name, || Change::Within(Changes::default()));
            within = match &mut within.fields[place].1 {
                Change::Within(deeper) => deeper,
                _ => return Err(twice()),
            };
        }
        let before = within.fields.len();
        if within.place_of(last, || leaf) < before {
            return Err(twice());
        }
        Ok(())
    }

    fn place_of(&mut self, name: &'a [u8], make: impl FnOnce() -> Change<'a>) -> usize {
        *self.places.entry(name).or_insert_with(|| {
            self.fields.push((name, make()));
            self.fields.len() - 1
        })
    }
}

fn document(base: &[u8], changes: &Changes) -> Result<Vec<u8>, DiffError> {
    let mut out = Writer::new();
    let mut met = vec![false; changes.fields.len()];
    for field in elements(base) {
        let field = field?;
        // Of fields with the same name the server changes the first.
        let place = changes.places.get(field.name).copied().filter(|place| !met[*place]);
        match place.map(|place| &changes.fields[place].1) {
            None => out.push(&field),
            Some(Change::Set(new)) => out.push_raw(new.kind, field.name, new.value),
            Some(Change::Unset) => {}
            Some(Change::Within(deeper)) => {
                match inside(&field, deeper)? {
                    Some(value) => out.push_raw(field.kind, field.name, &value),
                    None => out.push(&field),
                };
            }
        }
        if let Some(place) = place {
            met[place] = true;
        }
        bounded(out.len())?;
    }
    for ((name, change), _) in changes.fields.iter().zip(met).filter(|(_, met)| !met) {
        if let Some((kind, value)) = made(change)? {
            out.push_raw(kind, name, &value);
        }
        bounded(out.len())?;
    }
    Ok(out.finish())
}

/// A document or an array, changed; `None` for values without fields.
fn inside(field: &Element, changes: &Changes) -> Result<Option<Vec<u8>>, DiffError> {
    Ok(match field.kind {
        kind::DOCUMENT => Some(document(field.value, changes)?),
        kind::ARRAY => Some(array(field.value, changes)?),
        _ => None,
    })
}

fn array(base: &[u8], changes: &Changes) -> Result<Vec<u8>, DiffError> {
    let named = changes.fields.iter().filter_map(|(name, c)| Some((array_place(name)?, c)));
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|(place, _)| *place);
    let mut named = named.into_iter().peekable();
    let mut out = ArrayWriter::new();
    for value in elements(base) {
        let value = value?;
        match named.next_if(|(place, _)| *place == out.count()).map(|(_, change)| change) {
            None => out.push_raw(value.kind, value.value),
            Some(Change::Set(new)) => out.push_raw(new.kind, new.value),
            Some(Change::Unset) => out.push_raw(kind::NULL, &[]),
            Some(Change::Within(deeper)) => match inside(&value, deeper)? {
                Some(changed) => out.push_raw(value.kind, &changed),
                None => out.push_raw(value.kind, value.value),
            },
        }
        bounded(out.bytes())?;
    }
    for (place, change) in named {
        if let Some((kind, value)) = made(change)? {
            fill(&mut out, place)?;
            out.push_raw(kind, &value);
        }
        bounded(out.bytes())?;
    }
    Ok(out.finish())
}

/// What stands in a place where nothing was; `None` if nothing is set there.
fn made(change: &Change) -> Result<Option<(u8, Vec<u8>)>, DiffError> {
    Ok(match change {
        Change::Set(new) => Some((new.kind, new.value.to_vec())),
        Change::Unset => None,
        Change::Within(deeper) if deeper.sets() => {
            Some((kind::DOCUMENT, document(&Writer::new().finish(), deeper)?))
        }
        Change::Within(_) => None,
    })
}

impl Changes<'_> {
    /// Whether anything is set, here or deeper.
    fn sets(&self) -> bool {
        self.fields.iter().any(|(_, change)| match change {
            Change::Set(_) => true,
            Change::Unset => false,
            Change::Within(deeper) => deeper.sets(),
        })
    }
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;
    use crate::document::testing::one_of_each;

    fn applied(base: Document, update: Document) -> Result<Document, DiffError> {
        let changed = apply_modifiers(&base.to_vec().unwrap(), &update.to_vec().unwrap())?;
        crate::document::check(&changed).unwrap();
        Ok(Document::from_reader(&changed[..]).unwrap())
    }

    #[test]
    fn paths_are_set_and_unset() {
        let base = doc! { "_id": 1, "a": { "x": 1, "y": 2 }, "b": 1, "c": [1, { "z": 1 }] };
        let update = doc! {
            "$v": 1,
            "$set": { "a.x": "new", "c.1.z": 2, "c.3": 4, "e.f.0": 1, "new": true },
            "$unset": { "a.y": true, "b": true, "none.at.all": true, "c.0": true },
        };
        let expected = doc! {
            "_id": 1, "a": { "x": "new" }, "c": [null, { "z": 2 }, null, 4],
            "e": { "f": { "0": 1 } }, "new": true,
        };
        assert_eq!(applied(base, update).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn a_path_through_a_value_without_fields_changes_nothing() {
        let base = || doc! { "a": 1, "b": [1, 2] };
        for path in ["a.x", "a.x.y", "b.x", "b.0.x", "b.01"] {
            let set = doc! { "$set": { path: 1 } };
            assert_eq!(applied(base(), set).unwrap(), base(), "{path}");
            let unset = doc! { "$unset": { path: true } };
            assert_eq!(applied(base(), unset).unwrap(), base(), "{path}");
        }
        let beyond = applied(base(), doc! { "$unset": { "b.7": true } }).unwrap();
        assert_eq!(beyond, base());
    }

    #[test]
    fn what_contradicts_or_is_not_known_is_refused() {
        let refused = |update| applied(doc! {}, update).unwrap_err();
        let twice = |name: &str| DiffError::Twice { name: name.into() };
        assert_eq!(refused(doc! { "$set": { "a": 1, "a.b": 1 } }), twice("a.b"));
        assert_eq!(refused(doc! { "$set": { "a.b": 1, "a": 1 } }), twice("a"));
        assert_eq!(refused(doc! { "$set": { "a": 1 }, "$unset": { "a": 1 } }), twice("a"));
        let unknown = DiffError::UnknownSection { name: "$inc".into() };
        assert_eq!(refused(doc! { "$inc": { "a": 1 } }), unknown);
        let wrong = DiffError::WrongSection { name: "$set".into() };
        assert_eq!(refused(doc! { "$set": 1 }), wrong);
        let deep = "a.".repeat(DOCUMENT_DEPTH_MAX) + "a";
        let deep = refused(doc! { "$set": { deep: 1 } });
        assert_eq!(deep, DiffError::Malformed(Malformed::TooDeep));
        let far = applied(doc! { "a": [] }, doc! { "$set": { "a.123456789012": 1 } });
        assert_eq!(far, Err(DiffError::TooLarge));
    }

    #[test]
    fn of_fields_with_one_name_the_first_is_changed() {
        let base = one_of_each();
        let update = doc! { "$set": { "int32": 7 } }.to_vec().unwrap();
        let changed = apply_modifiers(&base, &update).unwrap();
        let values = |doc: &[u8]| -> Vec<i64> {
            let all = elements(doc).map(Result::unwrap).filter(|e| e.name == b"int32");
            all.map(|e| e.as_i64().unwrap()).collect()
        };
        assert_eq!(values(&base), [i64::from(i32::MIN), 2]);
        assert_eq!(values(&changed), [7, 2]);
        assert_eq!(changed.len(), base.len());
    }
}

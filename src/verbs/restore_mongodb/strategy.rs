//! What becomes of a document that stands on both sides and differs.

use bytes::Bytes;
use hashbrown::HashSet;

use crate::{
    document::{Element, Malformed, Writer, compare, elements, get, id_key_into, kind},
    limits::DOCUMENT_DEPTH_MAX,
};

/// What becomes of documents that are there and differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// They stay, and are told as conflicts.
    #[default]
    Fail,
    /// They stay.
    Skip,
    Overwrite,
    /// The one whose field is greater wins.
    Newest,
    /// Field by field.
    Merge,
}

/// Whose field wins where both have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winner {
    #[default]
    Live,
    Snapshot,
}

#[derive(Debug, Clone, Default)]
pub struct Strategy {
    pub conflict: Conflict,
    /// For `Newest`: a field, with dots into documents.
    pub newest_by: String,
    pub winner: Winner,
    /// Which fields make two documents the same one; empty: `_id`.
    pub match_on: Vec<String>,
}

/// What is to be done with one document of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// The live one becomes this.
    Overwrite(Bytes),
    Merge(Bytes),
    Skip,
    Conflict(&'static str),
}

impl Strategy {
    /// `ours` is the snapshot's.
    pub(super) fn judge(&self, ours: &Bytes, theirs: &[u8]) -> Result<Verdict, Malformed> {
        // Matched by other fields, the live document keeps its `_id`.
        let ours = match self.match_on.is_empty() {
            true => ours.clone(),
            false => with_id_of(ours, theirs)?.into(),
        };
        if ours[..] == theirs[..] {
            return Ok(Verdict::Equal);
        }
        Ok(match self.conflict {
            Conflict::Fail => Verdict::Conflict("it exists and differs"),
            Conflict::Skip => Verdict::Skip,
            Conflict::Overwrite => Verdict::Overwrite(ours),
            Conflict::Newest => self.newest(ours, theirs)?,
            Conflict::Merge => {
                let merged = match self.winner {
                    Winner::Live => merge(theirs, &ours, false)?,
                    Winner::Snapshot => merge(theirs, &ours, true)?,
                };
                // Nothing that one of them lacks: the other order of fields is no difference.
                if merged == theirs { Verdict::Skip } else { Verdict::Merge(merged.into()) }
            }
        })
    }

    fn newest(&self, ours: Bytes, theirs: &[u8]) -> Result<Verdict, Malformed> {
        let field = self.newest_by.as_bytes();
        let order = match (at_path(&ours, field)?, at_path(theirs, field)?) {
            (Some(ours), Some(theirs)) => Some(compare(&ours, &theirs)),
            (Some(_), None) => Some(std::cmp::Ordering::Greater),
            (None, Some(_)) => Some(std::cmp::Ordering::Less),
            (None, None) => None,
        };
        Ok(match order {
            None => Verdict::Conflict("neither has the field that says which is newer"),
            Some(order) if order.is_gt() => Verdict::Overwrite(ours),
            Some(order) if order.is_lt() => Verdict::Skip,
            Some(_) => Verdict::Conflict("it differs, and neither is newer"),
        })
    }

    /// The key by which documents are the same: of `_id`, or of the fields, where one that is
    /// missing is null, as in a unique index.
    pub(crate) fn key(&self, document: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut key = Vec::new();
        let null = Element { kind: kind::NULL, name: b"", value: &[] };
        if self.match_on.is_empty() {
            id_key_into(&mut key, &get(document, b"_id")?.unwrap_or(null))?;
        }
        for field in &self.match_on {
            let element = at_path(document, field.as_bytes())?.unwrap_or(null);
            id_key_into(&mut key, &element)?;
        }
        Ok(key)
    }
}

/// The field that a path with dots leads to, through documents only. A field with dots in its
/// name goes first.
fn at_path<'a>(document: &'a [u8], path: &[u8]) -> Result<Option<Element<'a>>, Malformed> {
    if let Some(element) = get(document, path)? {
        return Ok(Some(element));
    }
    let Some(dot) = path.iter().position(|byte| *byte == b'.') else { return Ok(None) };
    match get(document, &path[..dot])? {
        Some(inner) if inner.kind == kind::DOCUMENT => at_path(inner.value, &path[dot + 1..]),
        _ => Ok(None),
    }
}

/// `document` with the `_id` of `other`, which comes first.
fn with_id_of(document: &[u8], other: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::new();
    if let Some(id) = get(other, b"_id")? {
        writer.push(&id);
    }
    for element in elements(document) {
        let element = element?;
        if element.name != b"_id" {
            writer.push(&element);
        }
    }
    Ok(writer.finish())
}

/// The fields of `base` in their order, then what only `more` has. Where both have a document
/// under a name, those are merged alike; of other values `base`'s stays, or with `more_wins` the
/// other. `_id` is always that of `base`.
fn merge(base: &[u8], more: &[u8], more_wins: bool) -> Result<Vec<u8>, Malformed> {
    merge_within(base, more, more_wins, 0)
}

fn merge_within(
    base: &[u8],
    more: &[u8],
    more_wins: bool,
    depth: usize,
) -> Result<Vec<u8>, Malformed> {
    if depth > DOCUMENT_DEPTH_MAX {
        return Err(Malformed::TooDeep);
    }
    let mut writer = Writer::new();
    let mut seen = HashSet::new();
    for element in elements(base) {
        let element = element?;
        // Of fields of one name, only the first can be told from others.
        let other = if seen.insert(element.name) { get(more, element.name)? } else { None };
        match other {
            Some(other) if element.kind == kind::DOCUMENT && other.kind == kind::DOCUMENT => {
                let inner = merge_within(element.value, other.value, more_wins, depth + 1)?;
                writer.push_doc(element.name, &inner);
            }
            Some(other) if more_wins && !(depth == 0 && element.name == b"_id") => {
                writer.push(&other)
            }
            _ => writer.push(&element),
        }
    }
    for element in elements(more) {
        let element = element?;
        if !seen.contains(element.name) {
            writer.push(&element);
        }
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(fields: &[(&str, i32)]) -> Bytes {
        let mut writer = Writer::new();
        fields.iter().for_each(|(name, value)| writer.push_i32(name.as_bytes(), *value));
        writer.finish().into()
    }

    fn judge(strategy: &Strategy, ours: &[(&str, i32)], theirs: &[(&str, i32)]) -> Verdict {
        strategy.judge(&document(ours), &document(theirs)).unwrap()
    }

    #[test]
    fn what_is_equal_is_equal_whatever_the_strategy() {
        for conflict in [Conflict::Fail, Conflict::Overwrite, Conflict::Newest, Conflict::Merge] {
            let strategy = Strategy { conflict, ..Strategy::default() };
            let same = [("_id", 1), ("a", 2)];
            assert_eq!(judge(&strategy, &same, &same), Verdict::Equal);
        }
    }

    #[test]
    fn the_newest_is_told_by_a_field() {
        let strategy =
            Strategy { conflict: Conflict::Newest, newest_by: "n".into(), ..Strategy::default() };
        let judge = |ours: &[(&str, i32)], theirs: &[(&str, i32)]| judge(&strategy, ours, theirs);
        let ours = [("_id", 1), ("n", 2)];
        assert_eq!(judge(&ours, &[("_id", 1), ("n", 1)]), Verdict::Overwrite(document(&ours)));
        assert_eq!(judge(&ours, &[("_id", 1), ("x", 1)]), Verdict::Overwrite(document(&ours)));
        assert_eq!(judge(&ours, &[("_id", 1), ("n", 3)]), Verdict::Skip);
        assert_eq!(judge(&[("_id", 1), ("x", 1)], &[("_id", 1), ("n", 3)]), Verdict::Skip);
        let tie = judge(&ours, &[("_id", 1), ("n", 2), ("x", 1)]);
        assert!(matches!(tie, Verdict::Conflict(_)));
        assert!(matches!(judge(&[("_id", 1), ("x", 1)], &[("_id", 1)]), Verdict::Conflict(_)));
    }

    #[test]
    fn fields_are_merged_with_a_stated_winner() {
        let mut strategy = Strategy { conflict: Conflict::Merge, ..Strategy::default() };
        let (ours, theirs) = ([("_id", 1), ("a", 1), ("b", 1)], [("_id", 1), ("c", 2), ("a", 2)]);
        let live = document(&[("_id", 1), ("c", 2), ("a", 2), ("b", 1)]);
        assert_eq!(judge(&strategy, &ours, &theirs), Verdict::Merge(live));
        strategy.winner = Winner::Snapshot;
        let snapshot = document(&[("_id", 1), ("c", 2), ("a", 1), ("b", 1)]);
        assert_eq!(judge(&strategy, &ours, &theirs), Verdict::Merge(snapshot.clone()));
        // And again: nothing is left to do.
        assert_eq!(strategy.judge(&document(&ours), &snapshot).unwrap(), Verdict::Skip);
    }

    #[test]
    fn documents_within_are_merged_and_arrays_are_values() {
        let nested = |name: &str, kind: u8, inner: &[(&str, i32)]| {
            let mut writer = Writer::new();
            writer.push_raw(kind, name.as_bytes(), &document(inner));
            writer.finish()
        };
        let both = |kind| {
            let base = nested("d", kind, &[("0", 1)]);
            merge(&base, &nested("d", kind, &[("0", 2), ("1", 2)]), false).unwrap()
        };
        assert_eq!(both(kind::DOCUMENT), nested("d", kind::DOCUMENT, &[("0", 1), ("1", 2)]));
        assert_eq!(both(kind::ARRAY), nested("d", kind::ARRAY, &[("0", 1)]));
    }

    #[test]
    fn documents_too_deep_in_one_another_are_not_merged() {
        let deep = |depth: usize, name: &str| {
            (0..depth).fold(document(&[(name, 1)]), |inner, _| {
                let mut writer = Writer::new();
                writer.push_doc(b"d", &inner);
                writer.finish().into()
            })
        };
        let merged = |depth| merge(&deep(depth, "a"), &deep(depth, "b"), false).map(|_| ());
        assert_eq!(merged(DOCUMENT_DEPTH_MAX), Ok(()));
        assert_eq!(merged(DOCUMENT_DEPTH_MAX + 1), Err(Malformed::TooDeep));
        assert_eq!(merged(5_000), Err(Malformed::TooDeep));
    }

    #[test]
    fn business_keys_make_documents_the_same_and_the_live_id_stays() {
        let strategy = Strategy {
            conflict: Conflict::Overwrite,
            match_on: vec!["k".into(), "l".into()],
            ..Strategy::default()
        };
        let (ours, theirs) = ([("_id", 1), ("k", 5), ("a", 1)], [("_id", 9), ("k", 5)]);
        let key = |fields: &[(&str, i32)]| strategy.key(&document(fields)).unwrap();
        assert_eq!(key(&ours), key(&theirs));
        assert_ne!(key(&ours), key(&[("k", 5), ("l", 1)]));
        let new = document(&[("_id", 9), ("k", 5), ("a", 1)]);
        assert_eq!(judge(&strategy, &ours, &theirs), Verdict::Overwrite(new));
        let mut outer = Writer::new();
        outer.push_doc(b"x", &document(&[("y", 3)]));
        let outer = outer.finish();
        assert_eq!(at_path(&outer, b"x.y").unwrap().unwrap().as_i64(), Some(3));
    }
}

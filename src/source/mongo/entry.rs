//! What one entry of the oplog says.

use crate::{
    document::{self, Element, Malformed, kind},
    format::snapshot::ClusterTime,
};

use super::{Namespace, Op, Uuid, collection::BUCKETS};

/// An entry, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A document was put, changed or deleted: the `_id` and what was done.
    Document { uuid: Option<Uuid>, id: Element<'a>, op: Op, is_insert: bool },
    /// A command on the catalogue, and what it makes or takes away.
    Catalogue { created: Option<Uuid>, dropped: Option<Uuid> },
    /// The operations of one transaction, or of a batch: each again like an entry.
    Together { operations: &'a [u8] },
    /// A transaction's part that only counts if a later entry says so.
    Pending { operations: &'a [u8] },
    /// The pending parts before it count from now on.
    Commit,
    /// Nothing that a snapshot would show.
    Nothing,
    /// An operation this version does not know.
    Unknown { what: Vec<u8>, uuid: Option<Uuid> },
}

/// The fields of an entry, or of an operation within `applyOps`, that are looked at.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    kind: &'a [u8],
    namespace: &'a [u8],
    uuid: Option<Uuid>,
    object: Option<&'a [u8]>,
    object2: Option<&'a [u8]>,
    pub time: ClusterTime,
    pub term: Option<i64>,
    /// The one before it of the same transaction.
    pub previous: Option<ClusterTime>,
}

impl<'a> Entry<'a> {
    pub fn of(bytes: &'a [u8]) -> Result<Entry<'a>, Malformed> {
        let mut entry = Entry::default();
        for element in document::elements(bytes) {
            let element = element?;
            match element.name {
                b"op" => entry.kind = element.as_str().unwrap_or(b""),
                b"ns" => entry.namespace = element.as_str().unwrap_or(b""),
                b"ui" => entry.uuid = uuid(&element),
                b"o" => entry.object = element.as_doc(),
                b"o2" => entry.object2 = element.as_doc(),
                b"ts" => entry.time = time(&element).unwrap_or_default(),
                b"t" => entry.term = element.as_i64(),
                b"prevOpTime" => entry.previous = previous(&element)?,
                _ => {}
            }
        }
        Ok(entry)
    }

    pub fn meaning(&self) -> Result<Meaning<'a>, Malformed> {
        let Some(object) = self.object else {
            return Ok(match self.kind {
                b"n" => Meaning::Nothing,
                other => self.unknown(other),
            });
        };
        match self.kind {
            b"n" => Ok(Meaning::Nothing),
            b"i" => self.on_document(object, Op::Put(object.to_vec())),
            b"d" => self.on_document(object, Op::Delete),
            b"u" => match (changes(object)?, self.object2) {
                (Some(op), Some(which)) => self.on_document(which, op),
                _ => Ok(self.unknown(b"u")),
            },
            b"c" => self.command(object),
            other => Ok(self.unknown(other)),
        }
    }

    /// The collections that a command on the catalogue is about; none if that can't be told, or
    /// if it is about a whole database.
    pub fn subjects(&self) -> Result<Option<Vec<Namespace>>, Malformed> {
        let Some(object) = self.object else { return Ok(None) };
        let Some(first) = document::elements(object).next().transpose()? else { return Ok(None) };
        let text = |element: &Element<'a>| {
            element.as_str().and_then(|text| std::str::from_utf8(text).ok())
        };
        let namespaces = match first.name {
            b"renameCollection" => {
                let to = document::get(object, b"to")?;
                [Some(first), to].map(|name| Namespace::parse(text(&name?)?))
            }
            _ => {
                let db = std::str::from_utf8(self.namespace).ok();
                let db = db.and_then(|namespace| namespace.strip_suffix(".$cmd"));
                let name = text(&first).map(|name| name.strip_prefix(BUCKETS).unwrap_or(name));
                let subject = db.zip(name).map(|(db, name)| Namespace::new(db, name));
                [subject.clone(), subject]
            }
        };
        Ok(namespaces.into_iter().collect())
    }

    /// Whether it is about what a database keeps its views in.
    pub fn is_of_views(&self) -> bool {
        self.namespace.ends_with(b".system.views")
    }

    fn on_document(&self, which: &'a [u8], op: Op) -> Result<Meaning<'a>, Malformed> {
        Ok(match document::get(which, b"_id")? {
            Some(id) => Meaning::Document { uuid: self.uuid, id, op, is_insert: self.kind == b"i" },
            None => self.unknown(self.kind),
        })
    }

    fn unknown(&self, what: &[u8]) -> Meaning<'a> {
        Meaning::Unknown { what: what.to_vec(), uuid: self.uuid }
    }

    fn command(&self, object: &'a [u8]) -> Result<Meaning<'a>, Malformed> {
        let Some(first) = document::elements(object).next().transpose()? else {
            return Ok(self.unknown(b"c"));
        };
        Ok(match first.name {
            b"applyOps" => match first.as_doc() {
                Some(operations)
                    if is_set(object, b"partialTxn")? || is_set(object, b"prepare")? =>
                {
                    Meaning::Pending { operations }
                }
                Some(operations) => Meaning::Together { operations },
                None => self.unknown(b"applyOps"),
            },
            b"commitTransaction" => Meaning::Commit,
            b"abortTransaction" | b"dbCheck" => Meaning::Nothing,
            // The documents of a collection that is dropped are no longer asked for; the others
            // leave documents as they are.
            b"create" | b"drop" | b"dropDatabase" | b"renameCollection" | b"collMod"
            | b"createIndexes" | b"startIndexBuild" | b"commitIndexBuild" | b"abortIndexBuild"
            | b"dropIndexes" | b"deleteIndexes" => {
                let target = document::get(object, b"dropTarget")?;
                Meaning::Catalogue {
                    created: self.uuid.filter(|_| first.name == b"create"),
                    dropped: match first.name {
                        b"drop" => self.uuid,
                        _ => target.as_ref().and_then(uuid),
                    },
                }
            }
            other => self.unknown(other),
        })
    }
}

/// What an update's `o` does. A whole document begins with its `_id`, never with `$v`.
fn changes(object: &[u8]) -> Result<Option<Op>, Malformed> {
    let Some(first) = document::elements(object).next().transpose()? else {
        return Ok(Some(Op::Put(object.to_vec())));
    };
    Ok(match first.name {
        b"$v" if first.as_i64() == Some(2) => {
            let diff = document::get(object, b"diff")?;
            diff.and_then(|diff| diff.as_doc()).map(|diff| Op::Diff(diff.to_vec()))
        }
        b"$v" if first.as_i64() == Some(1) => Some(Op::Modify(object.to_vec())),
        b"$v" => None,
        b"$set" | b"$unset" => Some(Op::Modify(object.to_vec())),
        _ => Some(Op::Put(object.to_vec())),
    })
}

fn is_set(object: &[u8], name: &[u8]) -> Result<bool, Malformed> {
    Ok(document::get(object, name)?.and_then(|flag| flag.as_bool()).unwrap_or(false))
}

fn uuid(element: &Element) -> Option<Uuid> {
    match element.as_binary()? {
        (4, bytes) => bytes.try_into().ok(),
        _ => None,
    }
}

fn time(element: &Element) -> Option<ClusterTime> {
    let time = element.as_timestamp()?;
    Some(ClusterTime { seconds: (time >> 32) as u32, increment: time as u32 })
}

/// The time of a `prevOpTime`; the first of a transaction has one that is all nothing.
fn previous(element: &Element) -> Result<Option<ClusterTime>, Malformed> {
    if element.kind != kind::DOCUMENT {
        return Ok(None);
    }
    let time = document::get(element.value, b"ts")?.and_then(|element| time(&element));
    Ok(time.filter(|time| *time != ClusterTime::default()))
}

#[cfg(test)]
mod tests {
    use bson::{Binary, RawDocumentBuf, Timestamp, rawdoc, spec::BinarySubtype};

    use super::*;

    const UUID: Uuid = [7; 16];

    fn uuid() -> Binary {
        Binary { subtype: BinarySubtype::Uuid, bytes: UUID.to_vec() }
    }

    fn entry(
        kind: &str,
        object: RawDocumentBuf,
        object2: Option<RawDocumentBuf>,
    ) -> RawDocumentBuf {
        let time = Timestamp { time: 5, increment: 2 };
        let mut entry = rawdoc! {
            "op": kind, "ns": "shop.$cmd", "ui": uuid(), "ts": time, "t": 3_i64, "o": object,
        };
        if let Some(object2) = object2 {
            entry.append(bson::cstr!("o2"), object2);
        }
        entry
    }

    /// What is done to the document `_id: 1`.
    fn op(entry: &RawDocumentBuf) -> (Op, bool) {
        let entry = Entry::of(entry.as_bytes()).unwrap();
        assert_eq!((entry.time.seconds, entry.time.increment, entry.term), (5, 2, Some(3)));
        match entry.meaning().unwrap() {
            Meaning::Document { uuid, id, op, is_insert } => {
                assert_eq!((uuid, id.as_i64()), (Some(UUID), Some(1)));
                (op, is_insert)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_of_documents() {
        let whole = rawdoc! { "_id": 1, "a": 2 };
        let id = rawdoc! { "_id": 1 };
        let put = Op::Put(whole.clone().into_bytes());
        assert_eq!(op(&entry("i", whole.clone(), None)), (put.clone(), true));
        assert_eq!(op(&entry("u", whole, Some(id.clone()))), (put, false));
        assert_eq!(op(&entry("d", id.clone(), None)), (Op::Delete, false));
        let diff = rawdoc! { "u": { "a": 3 } };
        let update = rawdoc! { "$v": 2, "diff": diff.clone() };
        assert_eq!(op(&entry("u", update, Some(id.clone()))), (Op::Diff(diff.into_bytes()), false));
        for modifiers in
            [rawdoc! { "$v": 1, "$set": { "a": 3 } }, rawdoc! { "$unset": { "a": true } }]
        {
            let modify = Op::Modify(modifiers.clone().into_bytes());
            assert_eq!(op(&entry("u", modifiers, Some(id.clone()))), (modify, false));
        }
    }

    #[test]
    fn what_is_not_known_is_never_guessed() {
        for (kind, object) in [
            ("u", rawdoc! { "$v": 3, "patch": {} }),
            ("c", rawdoc! { "emptycapped": "log" }),
            ("ci", rawdoc! { "_id": 1 }),
            ("i", rawdoc! { "a": 1 }),
        ] {
            let entry = entry(kind, object, Some(rawdoc! { "_id": 1 }));
            let entry = Entry::of(entry.as_bytes()).unwrap();
            let meaning = entry.meaning().unwrap();
            assert!(matches!(meaning, Meaning::Unknown { uuid: Some(UUID), .. }), "{meaning:?}");
        }
    }

    #[test]
    fn transactions_and_their_parts() {
        let insert = || entry("i", rawdoc! { "_id": 1 }, None);
        let operations = || [insert()].into_iter().collect::<bson::RawArrayBuf>();
        for (object, pending) in [
            (rawdoc! { "applyOps": operations() }, false),
            (rawdoc! { "applyOps": operations(), "partialTxn": true }, true),
            (rawdoc! { "applyOps": operations(), "prepare": true }, true),
        ] {
            let entry = entry("c", object, None);
            let entry = Entry::of(entry.as_bytes()).unwrap();
            let inner = match entry.meaning().unwrap() {
                Meaning::Pending { operations } if pending => operations,
                Meaning::Together { operations } if !pending => operations,
                other => panic!("{other:?}"),
            };
            let first = document::elements(inner).next().unwrap().unwrap();
            let first = Entry::of(first.as_doc().unwrap()).unwrap();
            assert!(matches!(first.meaning().unwrap(), Meaning::Document { .. }));
        }
        let commit = entry("c", rawdoc! { "commitTransaction": 1 }, None);
        assert_eq!(Entry::of(commit.as_bytes()).unwrap().meaning().unwrap(), Meaning::Commit);
        let none = rawdoc! { "ts": Timestamp { time: 0, increment: 0 }, "t": -1_i64 };
        let first = rawdoc! { "op": "n", "o": {}, "prevOpTime": none };
        assert_eq!(Entry::of(first.as_bytes()).unwrap().previous, None);
    }

    #[test]
    fn commands_say_what_they_make_and_take_away() {
        for (object, created, dropped) in [
            (rawdoc! { "create": "a" }, true, false),
            (rawdoc! { "drop": "a" }, false, true),
            (rawdoc! { "renameCollection": "shop.b", "to": "shop.a" }, false, false),
            (rawdoc! { "renameCollection": "shop.b", "dropTarget": uuid() }, false, true),
            (rawdoc! { "renameCollection": "shop.b", "dropTarget": true }, false, false),
        ] {
            let entry = entry("c", object, None);
            let entry = Entry::of(entry.as_bytes()).unwrap();
            let (created, dropped) = (created.then_some(UUID), dropped.then_some(UUID));
            assert_eq!(entry.meaning().unwrap(), Meaning::Catalogue { created, dropped });
        }
    }

    #[test]
    fn commands_say_which_collections_they_are_about() {
        let subjects = |object: RawDocumentBuf| {
            let entry = entry("c", object, None);
            let entry = Entry::of(entry.as_bytes()).unwrap();
            assert!(matches!(entry.meaning().unwrap(), Meaning::Catalogue { .. }));
            let subjects = entry.subjects().unwrap()?;
            Some(subjects.iter().map(Namespace::to_string).collect::<Vec<_>>().join(" "))
        };
        let found = subjects(rawdoc! { "create": "a.b" });
        assert_eq!(found.as_deref(), Some("shop.a.b shop.a.b"));
        let found = subjects(rawdoc! { "collMod": "system.buckets.heat" });
        assert_eq!(found.as_deref(), Some("shop.heat shop.heat"));
        let found = subjects(rawdoc! { "renameCollection": "shop.a", "to": "farm.b" });
        assert_eq!(found.as_deref(), Some("shop.a farm.b"));
        assert_eq!(subjects(rawdoc! { "dropDatabase": 1 }), None);
    }
}

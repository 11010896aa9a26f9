//! The record of one collection in a deployment's catalogue: all that a restore needs beside the
//! documents.
//!
//! A BSON document, like what it is made of; `docs/format.md` draws it. What the server gave is
//! kept byte for byte: options and index specifications never pass through a decoder.

use super::Error;
use crate::document::{self, ArrayWriter, Element, Writer, kind};

/// The name of the tree that is a deployment's catalogue.
pub const MONGODB_ROOT: &str = "mongodb";

const UUID_SUBTYPE: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionKind {
    Collection,
    /// It has no documents of its own, so no tree.
    View,
    /// Its documents are the raw buckets.
    TimeSeries,
}

/// What orders the documents of a collection in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKeys {
    /// `document::id_key` of the `_id`.
    Id,
    /// A number that ascends in natural order, u64 big-endian: capped collections.
    Ordinal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRecord {
    pub kind: CollectionKind,
    /// The server's identity of it; for a time series, of its buckets. A view has none.
    pub uuid: Option<[u8; 16]>,
    /// A raw document, as `listCollections` gives it.
    pub options: Vec<u8>,
    /// A raw document; a view has none, nor has a collection clustered by `_id`.
    pub id_index: Option<Vec<u8>>,
    /// Raw documents, as `listIndexes` gives them, in its order.
    pub indexes: Vec<Vec<u8>>,
    pub keys: DocumentKeys,
    /// Documents in its tree, and the sum of their lengths.
    pub count: u64,
    pub bytes: u64,
}

impl CollectionRecord {
    /// The one way the record is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        writer.push_str(b"type", kind.expect("all are there").1);
        if let Some(uuid) = &self.uuid {
            writer.push_binary(b"uuid", UUID_SUBTYPE, uuid);
        }
        writer.push_doc(b"options", &self.options);
        if let Some(index) = &self.id_index {
            writer.push_doc(b"idIndex", index);
        }
        let mut indexes = ArrayWriter::new();
        for index in &self.indexes {
            indexes.push_doc(index);
        }
        writer.push_array(b"indexes", &indexes.finish());
        let keys = KEYS.iter().find(|(keys, _)| *keys == self.keys);
        writer.push_str(b"keys", keys.expect("both are there").1);
        writer.push_i64(b"count", self.count.cast_signed());
        writer.push_i64(b"bytes", self.bytes.cast_signed());
        writer.finish()
    }

    /// Reads what `encode` wrote, or what a later version adds to it: unknown fields are skipped.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        document::check(bytes).map_err(Error::CollectionRecord)?;
        let uuid = match field(bytes, "uuid")? {
            Some(element) => {
                let (subtype, uuid) = element.as_binary().ok_or(wrong("uuid"))?;
                let uuid = uuid.try_into().ok().filter(|_| subtype == UUID_SUBTYPE);
                Some(uuid.ok_or(wrong("uuid"))?)
            }
            None => None,
        };
        let id_index =
            field(bytes, "idIndex")?.map(|index| nested(&index, "idIndex")).transpose()?;
        let indexes = needed(bytes, "indexes")?;
        let indexes = indexes.as_doc().filter(|_| indexes.kind == kind::ARRAY);
        let indexes = document::elements(indexes.ok_or(wrong("indexes"))?);
        let indexes =
            indexes.map(|index| nested(&index.map_err(Error::CollectionRecord)?, "indexes"));
        Ok(CollectionRecord {
            kind: named(bytes, "type", &KINDS)?,
            uuid,
            options: nested(&needed(bytes, "options")?, "options")?,
            id_index,
            indexes: indexes.collect::<Result<_, Error>>()?,
            keys: named(bytes, "keys", &KEYS)?,
            count: number(bytes, "count")?,
            bytes: number(bytes, "bytes")?,
        })
    }
}

const KINDS: [(CollectionKind, &str); 3] = [
    (CollectionKind::Collection, "collection"),
    (CollectionKind::View, "view"),
    (CollectionKind::TimeSeries, "timeseries"),
];

const KEYS: [(DocumentKeys, &str); 2] =
    [(DocumentKeys::Id, "id"), (DocumentKeys::Ordinal, "ordinal")];

fn wrong(field: &'static str) -> Error {
    Error::CollectionField { field }
}

fn field<'a>(bytes: &'a [u8], name: &'static str) -> Result<Option<Element<'a>>, Error> {
    document::get(bytes, name.as_bytes()).map_err(Error::CollectionRecord)
}

fn needed<'a>(bytes: &'a [u8], name: &'static str) -> Result<Element<'a>, Error> {
    field(bytes, name)?.ok_or(wrong(name))
}

fn nested(element: &Element<'_>, name: &'static str) -> Result<Vec<u8>, Error> {
    let document = element.as_doc().filter(|_| element.kind == kind::DOCUMENT);
    Ok(document.ok_or(wrong(name))?.to_vec())
}

fn named<T: Copy>(bytes: &[u8], name: &'static str, of: &[(T, &str)]) -> Result<T, Error> {
    let element = needed(bytes, name)?;
    let text = element.as_str().ok_or(wrong(name))?;
    let found = of.iter().find(|(_, known)| known.as_bytes() == text);
    found.map(|(value, _)| *value).ok_or(wrong(name))
}

fn number(bytes: &[u8], name: &'static str) -> Result<u64, Error> {
    let number = needed(bytes, name)?.as_i64().ok_or(wrong(name))?;
    u64::try_from(number).map_err(|_| wrong(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.push_i32(name.as_bytes(), 1);
        writer.finish()
    }

    fn orders() -> CollectionRecord {
        CollectionRecord {
            kind: CollectionKind::Collection,
            uuid: Some(*b"0123456789abcdef"),
            options: document("capped"),
            id_index: Some(document("_id")),
            indexes: vec![document("_id"), document("\u{fc}")],
            keys: DocumentKeys::Id,
            count: 2,
            bytes: 300,
        }
    }

    fn view() -> CollectionRecord {
        CollectionRecord {
            kind: CollectionKind::View,
            uuid: None,
            id_index: None,
            indexes: Vec::new(),
            count: 0,
            bytes: 0,
            ..orders()
        }
    }

    #[test]
    fn golden() {
        // Put together by hand, after docs/format.md.
        let orders_hex = concat!(
            "c00000000274797065000b000000636f6c6c656374696f6e00057575696400100000000430313233",
            "343536373839616263646566036f7074696f6e730011000000106361707065640001000000000369",
            "64496e646578000e000000105f696400010000000004696e646578657300260000000330000e0000",
            "00105f69640001000000000331000d00000010c3bc00010000000000026b65797300030000006964",
            "0012636f756e74000200000000000000126279746573002c0100000000000000"
        );
        let view_hex = concat!(
            "67000000027479706500050000007669657700036f7074696f6e7300110000001063617070656400",
            "010000000004696e6465786573000500000000026b657973000300000069640012636f756e740000",
            "0000000000000012627974657300000000000000000000"
        );
        assert_eq!(hex::encode(orders().encode()), orders_hex);
        assert_eq!(hex::encode(view().encode()), view_hex);
    }

    #[test]
    fn what_is_written_is_read() {
        let series = CollectionRecord { kind: CollectionKind::TimeSeries, ..orders() };
        let capped = CollectionRecord { keys: DocumentKeys::Ordinal, ..orders() };
        for record in [orders(), view(), series, capped] {
            assert_eq!(CollectionRecord::decode(&record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_missing_ones_refused() {
        let whole = orders().encode();
        let elements: Vec<_> = document::elements(&whole).map(Result::unwrap).collect();
        for left_out in 0..elements.len() {
            let mut writer = Writer::new();
            writer.push_str(b"later", "version");
            for (_, element) in elements.iter().enumerate().filter(|(at, _)| *at != left_out) {
                writer.push(element);
            }
            let may_lack = matches!(elements[left_out].name, b"uuid" | b"idIndex");
            let decoded = CollectionRecord::decode(&writer.finish());
            assert_eq!(decoded.is_ok(), may_lack, "without field {left_out}");
        }
    }

    #[test]
    fn every_cut_and_every_other_type_is_refused() {
        let whole = orders().encode();
        for length in 0..whole.len() {
            assert!(CollectionRecord::decode(&whole[..length]).is_err());
        }
        let elements: Vec<_> = document::elements(&whole).map(Result::unwrap).collect();
        for changed in 0..elements.len() {
            let mut writer = Writer::new();
            for (at, element) in elements.iter().enumerate() {
                if at == changed {
                    writer.push_bool(element.name, true);
                } else {
                    writer.push(element);
                }
            }
            assert!(CollectionRecord::decode(&writer.finish()).is_err(), "field {changed}");
        }
    }
}

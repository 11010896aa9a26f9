//! Index segments: which blob lies in which pack, said again so that packs need not be read.

use bytes::Bytes;

use super::{
    Error,
    pack::{self, PackTable},
    row,
    wire::Wire,
};
use crate::{
    id::{PackId, SegmentId},
    limits::CONTROL_MAX_BYTES,
    seal::{self, ControlKind, Keys, PackSalt, Row},
};

const WHAT: &str = "an index segment";
const PACK_MIN_BYTES: usize = 32 + 32 + 8 + 4;
/// A segment is sealed under this name, since its own is the hash of what comes out.
const SEALED_AS: &str = "index";

/// The tables of some packs, perhaps instead of older segments that said the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    pub packs: Vec<PackTable>,
    /// These segments say nothing that this one does not.
    pub supersedes: Vec<SegmentId>,
}

/// What a pack's rows follow, when a segment is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHead {
    pub id: PackId,
    pub salt: PackSalt,
    pub size_bytes: u64,
    pub rows: u32,
}

/// One thing after another, as a segment is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Supersedes(SegmentId),
    Pack(PackHead),
    /// Belongs to the last `Pack`.
    Row(Row),
}

/// The bytes that a table takes in a segment: whoever fills one keeps the sum below
/// `SEGMENT_MAX_BYTES`.
pub fn table_bytes(table: &PackTable) -> usize {
    PACK_MIN_BYTES + table.rows.iter().map(row::encoded_bytes).sum::<usize>()
}

/// What a segment may hold, with room for a thousand superseded ones and the counts.
pub const SEGMENT_MAX_BYTES: usize = CONTROL_MAX_BYTES - (1000 * 32 + 8);

impl Segment {
    /// The object's bytes, and the name they give it. `salt`: fresh random bytes.
    pub fn seal(&self, keys: &Keys, salt: [u8; 32]) -> Result<(SegmentId, Bytes), Error> {
        let object = seal::seal_control(keys, ControlKind::Index, SEALED_AS, salt, &self.encode())?;
        Ok((segment_id(&object), Bytes::from(object)))
    }

    pub fn open(keys: &Keys, id: &SegmentId, object: &[u8]) -> Result<Segment, Error> {
        Segment::decode(&open_plain(keys, id, object)?)
    }

    pub fn encode(&self) -> Vec<u8> {
        let bytes: usize = self.packs.iter().map(table_bytes).sum();
        let mut out = Vec::with_capacity(8 + 32 * self.supersedes.len() + bytes);
        out.extend_from_slice(&(self.supersedes.len() as u32).to_le_bytes());
        for id in &self.supersedes {
            out.extend_from_slice(id.bytes());
        }
        out.extend_from_slice(&(self.packs.len() as u32).to_le_bytes());
        for table in &self.packs {
            out.extend_from_slice(table.id.bytes());
            out.extend_from_slice(&table.salt.0);
            out.extend_from_slice(&table.size_bytes.to_le_bytes());
            out.extend_from_slice(&(table.rows.len() as u32).to_le_bytes());
            for row in &table.rows {
                row::put(row, &mut out);
            }
        }
        out
    }

    pub fn decode(plain: &[u8]) -> Result<Segment, Error> {
        let mut segment = Segment::default();
        walk(plain, &mut |part| match part {
            Part::Supersedes(id) => segment.supersedes.push(id),
            Part::Pack(PackHead { id, salt, size_bytes, rows }) => {
                let rows = Vec::with_capacity(rows as usize);
                segment.packs.push(PackTable { id, salt, size_bytes, rows });
            }
            Part::Row(row) => {
                segment.packs.last_mut().expect("a row follows its pack").rows.push(row);
            }
        })?;
        Ok(segment)
    }
}

/// A segment's name: the hash of its object's bytes.
pub fn segment_id(object: &[u8]) -> SegmentId {
    SegmentId::new(*blake3::hash(object).as_bytes())
}

/// The plain bytes of a segment, for `walk` or `Segment::decode`.
pub fn open_plain(keys: &Keys, id: &SegmentId, object: &[u8]) -> Result<Vec<u8>, Error> {
    if segment_id(object) != *id {
        return Err(Error::WrongSegment { id: *id });
    }
    Ok(seal::open_control(keys, ControlKind::Index, SEALED_AS, object)?)
}

/// Goes over a segment without making anything of it: millions of rows in no memory. After an
/// error, what `each` was given before must be thrown away.
pub fn walk(plain: &[u8], each: &mut dyn FnMut(Part)) -> Result<(), Error> {
    let mut wire = Wire::new(WHAT, plain);
    for _ in 0..wire.count(CONTROL_MAX_BYTES, 32)? {
        each(Part::Supersedes(SegmentId::new(wire.take()?)));
    }
    for _ in 0..wire.count(CONTROL_MAX_BYTES, PACK_MIN_BYTES)? {
        let id = PackId::new(wire.take()?);
        let salt = PackSalt(wire.take()?);
        let size_bytes = wire.u64()?;
        let mut cursor = pack::Cursor::new(&mut wire, size_bytes)?;
        each(Part::Pack(PackHead { id, salt, size_bytes, rows: cursor.left as u32 }));
        while let Some(row) = cursor.next(&mut wire)? {
            each(Part::Row(row));
        }
    }
    wire.end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::{BlobId, BlobKind, RepoId},
        seal::{Codec, MasterKey},
    };

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }

    prop_compose! {
        fn any_row()(id: [u8; 32], base: [u8; 32], node: bool, codec in 0..3, len in 1u32..9000,
                     more in 0u32..9000, generation in 1u16..) -> Row {
            let kind = if node { BlobKind::Node } else { BlobKind::Chunk };
            let (codec, raw_len) = match codec {
                0 => (Codec::Raw, len),
                1 => (Codec::Zstd, len + more),
                _ => (Codec::Delta { base: BlobId::new(base), generation }, len + more),
            };
            Row { id: BlobId::new(id), kind, codec, offset: 0, stored_len: len + 16, raw_len }
        }
    }

    prop_compose! {
        fn any_table()(id: [u8; 32], salt: [u8; 32],
                       mut rows in proptest::collection::vec(any_row(), 0..20)) -> PackTable {
            let mut offset = pack::HEADER_BYTES as u32;
            for row in &mut rows {
                row.offset = offset;
                offset += row.stored_len;
            }
            let table: usize = rows.iter().map(row::encoded_bytes).sum();
            let size_bytes = u64::from(offset) + (4 + table + 16 + pack::TRAILER_BYTES) as u64;
            PackTable { id: PackId::new(id), salt: PackSalt(salt), size_bytes, rows }
        }
    }

    prop_compose! {
        fn any_segment()(packs in proptest::collection::vec(any_table(), 0..5),
                         old in proptest::collection::vec(any::<[u8; 32]>(), 0..5)) -> Segment {
            Segment { packs, supersedes: old.into_iter().map(SegmentId::new).collect() }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn segments_come_back(segment in any_segment()) {
            let plain = segment.encode();
            let tables: usize = segment.packs.iter().map(table_bytes).sum();
            prop_assert_eq!(plain.len(), 8 + 32 * segment.supersedes.len() + tables);
            prop_assert_eq!(Segment::decode(&plain).unwrap(), segment.clone());
            let (id, object) = segment.seal(&keys(), [7; 32]).unwrap();
            prop_assert_eq!(Segment::open(&keys(), &id, &object).unwrap(), segment);
            let other = SegmentId::new([0; 32]);
            let error = Segment::open(&keys(), &other, &object).unwrap_err();
            let wrong = matches!(error, Error::WrongSegment { .. });
            prop_assert!(wrong);
        }

        #[test]
        fn a_cut_segment_is_an_error(segment in any_segment(), at: prop::sample::Index) {
            let plain = segment.encode();
            prop_assert!(Segment::decode(&plain[..at.index(plain.len())]).is_err());
            prop_assert!(Segment::decode(&[&plain[..], b"x"].concat()).is_err());
        }

        #[test]
        fn no_bytes_panic(mut plain in proptest::collection::vec(any::<u8>(), 8..300)) {
            let _ = Segment::decode(&plain);
            plain[..4].fill(0);
            plain[4..8].copy_from_slice(&1u32.to_le_bytes());
            let _ = Segment::decode(&plain);
        }
    }

    #[test]
    fn cut_at_every_length_and_nothing_is_believed_of_counts() {
        let row = Row {
            id: BlobId::new([1; 32]),
            kind: BlobKind::Node,
            codec: Codec::Delta { base: BlobId::new([2; 32]), generation: 3 },
            offset: 42,
            stored_len: 50,
            raw_len: 5000,
        };
        let size_bytes = 42 + 50 + (4 + 75 + 16) + 12;
        let table = PackTable {
            id: PackId::new([3; 32]),
            salt: PackSalt([4; 32]),
            size_bytes,
            rows: vec![row],
        };
        let segment = Segment { packs: vec![table], supersedes: vec![SegmentId::new([5; 32])] };
        let plain = segment.encode();
        assert_eq!(Segment::decode(&plain).unwrap(), segment);
        for at in 0..plain.len() {
            assert!(Segment::decode(&plain[..at]).is_err(), "cut at {at}");
        }
        for count_at in [0, 36, 36 + 4 + 72] {
            let mut hostile = plain.clone();
            hostile[count_at..count_at + 4].fill(0xff);
            assert!(Segment::decode(&hostile).is_err());
        }
        for size in [size_bytes - 1, size_bytes + 1, u64::MAX] {
            let mut hostile = plain.clone();
            hostile[36 + 4 + 64..][..8].copy_from_slice(&size.to_le_bytes());
            assert!(Segment::decode(&hostile).is_err());
        }
    }
}

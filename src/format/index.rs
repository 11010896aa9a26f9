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

/// The plain bytes of a segment, for `walk`.
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

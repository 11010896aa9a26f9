//! Packs: sealed files of many blobs.
//!
//! ```text
//! "icecpack"  version u16  salt[32]   C1 .. Cn   sealed table   table length u32   "packends"
//! ```

use std::ops::Range;

use bytes::Bytes;
use hashbrown::HashSet;

pub use crate::seal::{Codec, Row};

use super::{Error, row, wire::Wire};
use crate::{
    id::{BlobId, BlobKind, PackId},
    limits::{CONTROL_MAX_BYTES, PACK_BLOBS_MAX, PACK_MAX_BYTES},
    seal::{self, FORMAT_VERSION, Keys, PackSalt, TAG_BYTES},
};

const WHAT: &str = "a pack's table";
const HEAD: [u8; 8] = *b"icecpack";
const TAIL: [u8; 8] = *b"packends";
/// Magic, version, salt.
pub const HEADER_BYTES: usize = 8 + 2 + 32;
/// Length of the sealed table, magic.
pub const TRAILER_BYTES: usize = 4 + 8;
const COUNT_BYTES: usize = 4;
const TABLE_MIN_BYTES: usize = COUNT_BYTES + TAG_BYTES;
const TABLE_MAX_BYTES: usize = TABLE_MIN_BYTES + PACK_BLOBS_MAX * row::ROW_MAX_BYTES;

const _: () = {
    // A segment of the index can hold any pack, and every offset fits in 32 bits.
    assert!(TABLE_MAX_BYTES + 1024 < CONTROL_MAX_BYTES);
    assert!(PACK_MAX_BYTES <= u32::MAX as usize);
};

/// What a pack says of itself, and what the index repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTable {
    pub id: PackId,
    pub salt: PackSalt,
    /// Of the whole file.
    pub size_bytes: u64,
    /// In the order in which the blobs lie.
    pub rows: Vec<Row>,
}

/// A pack in the making, in memory.
pub struct PackWriter {
    bytes: Vec<u8>,
    salt: PackSalt,
    rows: Vec<Row>,
    table_bytes: usize,
    seen: HashSet<BlobId>,
}

impl PackWriter {
    /// `salt` must be this pack's alone; room for `expected_bytes` is taken at once.
    pub fn new(salt: PackSalt, expected_bytes: usize) -> Self {
        let bytes = Vec::with_capacity(expected_bytes.clamp(HEADER_BYTES, PACK_MAX_BYTES));
        PackWriter::in_buffer(salt, bytes)
    }

    /// As `new`, in the room of a buffer that was used before.
    pub fn in_buffer(salt: PackSalt, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.extend_from_slice(&HEAD);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&salt.0);
        PackWriter {
            bytes,
            salt,
            rows: Vec::new(),
            table_bytes: TABLE_MIN_BYTES,
            seen: HashSet::new(),
        }
    }

    /// Seals a blob at the end of the pack: `squeezed` is `raw_len` plain bytes in `codec`.
    ///
    /// An id that is in the pack already is refused: the two would share a key.
    pub fn push(
        &mut self,
        keys: &Keys,
        id: &BlobId,
        kind: BlobKind,
        codec: Codec,
        raw_len: u32,
        squeezed: &[u8],
    ) -> Result<Row, Error> {
        let stored_len = squeezed.len() + TAG_BYTES;
        if self.rows.len() == PACK_BLOBS_MAX
            || self.size_bytes() + stored_len + row::ROW_MAX_BYTES > PACK_MAX_BYTES
        {
            return Err(Error::PackFull);
        }
        if !self.seen.insert(*id) {
            return Err(Error::Twice { id: *id });
        }
        let row = Row {
            id: *id,
            kind,
            codec,
            offset: self.bytes.len() as u32,
            stored_len: stored_len as u32,
            raw_len,
        };
        seal::seal_blob(keys, &self.salt, &row, squeezed, &mut self.bytes);
        self.table_bytes += row::encoded_bytes(&row);
        self.rows.push(row);
        Ok(row)
    }

    /// How large the pack would be, finished now.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + self.table_bytes + TRAILER_BYTES
    }

    pub fn salt(&self) -> &PackSalt {
        &self.salt
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The sealed bytes of a row of this pack, which may be opened before the pack is finished.
    pub fn sealed(&self, row: &Row) -> Option<&[u8]> {
        let start = row.offset as usize;
        self.bytes.get(start..start.checked_add(row.stored_len as usize)?)
    }

    /// The file's bytes, and its table with the id that they give it.
    pub fn finish(mut self, keys: &Keys) -> (PackTable, Bytes) {
        let mut table = Vec::with_capacity(self.table_bytes);
        table.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        for row in &self.rows {
            row::put(row, &mut table);
        }
        self.bytes.reserve_exact(self.table_bytes + TRAILER_BYTES);
        seal::seal_table(keys, &self.salt, &table, &mut self.bytes);
        self.bytes.extend_from_slice(&(self.table_bytes as u32).to_le_bytes());
        self.bytes.extend_from_slice(&TAIL);
        let bytes = Bytes::from(self.bytes);
        let table = PackTable {
            id: pack_id(&bytes),
            salt: self.salt,
            size_bytes: bytes.len() as u64,
            rows: self.rows,
        };
        (table, bytes)
    }
}

/// A pack's name: the hash of its bytes, so that anyone can check a pack without a key.
pub fn pack_id(bytes: &[u8]) -> PackId {
    PackId::new(*blake3::hash(bytes).as_bytes())
}

/// The salt, from a pack's first `HEADER_BYTES` (or more).
pub fn read_header(bytes: &[u8]) -> Result<PackSalt, Error> {
    let mut wire = Wire::new("a pack", bytes);
    if wire.take()? != HEAD {
        return Err(Error::NotAPack);
    }
    match wire.u16()? {
        FORMAT_VERSION => wire.take().map(PackSalt),
        found => Err(Error::UnknownVersion { found }),
    }
}

/// Where the sealed table lies in a pack of `size_bytes`, from its last `TRAILER_BYTES`.
pub fn table_range(size_bytes: u64, trailer: &[u8; TRAILER_BYTES]) -> Result<Range<u64>, Error> {
    let mut wire = Wire::new("a pack", trailer);
    let table_bytes = wire.u32()?;
    if wire.take()? != TAIL {
        return Err(Error::NotAPack);
    }
    if size_bytes > PACK_MAX_BYTES as u64 {
        return Err(wire.impossible("the size", size_bytes));
    }
    let good = (TABLE_MIN_BYTES..=TABLE_MAX_BYTES).contains(&(table_bytes as usize));
    let end = size_bytes.checked_sub(TRAILER_BYTES as u64);
    let start = end.and_then(|end| end.checked_sub(table_bytes.into()));
    match (start, end) {
        (Some(start), Some(end)) if good && start >= HEADER_BYTES as u64 => Ok(start..end),
        _ => Err(wire.impossible("the length of the table", table_bytes.into())),
    }
}

/// What a pack's tail told.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail {
    Table(PackTable),
    /// The table is longer than the tail that was read: these last bytes hold it.
    Longer {
        tail_bytes: u64,
    },
}

/// The table of a pack of `size_bytes`, from some bytes at its end and the salt of its header.
pub fn read_table(
    keys: &Keys,
    id: PackId,
    salt: PackSalt,
    size_bytes: u64,
    tail: &[u8],
) -> Result<Tail, Error> {
    let trailer = tail.last_chunk().ok_or(Error::Truncated { what: "a pack" })?;
    let range = table_range(size_bytes, trailer)?;
    let table_bytes = (range.end - range.start) as usize;
    let Some(start) = tail.len().checked_sub(TRAILER_BYTES + table_bytes) else {
        return Ok(Tail::Longer { tail_bytes: size_bytes - range.start });
    };
    let table = seal::open_table(keys, &salt, &tail[start..start + table_bytes])?;
    let mut wire = Wire::new(WHAT, &table);
    let rows = take_rows(&mut wire, size_bytes)?;
    wire.end()?;
    Ok(Tail::Table(PackTable { id, salt, size_bytes, rows }))
}

/// The writer's last look at a pack, before anyone else's: through the reading path, each blob is
/// opened and its id checked. A delta is opened when `base` has the plain bytes it needs, else
/// only its seal is checked.
pub fn open_pack_checked(
    keys: &Keys,
    id: PackId,
    bytes: &[u8],
    base: &mut dyn FnMut(&BlobId) -> Option<Bytes>,
) -> Result<PackTable, Error> {
    let salt = read_header(bytes)?;
    let Tail::Table(table) = read_table(keys, id, salt, bytes.len() as u64, bytes)? else {
        return Err(Error::Truncated { what: "a pack" });
    };
    let mut plain = Vec::new();
    for row in &table.rows {
        let start = row.offset as usize;
        let sealed = &bytes[start..start + row.stored_len as usize];
        match row.codec {
            Codec::Delta { base: id, .. } => match base(&id) {
                Some(base) => {
                    seal::open_blob_into(keys, &salt, row, sealed, Some(&base), &mut plain)?;
                }
                None => seal::verify_blob(keys, &salt, row, sealed)?,
            },
            _ => seal::open_blob_into(keys, &salt, row, sealed, None, &mut plain)?,
        }
    }
    Ok(table)
}

/// The rows of one pack: a count, then each, then nothing that the pack's size leaves unsaid.
pub(super) fn take_rows(wire: &mut Wire, size_bytes: u64) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut at = Cursor::new(wire, size_bytes)?;
    rows.reserve_exact(at.left);
    while let Some(row) = at.next(wire)? {
        rows.push(row);
    }
    Ok(rows)
}

/// Goes over a pack's rows one by one, and holds them against the pack's size.
pub(super) struct Cursor {
    size_bytes: u64,
    pub left: usize,
    offset: u64,
    table_bytes: u64,
}

impl Cursor {
    pub fn new(wire: &mut Wire, size_bytes: u64) -> Result<Self, Error> {
        let left = wire.count(PACK_BLOBS_MAX, row::ROW_MIN_BYTES)?;
        if size_bytes > PACK_MAX_BYTES as u64 {
            return Err(wire.impossible("the size of a pack", size_bytes));
        }
        let (offset, table_bytes) = (HEADER_BYTES as u64, TABLE_MIN_BYTES as u64);
        Ok(Cursor { size_bytes, left, offset, table_bytes })
    }

    /// `None` after the last row, when blobs and table fill the pack to the byte.
    pub fn next(&mut self, wire: &mut Wire) -> Result<Option<Row>, Error> {
        let filled = self.offset + self.table_bytes + TRAILER_BYTES as u64;
        if filled > self.size_bytes || self.left == 0 && filled != self.size_bytes {
            return Err(wire.impossible("the sum of lengths", filled));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let row = row::take(wire, self.offset as u32)?;
        self.offset += u64::from(row.stored_len);
        self.table_bytes += row::encoded_bytes(&row) as u64;
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::RepoId,
        limits::BLOB_MAX_BYTES,
        seal::{Compression, MasterKey, with_squeezer},
    };

    const SALT: PackSalt = PackSalt([3; 32]);

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }

    fn blob(number: u32) -> Vec<u8> {
        let mut bytes = format!("blob number {number} ").repeat(number as usize).into_bytes();
        bytes.extend_from_slice(blake3::hash(&number.to_le_bytes()).as_bytes());
        bytes
    }

    /// Whole chunks, whole nodes, and last a delta of the node before it.
    fn pack(blobs: u32) -> (PackTable, Bytes) {
        let keys = keys();
        let mut writer = PackWriter::new(SALT, 0);
        for number in 0..blobs {
            let plain = blob(number);
            let kind = if number % 2 == 0 { BlobKind::Chunk } else { BlobKind::Node };
            let id = keys.blob_id(kind, &plain);
            with_squeezer(|squeezer| {
                let (codec, squeezed) = squeezer.squeeze(&plain, Compression::Auto);
                writer.push(&keys, &id, kind, codec, plain.len() as u32, squeezed).unwrap();
            });
        }
        let (base, plain) = (blob(40), [blob(40), b"more".to_vec()].concat());
        let id = keys.blob_id(BlobKind::Node, &plain);
        let codec = Codec::Delta { base: keys.blob_id(BlobKind::Node, &base), generation: 1 };
        with_squeezer(|squeezer| {
            let delta = squeezer.squeeze_delta(&plain, &base, Compression::Auto).unwrap();
            writer.push(&keys, &id, BlobKind::Node, codec, plain.len() as u32, delta).unwrap();
        });
        let foreseen = writer.size_bytes();
        let (table, bytes) = writer.finish(&keys);
        assert_eq!(bytes.len(), foreseen);
        (table, bytes)
    }

    #[test]
    fn a_pack_is_read_as_it_was_written() {
        let (table, bytes) = pack(9);
        let mut asked = 0;
        let mut base = |_: &BlobId| {
            asked += 1;
            Some(Bytes::from(blob(40)))
        };
        assert_eq!(open_pack_checked(&keys(), table.id, &bytes, &mut base).unwrap(), table);
        assert_eq!(asked, 1);
        assert_eq!(open_pack_checked(&keys(), table.id, &bytes, &mut |_| None).unwrap(), table);
    }

    #[test]
    fn cut_or_changed_anywhere_a_pack_does_not_open() {
        let (table, bytes) = pack(4);
        let opens = |bytes: &[u8]| open_pack_checked(&keys(), table.id, bytes, &mut |_| None);
        for at in 0..bytes.len() {
            assert!(opens(&bytes[..at]).is_err(), "cut at {at}");
            for bit in [0, 7] {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(opens(&flipped).is_err(), "byte {at}, bit {bit}");
            }
        }
        assert!(opens(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn the_table_is_read_from_the_tail_alone() {
        let (table, bytes) = pack(9);
        let size_bytes = bytes.len() as u64;
        let salt = read_header(&bytes[..HEADER_BYTES]).unwrap();
        let read = |tail| read_table(&keys(), table.id, salt, size_bytes, tail).unwrap();
        let Tail::Longer { tail_bytes } = read(&bytes[bytes.len() - TRAILER_BYTES..]) else {
            panic!("the trailer alone holds no table");
        };
        let tail = &bytes[bytes.len() - tail_bytes as usize..];
        assert_eq!(read(tail), Tail::Table(table.clone()));
        assert_eq!(read(&tail[1..]), Tail::Longer { tail_bytes });
        assert_eq!(read(&bytes[7..]), Tail::Table(table));
    }

    #[test]
    fn no_id_lies_twice_in_a_pack() {
        let mut writer = PackWriter::new(SALT, 0);
        let id = keys().blob_id(BlobKind::Chunk, b"x");
        let mut push = || writer.push(&keys(), &id, BlobKind::Chunk, Codec::Raw, 1, b"x");
        let row = push().unwrap();
        assert!(matches!(push(), Err(Error::Twice { .. })));
        assert_eq!(writer.rows(), [row]);
        let sealed = writer.sealed(&row).unwrap();
        assert_eq!(seal::open_blob(&keys(), &SALT, &row, sealed, None).unwrap(), "x");
    }

    /// A pack with `blob_bytes` of nothing in particular and this table, properly sealed.
    fn with_table(blob_bytes: usize, plain: &[u8]) -> Result<Tail, Error> {
        let mut bytes = vec![0; HEADER_BYTES + blob_bytes];
        seal::seal_table(&keys(), &SALT, plain, &mut bytes);
        bytes.extend_from_slice(&((plain.len() + TAG_BYTES) as u32).to_le_bytes());
        bytes.extend_from_slice(&TAIL);
        read_table(&keys(), PackId::new([0; 32]), SALT, bytes.len() as u64, &bytes)
    }

    fn line(tags: u8, stored_len: u32, raw_len: u32, rest: &[u8]) -> Vec<u8> {
        [&[9; 32][..], &[tags], &stored_len.to_le_bytes(), &raw_len.to_le_bytes(), rest].concat()
    }

    #[test]
    fn a_table_that_cannot_be_is_refused() {
        let one = |line: Vec<u8>| [&1u32.to_le_bytes()[..], &line].concat();
        let base = |id: u8, generation: u16| [&[id; 32][..], &generation.to_le_bytes()].concat();
        let good = with_table(100, &one(line(0x00, 100, 84, b"")));
        assert!(matches!(good, Ok(Tail::Table(_))));
        let good = with_table(100, &one(line(0x21, 100, 5000, &base(8, 1))));
        assert!(matches!(good, Ok(Tail::Table(_))));
        let max = BLOB_MAX_BYTES as u32;
        for (what, plain) in [
            (
                "a count beyond the bytes",
                [&2u32.to_le_bytes()[..], &line(0, 100, 84, b"")].concat(),
            ),
            ("a count beyond all", [&u32::MAX.to_le_bytes()[..], &line(0, 100, 84, b"")].concat()),
            ("bytes after the end", one(line(0x00, 100, 84, b"x"))),
            ("an unknown kind", one(line(0x02, 100, 84, b""))),
            ("an unknown codec", one(line(0x30, 100, 84, b""))),
            ("a blob longer than the pack", one(line(0x00, 101, 85, b""))),
            ("a blob that leaves a gap", one(line(0x00, 99, 83, b""))),
            ("less than a tag", one(line(0x00, 15, 0, b""))),
            ("as it is, but of another length", one(line(0x00, 100, 85, b""))),
            ("squeezed to more", one(line(0x10, 100, 83, b""))),
            ("squeezed to nothing", one(line(0x10, 16, 83, b""))),
            ("too much", one(line(0x10, 100, max + 1, b""))),
            ("the most that can be written", one(line(0x10, u32::MAX, u32::MAX, b""))),
            ("a delta without a base", one(line(0x20, 100, 500, b""))),
            ("a delta of itself", one(line(0x20, 100, 500, &base(9, 1)))),
            ("a delta of no generation", one(line(0x20, 100, 500, &base(8, 0)))),
            ("no blobs, but their bytes", 0u32.to_le_bytes().to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert!(with_table(100, &plain).is_err(), "{what}");
        }
    }

    #[test]
    fn a_trailer_that_points_outside_is_refused() {
        let trailer = |length: u32| -> [u8; TRAILER_BYTES] {
            [&length.to_le_bytes()[..], &TAIL].concat().try_into().unwrap()
        };
        let smallest = HEADER_BYTES as u64 + 20 + TRAILER_BYTES as u64;
        assert_eq!(table_range(smallest, &trailer(20)).unwrap(), 42..62);
        for (size_bytes, length) in [
            (smallest - 1, 20),
            (smallest, 21),
            (smallest, 19),
            (smallest, u32::MAX),
            (0, 20),
            (11, 20),
            (PACK_MAX_BYTES as u64 + 1, 20),
            (PACK_MAX_BYTES as u64, TABLE_MAX_BYTES as u32 + 1),
            (u64::MAX, u32::MAX),
        ] {
            assert!(table_range(size_bytes, &trailer(length)).is_err(), "{size_bytes} {length}");
        }
        assert!(matches!(table_range(smallest, &[0; 12]), Err(Error::NotAPack)));
    }

    #[test]
    fn other_versions_and_strangers_are_told_apart() {
        assert!(matches!(read_header(&[b'x'; 50]), Err(Error::NotAPack)));
        let later = [&HEAD[..], &[2, 0], &[0; 32]].concat();
        assert!(matches!(read_header(&later), Err(Error::UnknownVersion { found: 2 })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_table_makes_a_reader_panic(plain in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut plain = plain;
            // Half of them get so far as to the rows.
            if plain.len() > 4 && plain[4] % 2 == 0 {
                plain[..4].copy_from_slice(&2u32.to_le_bytes());
            }
            let _ = with_table(50, &plain);
        }
    }
}

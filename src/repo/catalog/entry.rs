//! The rows of the catalog's tables, of fixed widths, told apart and checked.

use super::Scanned;
use crate::{
    id::{BlobId, BlobKind, PackId},
    seal::{Codec, PackSalt, Row},
};

/// So much of an id stands in a table: of 2^32 ids no two are equal in 128 bits (but with a chance
/// of 2^-65), and they are keyed, so nobody outside can look for two that are.
pub(super) const PREFIX_BYTES: usize = 16;
pub type Prefix = [u8; PREFIX_BYTES];

pub(super) fn prefix(id: &BlobId) -> Prefix {
    *id.bytes().first_chunk().expect("an id is longer than its prefix")
}

/// Which pack, in the order in which this cache met them.
pub type PackNumber = u32;

/// Prefix, pack, offset, stored length, raw length with kind and codec above it, check.
pub(super) const PLACE_BYTES: usize = PREFIX_BYTES + 4 * 4 + CHECK_BYTES;
/// The first bytes of the prefix, pack, offset, base, generation, check. Pack and offset say which
/// blob it is; the bytes before them spread the rows evenly.
pub(super) const DELTA_BYTES: usize = DELTA_KEY_BYTES + 32 + 2 + CHECK_BYTES;
const SPREAD_BYTES: usize = 8;
const DELTA_KEY_BYTES: usize = SPREAD_BYTES + 2 * 4;
/// Pack id, salt, size, check.
pub(super) const PACK_BYTES: usize = 32 + 32 + 8 + CHECK_BYTES;
const CHECK_BYTES: usize = 2;

const RAW_LEN_BITS: u32 = 25;
const KIND_SHIFT: u32 = RAW_LEN_BITS;
const CODEC_SHIFT: u32 = RAW_LEN_BITS + 1;

const _: () = assert!(crate::limits::BLOB_MAX_BYTES < 1 << RAW_LEN_BITS);

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodecTag {
    Raw = 0,
    Zstd = 1,
    Delta = 2,
}

/// Where a blob lies. A delta's base stands in another table, under `delta_key`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub pack: PackNumber,
    offset: u32,
    stored_len: u32,
    raw_len: u32,
    kind: BlobKind,
    codec: CodecTag,
}

impl Place {
    pub fn is_delta(&self) -> bool {
        self.codec == CodecTag::Delta
    }

    /// The row of `id`; `base` is asked for deltas only.
    pub fn row(&self, id: &BlobId, base: Option<(BlobId, u16)>) -> Option<Row> {
        let codec = match self.codec {
            CodecTag::Raw => Codec::Raw,
            CodecTag::Zstd => Codec::Zstd,
            CodecTag::Delta => {
                let (base, generation) = base?;
                Codec::Delta { base, generation }
            }
        };
        let Place { offset, stored_len, raw_len, kind, .. } = *self;
        Some(Row { id: *id, kind, codec, offset, stored_len, raw_len })
    }

    pub fn scanned(&self, prefix: Prefix) -> Scanned {
        let Place { pack: number, kind, stored_len, raw_len, .. } = *self;
        Scanned { prefix, number, kind, is_delta: self.is_delta(), stored_len, raw_len }
    }

    pub fn delta_key(&self, prefix: &Prefix) -> [u8; DELTA_KEY_BYTES] {
        delta_key(prefix, self.pack, self.offset)
    }
}

fn delta_key(prefix: &Prefix, pack: PackNumber, offset: u32) -> [u8; DELTA_KEY_BYTES] {
    let mut key = [0; DELTA_KEY_BYTES];
    key[..8].copy_from_slice(&prefix[..SPREAD_BYTES]);
    key[8..12].copy_from_slice(&pack.to_be_bytes());
    key[12..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// Big-endian throughout, so that rows sort as bytes by blob, then pack, then offset.
pub(super) fn encode_place(row: &Row, pack: PackNumber) -> [u8; PLACE_BYTES] {
    let codec = match row.codec {
        Codec::Raw => CodecTag::Raw,
        Codec::Zstd => CodecTag::Zstd,
        Codec::Delta { .. } => CodecTag::Delta,
    };
    let tagged = row.raw_len | (row.kind as u32) << KIND_SHIFT | (codec as u32) << CODEC_SHIFT;
    let mut out = [0; PLACE_BYTES];
    out[..PREFIX_BYTES].copy_from_slice(&prefix(&row.id));
    for (at, field) in [pack, row.offset, row.stored_len, tagged].into_iter().enumerate() {
        out[PREFIX_BYTES + at * 4..][..4].copy_from_slice(&field.to_be_bytes());
    }
    with_check(out)
}

/// `None`: these bytes were not written by `encode_place`.
pub(super) fn decode_place(bytes: &[u8]) -> Option<Place> {
    let body = checked(bytes)?;
    let tagged = u32_at(body, PREFIX_BYTES + 12);
    let codec = match tagged >> CODEC_SHIFT {
        0 => CodecTag::Raw,
        1 => CodecTag::Zstd,
        2 => CodecTag::Delta,
        _ => return None,
    };
    Some(Place {
        pack: u32_at(body, PREFIX_BYTES),
        offset: u32_at(body, PREFIX_BYTES + 4),
        stored_len: u32_at(body, PREFIX_BYTES + 8),
        raw_len: tagged & ((1 << RAW_LEN_BITS) - 1),
        kind: if tagged >> KIND_SHIFT & 1 == 0 { BlobKind::Chunk } else { BlobKind::Node },
        codec,
    })
}

pub(super) fn encode_delta(row: &Row, pack: PackNumber) -> Option<[u8; DELTA_BYTES]> {
    let Codec::Delta { base, generation } = row.codec else { return None };
    let mut out = [0; DELTA_BYTES];
    out[..DELTA_KEY_BYTES].copy_from_slice(&delta_key(&prefix(&row.id), pack, row.offset));
    out[DELTA_KEY_BYTES..][..32].copy_from_slice(base.bytes());
    out[DELTA_KEY_BYTES + 32..][..2].copy_from_slice(&generation.to_be_bytes());
    Some(with_check(out))
}

pub(super) fn decode_delta(bytes: &[u8]) -> Option<(BlobId, u16)> {
    let body = checked(bytes)?;
    let (base, generation) = body[DELTA_KEY_BYTES..].split_first_chunk()?;
    Some((BlobId::new(*base), u16::from_be_bytes(generation.try_into().ok()?)))
}

/// Which pack a row of either table speaks of.
pub(super) fn pack_of(row: &[u8]) -> PackNumber {
    u32_at(row, if row.len() == DELTA_BYTES { SPREAD_BYTES } else { PREFIX_BYTES })
}

/// What the catalog knows of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    pub id: PackId,
    pub salt: PackSalt,
    pub size_bytes: u64,
}

pub(super) fn encode_pack(pack: &PackInfo) -> [u8; PACK_BYTES] {
    let mut out = [0; PACK_BYTES];
    out[..32].copy_from_slice(pack.id.bytes());
    out[32..64].copy_from_slice(&pack.salt.0);
    out[64..72].copy_from_slice(&pack.size_bytes.to_be_bytes());
    with_check(out)
}

pub(super) fn decode_pack(bytes: &[u8]) -> Option<PackInfo> {
    let body = checked(bytes)?;
    Some(PackInfo {
        id: PackId::new(body[..32].try_into().ok()?),
        salt: PackSalt(body[32..64].try_into().ok()?),
        size_bytes: u64::from_be_bytes(body[64..72].try_into().ok()?),
    })
}

/// Whether a row of any table has the check that it was written with.
pub(super) fn is_whole(row: &[u8]) -> bool {
    checked(row).is_some()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn with_check<const N: usize>(mut row: [u8; N]) -> [u8; N] {
    let check = check_of(&row[..N - CHECK_BYTES]);
    row[N - CHECK_BYTES..].copy_from_slice(&check);
    row
}

fn checked(row: &[u8]) -> Option<&[u8]> {
    let (body, check) = row.split_last_chunk()?;
    (check_of(body) == *check).then_some(body)
}

/// 16 bits against rot and torn pages; a row of zeros does not have zeros as its check.
fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut sum = 0x9e37_79b9_7f4a_7c15u64;
    for part in body.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        let product = u128::from(sum ^ u64::from_le_bytes(word)) * 0xd6e8_feb8_6659_fd93_u128;
        sum = (product as u64) ^ (product >> 64) as u64 ^ 0x2545_f491_4f6c_dd1d;
    }
    ((sum >> 48) as u16 ^ (sum as u16)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: BlobKind, codec: Codec) -> Row {
        let raw_len = crate::limits::BLOB_MAX_BYTES as u32;
        Row { id: BlobId::new([7; 32]), kind, codec, offset: 42, stored_len: 99, raw_len }
    }

    #[test]
    fn rows_come_back() {
        let base = BlobId::new([8; 32]);
        for kind in [BlobKind::Chunk, BlobKind::Node] {
            for codec in [Codec::Raw, Codec::Zstd, Codec::Delta { base, generation: 515 }] {
                let row = row(kind, codec);
                let place = decode_place(&encode_place(&row, 5)).unwrap();
                assert_eq!(place.pack, 5);
                let delta = encode_delta(&row, 5);
                assert_eq!(delta.is_some(), place.is_delta());
                if let Some(delta) = delta {
                    assert_eq!(delta[..DELTA_KEY_BYTES], place.delta_key(&prefix(&row.id)));
                    assert_eq!(pack_of(&delta), 5);
                }
                let base = delta.map(|delta| decode_delta(&delta).unwrap());
                assert_eq!(place.row(&row.id, base), Some(row));
            }
        }
        let pack =
            PackInfo { id: PackId::new([1; 32]), salt: PackSalt([2; 32]), size_bytes: 1 << 40 };
        assert_eq!(decode_pack(&encode_pack(&pack)), Some(pack));
    }

    #[test]
    fn a_changed_byte_is_noticed_nearly_always() {
        let good = encode_place(&row(BlobKind::Chunk, Codec::Raw), 5);
        let passed = (0..good.len() * 8)
            .filter(|bit| {
                let mut bad = good;
                bad[bit / 8] ^= 1 << (bit % 8);
                decode_place(&bad).is_some()
            })
            .count();
        assert_eq!(passed, 0);
        assert!(decode_place(&[0; PLACE_BYTES]).is_none());
        assert!(decode_place(&[0xff; PLACE_BYTES]).is_none());
        assert!(decode_delta(&[0; DELTA_BYTES]).is_none());
        assert!(decode_pack(&[0; PACK_BYTES]).is_none());
    }
}

//! One blob's line in a pack's table, which is also its line in the index.

use super::{Error, wire::Wire};
use crate::{
    id::{BlobId, BlobKind},
    limits::BLOB_MAX_BYTES,
    seal::{Codec, Row, TAG_BYTES},
};

pub(super) const ROW_MIN_BYTES: usize = 32 + 1 + 4 + 4;
pub(super) const ROW_MAX_BYTES: usize = ROW_MIN_BYTES + 32 + 2;

/// In the byte that names kind and codec, the codec stands in the upper half.
const CODEC_SHIFT: u32 = 4;

/// Appends the row. The offset is not written: blobs lie side by side in the order of their rows.
pub(super) fn put(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(row.id.bytes());
    out.push(row.kind as u8 | row.codec.tag() << CODEC_SHIFT);
    out.extend_from_slice(&row.stored_len.to_le_bytes());
    out.extend_from_slice(&row.raw_len.to_le_bytes());
    row.codec.details(out);
}

pub(super) fn encoded_bytes(row: &Row) -> usize {
    match row.codec {
        Codec::Delta { .. } => ROW_MAX_BYTES,
        _ => ROW_MIN_BYTES,
    }
}

/// The next row, each field checked against the others and against the limits. Its blob begins at
/// `offset`, and the caller knows that `offset` is in bounds and where the blobs end.
pub(super) fn take(wire: &mut Wire, offset: u32) -> Result<Row, Error> {
    let id = BlobId::new(wire.take()?);
    let tags = wire.u8()?;
    let kind = BlobKind::try_from(tags & ((1 << CODEC_SHIFT) - 1))
        .map_err(|found| wire.impossible("a kind of blob", found.into()))?;
    let stored_len = wire.u32()?;
    let raw_len = wire.u32()?;
    let codec = match tags >> CODEC_SHIFT {
        Codec::RAW => Codec::Raw,
        Codec::ZSTD => Codec::Zstd,
        Codec::DELTA => take_delta(wire, &id)?,
        other => return Err(wire.impossible("a codec", other.into())),
    };
    if raw_len as usize > BLOB_MAX_BYTES {
        return Err(wire.impossible("a plain length", raw_len.into()));
    }
    let squeezed_len = (stored_len as usize).checked_sub(TAG_BYTES);
    let good = squeezed_len.is_some_and(|squeezed_len| match codec {
        Codec::Raw => squeezed_len == raw_len as usize,
        _ => (1..=raw_len as usize).contains(&squeezed_len),
    });
    if !good {
        return Err(wire.impossible("a stored length", stored_len.into()));
    }
    Ok(Row { id, kind, codec, offset, stored_len, raw_len })
}

fn take_delta(wire: &mut Wire, id: &BlobId) -> Result<Codec, Error> {
    let base = BlobId::new(wire.take()?);
    let generation = wire.u16()?;
    if generation == 0 || base == *id {
        return Err(wire.impossible("a generation", generation.into()));
    }
    Ok(Codec::Delta { base, generation })
}

//! Blobs, each sealed under a key of its own.

use std::cell::RefCell;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    Error, FORMAT_VERSION, Keys, PackSalt,
    aead::{self, NONCE_ZERO, TAG_BYTES},
    squeeze,
};
use crate::{
    id::{BlobId, BlobKind},
    limits::BLOB_MAX_BYTES,
};

/// How a blob's bytes are stored. No part of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
    /// One zstd frame with the plain bytes of `base` as prefix. `generation` counts the versions
    /// since the last whole one, which has 0; writers choose bases by it, readers need it only
    /// because it is bound into the seal.
    Delta { base: BlobId, generation: u16 },
}

impl Codec {
    pub const RAW: u8 = 0;
    pub const ZSTD: u8 = 1;
    pub const DELTA: u8 = 2;

    pub fn tag(&self) -> u8 {
        match self {
            Codec::Raw => Self::RAW,
            Codec::Zstd => Self::ZSTD,
            Codec::Delta { .. } => Self::DELTA,
        }
    }

    /// What follows the tag: nothing, or a delta's base and generation.
    pub fn details(&self, out: &mut Vec<u8>) {
        if let Codec::Delta { base, generation } = self {
            out.extend_from_slice(base.bytes());
            out.extend_from_slice(&generation.to_le_bytes());
        }
    }
}

/// One line of a pack's table: a blob and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub id: BlobId,
    pub kind: BlobKind,
    pub codec: Codec,
    /// From the beginning of the pack.
    pub offset: u32,
    /// As sealed, tag included.
    pub stored_len: u32,
    pub raw_len: u32,
}

/// The key of one blob in one pack in one codec: it seals one message in its life.
///
/// Whoever fills a pack must not seal one id in one codec twice into it.
fn blob_key(keys: &Keys, salt: &PackSalt, row: &Row) -> Zeroizing<[u8; 32]> {
    let purpose = match row.kind {
        BlobKind::Chunk => &keys.data,
        BlobKind::Node => &keys.node,
    };
    let mut about = Vec::with_capacity(32 + 32 + 35);
    about.extend_from_slice(&salt.0);
    about.extend_from_slice(row.id.bytes());
    about.push(row.codec.tag());
    row.codec.details(&mut about);
    Zeroizing::new(*blake3::keyed_hash(purpose, &about).as_bytes())
}

fn blob_aad(keys: &Keys, row: &Row) -> Vec<u8> {
    let mut aad = Vec::with_capacity(2 + 16 + 1 + 32 + 4 + 35);
    aad.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    aad.extend_from_slice(&keys.repo_id().0);
    aad.push(row.kind as u8);
    aad.extend_from_slice(row.id.bytes());
    aad.extend_from_slice(&row.raw_len.to_le_bytes());
    aad.push(row.codec.tag());
    row.codec.details(&mut aad);
    aad
}

/// Appends the sealed form of `squeezed`: the `row.raw_len` plain bytes of `row.id` in `row.codec`.
pub fn seal_blob(keys: &Keys, salt: &PackSalt, row: &Row, squeezed: &[u8], out: &mut Vec<u8>) {
    let key = blob_key(keys, salt, row);
    aead::seal(&key, NONCE_ZERO, &blob_aad(keys, row), squeezed, out);
}

/// The plain bytes of a blob: authentic, of the stated length, and of the stated id. `base` is
/// wanted for deltas only: the plain bytes of the blob that the codec names.
pub fn open_blob(
    keys: &Keys,
    salt: &PackSalt,
    row: &Row,
    sealed: &[u8],
    base: Option<&[u8]>,
) -> Result<Bytes, Error> {
    let mut plain = Vec::new();
    open_blob_into(keys, salt, row, sealed, base, &mut plain)?;
    Ok(Bytes::from(plain))
}

thread_local! {
    // Between the AEAD and the decompressor; kept, because a fresh MiB costs its page faults.
    static OPENED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// As `open_blob`, into a buffer that may be used again. It holds nothing of use after an error.
pub fn open_blob_into(
    keys: &Keys,
    salt: &PackSalt,
    row: &Row,
    sealed: &[u8],
    base: Option<&[u8]>,
    plain: &mut Vec<u8>,
) -> Result<(), Error> {
    check_lengths(row, sealed)?;
    let not_squeezed = || Error::NotSqueezed { id: row.id, raw_len: row.raw_len };
    if row.codec == Codec::Raw {
        open_sealed(keys, salt, row, sealed, plain)?;
        if plain.len() != row.raw_len as usize {
            return Err(not_squeezed());
        }
    } else {
        let base = match row.codec {
            Codec::Delta { base: id, .. } => {
                Some(base.ok_or(Error::BaseMissing { id: row.id, base: id })?)
            }
            _ => None,
        };
        if base.is_some_and(|base| !squeeze::may_be_base(base)) {
            return Err(not_squeezed());
        }
        OPENED.with_borrow_mut(|squeezed| {
            open_sealed(keys, salt, row, sealed, squeezed)?;
            squeeze::expand(squeezed, base, row.raw_len as usize, plain).map_err(|_| not_squeezed())
        })?;
    }
    let found = keys.blob_id(row.kind, plain);
    if found != row.id {
        return Err(Error::WrongId { wanted: row.id, found });
    }
    Ok(())
}

/// That a blob is authentic, as far as that can be told without a delta's base.
pub fn verify_blob(keys: &Keys, salt: &PackSalt, row: &Row, sealed: &[u8]) -> Result<(), Error> {
    check_lengths(row, sealed)?;
    OPENED.with_borrow_mut(|squeezed| open_sealed(keys, salt, row, sealed, squeezed))
}

/// The squeezed bytes of an authentic blob, as they may be sealed again into another pack. What
/// they open to is not looked at.
pub fn unseal_blob(
    keys: &Keys,
    salt: &PackSalt,
    row: &Row,
    sealed: &[u8],
    squeezed: &mut Vec<u8>,
) -> Result<(), Error> {
    check_lengths(row, sealed)?;
    open_sealed(keys, salt, row, sealed, squeezed)
}

fn check_lengths(row: &Row, sealed: &[u8]) -> Result<(), Error> {
    let what = "a blob";
    if row.raw_len as usize > BLOB_MAX_BYTES {
        let bytes = row.raw_len as usize;
        return Err(Error::TooLarge { what, bytes, max_bytes: BLOB_MAX_BYTES });
    }
    if sealed.len() > BLOB_MAX_BYTES + TAG_BYTES {
        let (bytes, max_bytes) = (sealed.len(), BLOB_MAX_BYTES + TAG_BYTES);
        return Err(Error::TooLarge { what, bytes, max_bytes });
    }
    if sealed.len() != row.stored_len as usize {
        return Err(Error::Truncated { what, bytes: sealed.len() });
    }
    Ok(())
}

fn open_sealed(
    keys: &Keys,
    salt: &PackSalt,
    row: &Row,
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let key = blob_key(keys, salt, row);
    aead::open(&key, NONCE_ZERO, &blob_aad(keys, row), sealed, out)
        .map_err(|_| Error::NotAuthentic { what: "a blob" })
}

#[cfg(test)]
mod tests {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead, aead::Payload};
    use proptest::prelude::*;

    use super::{super::Compression, super::MasterKey, super::Squeezer, *};
    use crate::id::RepoId;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }
    const SALT: PackSalt = PackSalt([3; 32]);

    fn sealed(kind: BlobKind, plain: &[u8], codec: Codec, squeezed: &[u8]) -> (Row, Vec<u8>) {
        let keys = keys();
        let id = keys.blob_id(kind, plain);
        let mut out = Vec::new();
        let (raw_len, stored_len) = (plain.len() as u32, (squeezed.len() + TAG_BYTES) as u32);
        let row = Row { id, kind, codec, offset: 0, stored_len, raw_len };
        seal_blob(&keys, &SALT, &row, squeezed, &mut out);
        (row, out)
    }

    // Written out from DESIGN.md 5 with another implementation of the AEAD.
    #[test]
    fn a_sealed_blob_follows_the_published_construction() {
        let plain = b"some plain bytes";
        let base = BlobId::new([8; 32]);
        let codec = Codec::Delta { base, generation: 0x0102 };
        let (row, ours) = sealed(BlobKind::Node, plain, codec, b"squeezed");
        let material = [[1; 32].as_slice(), &[2; 16]].concat();
        let node = blake3::derive_key("icecore v1 node", &material);
        let codec = [&[2][..], &[8; 32], &[0x02, 0x01]].concat();
        let about = [&[3; 32][..], row.id.bytes(), &codec].concat();
        let key = *blake3::keyed_hash(&node, &about).as_bytes();
        let aad =
            [&[1, 0][..], &[2; 16], &[1], row.id.bytes(), &16u32.to_le_bytes(), &codec].concat();
        let theirs = Aes256Gcm::new(&key.into())
            .encrypt(&[0; 12].into(), Payload { msg: b"squeezed", aad: &aad })
            .unwrap();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn nothing_about_a_blob_can_be_changed() {
        let (row, bytes) = sealed(BlobKind::Chunk, b"hello", Codec::Raw, b"hello");
        let open = |row: &Row, bytes: &[u8]| open_blob(&keys(), &SALT, row, bytes, None);
        assert_eq!(&open(&row, &bytes).unwrap()[..], b"hello");
        for wrong in [
            Row { id: BlobId::new([0; 32]), ..row },
            Row { kind: BlobKind::Node, ..row },
            Row { codec: Codec::Zstd, ..row },
            Row { raw_len: 4, ..row },
        ] {
            assert!(matches!(open(&wrong, &bytes), Err(Error::NotAuthentic { .. })));
        }
        let elsewhere = open_blob(&keys(), &PackSalt([4; 32]), &row, &bytes, None);
        assert!(matches!(elsewhere, Err(Error::NotAuthentic { .. })));
        let other = Keys::derive(&MasterKey::new([1; 32]), &RepoId([3; 16]));
        assert!(open_blob(&other, &SALT, &row, &bytes, None).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(matches!(open(&row, &flipped), Err(Error::NotAuthentic { .. })));
            assert!(matches!(open(&row, &bytes[..at]), Err(Error::Truncated { .. })));
        }
    }

    #[test]
    fn an_encoder_that_lies_is_found_out() {
        let keys = keys();
        let open = |row: &Row, bytes: &[u8]| open_blob(&keys, &SALT, row, bytes, None);
        let (row, bytes) = sealed(BlobKind::Chunk, b"hello", Codec::Raw, b"jello");
        assert!(matches!(open(&row, &bytes), Err(Error::WrongId { .. })));
        let (row, bytes) = sealed(BlobKind::Chunk, b"hello", Codec::Raw, b"hell");
        assert!(matches!(open(&row, &bytes), Err(Error::NotSqueezed { .. })));
        let (row, bytes) = sealed(BlobKind::Chunk, b"hello", Codec::Zstd, b"hello");
        assert!(matches!(open(&row, &bytes), Err(Error::NotSqueezed { .. })));
        let huge = Row { raw_len: u32::MAX, ..row };
        assert!(matches!(open(&huge, &bytes), Err(Error::TooLarge { .. })));
    }

    fn blake3_of(number: u32) -> u32 {
        u32::from_le_bytes(blake3::hash(&number.to_le_bytes()).as_bytes()[..4].try_into().unwrap())
    }

    #[test]
    fn a_delta_opens_with_its_base_alone() {
        let base: Vec<u8> = (0..3000_u32).flat_map(|i| blake3_of(i).to_le_bytes()).collect();
        let plain = [&base[..], b"and more"].concat();
        let mut squeezer = Squeezer::default();
        let delta = squeezer.squeeze_delta(&plain, &base, Compression::Auto).unwrap();
        let codec = Codec::Delta { base: keys().blob_id(BlobKind::Node, &base), generation: 1 };
        let (row, bytes) = sealed(BlobKind::Node, &plain, codec, delta);
        let open = |base| open_blob(&keys(), &SALT, &row, &bytes, base);
        assert_eq!(open(Some(&base[..])).unwrap(), plain);
        assert!(matches!(open(None), Err(Error::BaseMissing { .. })));
        assert!(open(Some(&base[4..])).is_err());
        assert!(verify_blob(&keys(), &SALT, &row, &bytes).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_blob_comes_back(text in "[a-c]{0,3000}", node: bool) {
            let kind = if node { BlobKind::Node } else { BlobKind::Chunk };
            let mut squeezer = Squeezer::default();
            let (codec, squeezed) = squeezer.squeeze(text.as_bytes(), Compression::Auto);
            let (row, bytes) = sealed(kind, text.as_bytes(), codec, squeezed);
            let opened = open_blob(&keys(), &SALT, &row, &bytes, None).unwrap();
            prop_assert_eq!(&opened[..], text.as_bytes());
        }
    }
}

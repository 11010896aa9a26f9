//! The small sealed objects of a repository, each bound to its kind, its name and its repository.

use zeroize::Zeroizing;

use super::{
    Codec, Compression, Error, FORMAT_VERSION, Keys, PackSalt, Squeezer,
    aead::{self, NONCE_ZERO, TAG_BYTES},
    squeeze,
};
use crate::{id::RepoId, limits::CONTROL_MAX_BYTES};

/// What a small object is; a part of its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ControlKind {
    Config = 1,
    SessionOpen = 2,
    Heartbeat = 3,
    /// The commit slot: a snapshot, or an abort.
    Slot = 4,
    Tombstone = 5,
    Condemned = 6,
    Damaged = 7,
    Index = 8,
}

/// The table inside a pack is sealed as an object of this kind, without a header of its own.
const TABLE_KIND: u8 = 9;

const MAGIC: [u8; 8] = *b"icecctrl";
/// Magic, version, kind, repository, salt.
const CONTROL_HEADER_BYTES: usize = 8 + 2 + 1 + 16 + 32;
const REPO_AT: usize = 8 + 2 + 1;
const SALT_AT: usize = REPO_AT + 16;

/// Inside the seal: how the rest is written, then that many bytes.
const FRAME_RAW: u8 = 0;
const FRAME_ZSTD: u8 = 1;
const FRAME_HEADER_BYTES: usize = 1 + 4;

impl ControlKind {
    /// For messages.
    pub fn what(self) -> &'static str {
        match self {
            ControlKind::Config => "the config",
            ControlKind::SessionOpen => "a session",
            ControlKind::Heartbeat => "a heartbeat",
            ControlKind::Slot => "a snapshot",
            ControlKind::Tombstone => "a tombstone",
            ControlKind::Condemned => "a condemned set",
            ControlKind::Damaged => "a damage record",
            ControlKind::Index => "an index segment",
        }
    }

    fn purpose(self, keys: &Keys) -> &[u8; 32] {
        match self {
            ControlKind::Config => &keys.config,
            ControlKind::Index => &keys.index,
            _ => &keys.control,
        }
    }
}

/// The object's bytes. `name` is the name under which it will lie in the store (but see
/// `format::index` and `format::config`), `salt` 32 fresh random bytes, `plain` at most
/// `CONTROL_MAX_BYTES`.
pub fn seal_control(
    keys: &Keys,
    kind: ControlKind,
    name: &str,
    salt: [u8; 32],
    plain: &[u8],
) -> Result<Vec<u8>, Error> {
    if plain.len() > CONTROL_MAX_BYTES {
        let (bytes, max_bytes) = (plain.len(), CONTROL_MAX_BYTES);
        return Err(Error::TooLarge { what: kind.what(), bytes, max_bytes });
    }
    let frame = frame(plain);
    let mut out = Vec::with_capacity(CONTROL_HEADER_BYTES + frame.len() + TAG_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.push(kind as u8);
    out.extend_from_slice(&keys.repo_id().0);
    out.extend_from_slice(&salt);
    let key = object_key(kind.purpose(keys), &salt, kind as u8, name);
    aead::seal(&key, NONCE_ZERO, &object_aad(keys, kind as u8, name), &frame, &mut out);
    Ok(out)
}

/// The plain bytes of an object that was sealed as this kind under this name.
pub fn open_control(
    keys: &Keys,
    kind: ControlKind,
    name: &str,
    object: &[u8],
) -> Result<Vec<u8>, Error> {
    let what = kind.what();
    let found = control_repo(kind, object)?;
    let wanted = *keys.repo_id();
    if found != wanted {
        return Err(Error::OtherRepository { what, wanted, found });
    }
    let (header, sealed) = object.split_at(CONTROL_HEADER_BYTES);
    let salt = header[SALT_AT..].try_into().expect("the header ends with 32 bytes of salt");
    let key = object_key(kind.purpose(keys), salt, kind as u8, name);
    let mut frame = Vec::new();
    aead::open(&key, NONCE_ZERO, &object_aad(keys, kind as u8, name), sealed, &mut frame)
        .map_err(|_| Error::NotAuthentic { what })?;
    unframe(what, frame)
}

/// Which repository an object says it belongs to, told without a key. Only opening it proves that.
pub fn control_repo(kind: ControlKind, object: &[u8]) -> Result<RepoId, Error> {
    let what = kind.what();
    let bytes = object.len();
    let max_bytes = CONTROL_HEADER_BYTES + FRAME_HEADER_BYTES + CONTROL_MAX_BYTES + TAG_BYTES;
    if bytes > max_bytes {
        return Err(Error::TooLarge { what, bytes, max_bytes });
    }
    if bytes < CONTROL_HEADER_BYTES + FRAME_HEADER_BYTES + TAG_BYTES {
        return Err(Error::Truncated { what, bytes });
    }
    if object[..8] != MAGIC {
        return Err(Error::NotOurs { what });
    }
    let found = u16::from_le_bytes([object[8], object[9]]);
    if found != FORMAT_VERSION {
        return Err(Error::UnknownVersion { what, found });
    }
    if object[10] != kind as u8 {
        return Err(Error::OtherKind { what, found: object[10] });
    }
    Ok(RepoId(object[REPO_AT..SALT_AT].try_into().expect("16 bytes")))
}

/// Appends a pack's sealed table: one message under a key that the pack's salt makes its own.
pub fn seal_table(keys: &Keys, salt: &PackSalt, plain: &[u8], out: &mut Vec<u8>) {
    let key = object_key(&keys.index, &salt.0, TABLE_KIND, "");
    aead::seal(&key, NONCE_ZERO, &object_aad(keys, TABLE_KIND, ""), plain, out);
}

pub fn open_table(keys: &Keys, salt: &PackSalt, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let key = object_key(&keys.index, &salt.0, TABLE_KIND, "");
    let mut plain = Vec::new();
    aead::open(&key, NONCE_ZERO, &object_aad(keys, TABLE_KIND, ""), sealed, &mut plain)
        .map_err(|_| Error::NotAuthentic { what: "a pack's table" })?;
    Ok(plain)
}

// 32 random bytes in the key do the work of a nonce, without a nonce's limit of 2^32 messages.
fn object_key(purpose: &[u8; 32], salt: &[u8; 32], kind: u8, name: &str) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(purpose);
    hasher.update(salt).update(&[kind]).update(name.as_bytes());
    Zeroizing::new(*hasher.finalize().as_bytes())
}

fn object_aad(keys: &Keys, kind: u8, name: &str) -> Vec<u8> {
    let mut aad = Vec::with_capacity(2 + 16 + 1 + name.len());
    aad.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    aad.extend_from_slice(&keys.repo_id().0);
    aad.push(kind);
    aad.extend_from_slice(name.as_bytes());
    aad
}

// With a squeezer of its own: an index segment would leave a thread's with 64 MiB to keep.
fn frame(plain: &[u8]) -> Vec<u8> {
    let mut squeezer = Squeezer::default();
    let (codec, squeezed) = squeezer.squeeze(plain, Compression::Auto);
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + squeezed.len());
    frame.push(if codec == Codec::Raw { FRAME_RAW } else { FRAME_ZSTD });
    frame.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    frame.extend_from_slice(squeezed);
    frame
}

fn unframe(what: &'static str, mut frame: Vec<u8>) -> Result<Vec<u8>, Error> {
    if frame.len() < FRAME_HEADER_BYTES {
        return Err(Error::Truncated { what, bytes: frame.len() });
    }
    let tag = frame[0];
    let raw_len = u32::from_le_bytes(frame[1..5].try_into().expect("four bytes"));
    if raw_len as usize > CONTROL_MAX_BYTES {
        let (bytes, max_bytes) = (raw_len as usize, CONTROL_MAX_BYTES);
        return Err(Error::TooLarge { what, bytes, max_bytes });
    }
    let not_squeezed = Error::ControlNotSqueezed { what, raw_len };
    match tag {
        FRAME_RAW if frame.len() - FRAME_HEADER_BYTES == raw_len as usize => {
            frame.drain(..FRAME_HEADER_BYTES);
            Ok(frame)
        }
        FRAME_ZSTD => {
            let mut plain = Vec::new();
            squeeze::expand(&frame[FRAME_HEADER_BYTES..], None, raw_len as usize, &mut plain)
                .map_err(|_| not_squeezed)?;
            Ok(plain)
        }
        _ => Err(not_squeezed),
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead, aead::Payload};

    use super::{super::MasterKey, *};

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }
    const SALT: [u8; 32] = [3; 32];
    const KINDS: [ControlKind; 8] = [
        ControlKind::Config,
        ControlKind::SessionOpen,
        ControlKind::Heartbeat,
        ControlKind::Slot,
        ControlKind::Tombstone,
        ControlKind::Condemned,
        ControlKind::Damaged,
        ControlKind::Index,
    ];

    // Written out from docs/format.md with another implementation of the AEAD.
    #[test]
    fn an_object_follows_the_published_construction() {
        let object =
            seal_control(&keys(), ControlKind::Tombstone, "tombstones/x", SALT, b"gone").unwrap();
        let material = [[1; 32].as_slice(), &[2; 16]].concat();
        let purpose = blake3::derive_key("icecore v1 control", &material);
        let about = [&SALT[..], &[5], b"tombstones/x"].concat();
        let key = *blake3::keyed_hash(&purpose, &about).as_bytes();
        let aad = [&[1, 0][..], &[2; 16], &[5], b"tombstones/x"].concat();
        let msg = b"\x00\x04\x00\x00\x00gone";
        let sealed = Aes256Gcm::new(&key.into())
            .encrypt(&[0; 12].into(), Payload { msg, aad: &aad })
            .unwrap();
        let header = [b"icecctrl\x01\x00\x05".as_slice(), &[2; 16], &SALT].concat();
        assert_eq!(object, [header, sealed].concat());
    }

    #[test]
    fn objects_of_every_kind_come_back_and_no_kind_is_another() {
        let plain = b"repeated ".repeat(2000);
        for kind in KINDS {
            let object = seal_control(&keys(), kind, "a/name", SALT, &plain).unwrap();
            assert!(object.len() < 300);
            assert_eq!(open_control(&keys(), kind, "a/name", &object).unwrap(), plain);
            let renamed = open_control(&keys(), kind, "another/name", &object);
            assert!(matches!(renamed, Err(Error::NotAuthentic { .. })));
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                let error = open_control(&keys(), other, "a/name", &object).unwrap_err();
                assert!(matches!(error, Error::OtherKind { .. }));
                let mut relabelled = object.clone();
                relabelled[10] = other as u8;
                let error = open_control(&keys(), other, "a/name", &relabelled).unwrap_err();
                assert!(matches!(error, Error::NotAuthentic { .. }));
            }
        }
    }

    #[test]
    fn cut_or_changed_anywhere_it_does_not_open() {
        let object = seal_control(&keys(), ControlKind::Slot, "s", SALT, b"a snapshot").unwrap();
        for at in 0..object.len() {
            assert!(open_control(&keys(), ControlKind::Slot, "s", &object[..at]).is_err());
            for bit in 0..8 {
                let mut flipped = object.clone();
                flipped[at] ^= 1 << bit;
                assert!(open_control(&keys(), ControlKind::Slot, "s", &flipped).is_err());
            }
        }
    }

    #[test]
    fn another_repository_is_told_by_name() {
        let object = seal_control(&keys(), ControlKind::Config, "config", SALT, b"x").unwrap();
        let found = RepoId([2; 16]);
        assert_eq!(control_repo(ControlKind::Config, &object).unwrap(), found);
        let wanted = RepoId([7; 16]);
        let other = Keys::derive(&MasterKey::new([1; 32]), &wanted);
        let error = open_control(&other, ControlKind::Config, "config", &object).unwrap_err();
        assert!(matches!(error, Error::OtherRepository { wanted: w, found: f, .. }
                if w == wanted && f == found));
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        for (tag, raw_len, rest) in [
            (FRAME_RAW, 3, &b"four"[..]),
            (FRAME_RAW, 5, b"four"),
            (FRAME_ZSTD, 4, b"four"),
            (2, 4, b"four"),
            (FRAME_ZSTD, u32::MAX, b""),
            (FRAME_RAW, u32::MAX, b""),
        ] {
            let frame = [&[tag][..], &raw_len.to_le_bytes(), rest].concat();
            assert!(unframe("a frame", frame).is_err(), "{tag} {raw_len}");
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_sealed() {
        let plain = vec![0; CONTROL_MAX_BYTES + 1];
        let sealed = seal_control(&keys(), ControlKind::Index, "", SALT, &plain);
        assert!(matches!(sealed, Err(Error::TooLarge { .. })));
    }
}

//! Key slots: the master key, wrapped under a password.

use argon2::{Algorithm, Argon2, Params, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Error, FORMAT_VERSION, MasterKey,
    aead::{self, TAG_BYTES},
    memory::Blocks,
};
use crate::{
    id::RepoId,
    limits::{
        ARGON_LANES_MAX, ARGON_MEMORY_MAX_KIB, ARGON_MEMORY_MIN_KIB, ARGON_TIME_MAX,
        SLOT_HEADER_MAX_BYTES,
    },
};

const WHAT: &str = "a key slot";
const MAGIC: [u8; 8] = *b"icecslot";
/// Magic, version, length of the header's JSON.
const PREFIX_BYTES: usize = 8 + 2 + 2;
/// Commitment, nonce, and the wrapped key with its tag.
const SUFFIX_BYTES: usize = 32 + 12 + 32 + TAG_BYTES;

/// What a guess of the password costs: Argon2id, version 0x13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for SlotParams {
    /// RFC 9106's second recommended option (`docs/decisions/0008-argon2id-takes-64-mib.md`).
    fn default() -> Self {
        SlotParams { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl SlotParams {
    /// For new slots: refused below 64 MiB, and beyond what a reader accepts.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, Error> {
        let params = SlotParams { memory_kib, passes, lanes };
        params.check()?;
        if memory_kib < ARGON_MEMORY_MIN_KIB {
            return Err(Error::SlotParams { memory_kib, passes, lanes });
        }
        Ok(params)
    }

    /// So cheap that it protects nothing: for tests that open many repositories.
    #[cfg(any(test, feature = "testing"))]
    pub fn worthless() -> Self {
        SlotParams { memory_kib: 8, passes: 1, lanes: 1 }
    }

    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    pub fn passes(&self) -> u32 {
        self.passes
    }

    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    fn check(&self) -> Result<(), Error> {
        let SlotParams { memory_kib, passes, lanes } = *self;
        let good = (1..=ARGON_LANES_MAX).contains(&lanes)
            && (1..=ARGON_TIME_MAX).contains(&passes)
            && (8 * lanes..=ARGON_MEMORY_MAX_KIB).contains(&memory_kib);
        good.then_some(()).ok_or(Error::SlotParams { memory_kib, passes, lanes })
    }
}

/// What stands in clear in a slot. It is proven only by `unwrap_master`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHeader {
    pub repo_id: RepoId,
    /// The person's name for it; may be empty.
    pub label: String,
    /// Where it was made.
    pub host: String,
    pub created: Timestamp,
    pub params: SlotParams,
    /// Fresh random bytes for Argon2id.
    #[serde(with = "salt_as_hex")]
    pub salt: [u8; 32],
}

mod salt_as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(salt: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(salt))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut salt = [0; 32];
        hex::decode_to_slice(text, &mut salt).map_err(D::Error::custom)?;
        Ok(salt)
    }
}

/// The bytes of a slot. `nonce`: fresh random bytes.
pub fn wrap_master(
    password: &[u8],
    header: &SlotHeader,
    nonce: [u8; 12],
    master: &MasterKey,
) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(header).map_err(Error::SlotHeader)?;
    if json.len() > SLOT_HEADER_MAX_BYTES {
        let (bytes, max_bytes) = (json.len(), SLOT_HEADER_MAX_BYTES);
        return Err(Error::TooLarge { what: WHAT, bytes, max_bytes });
    }
    let mut slot = Vec::with_capacity(PREFIX_BYTES + json.len() + SUFFIX_BYTES);
    slot.extend_from_slice(&MAGIC);
    slot.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    slot.extend_from_slice(&(json.len() as u16).to_le_bytes());
    slot.extend_from_slice(&json);
    let secrets = stretch(password, &header.salt, &header.params)?;
    let (kek, commitment) = secrets.split(&slot);
    slot.extend_from_slice(&commitment);
    let aad = slot.clone();
    slot.extend_from_slice(&nonce);
    aead::seal(&kek, nonce, &aad, master.bytes(), &mut slot);
    Ok(slot)
}

/// The master key, when this password made the slot. `Error::WrongPassword` otherwise, and also
/// when the header was changed since: the two can't be told apart.
pub fn unwrap_master(password: &[u8], slot: &[u8]) -> Result<(SlotHeader, MasterKey), Error> {
    let header = slot_header(slot)?;
    let (about, suffix) = slot.split_at(slot.len() - SUFFIX_BYTES);
    let (stated, suffix) = suffix.split_at(32);
    let (nonce, wrapped) = suffix.split_at(12);
    let secrets = stretch(password, &header.salt, &header.params)?;
    let (kek, commitment) = secrets.split(about);
    if !bool::from(commitment.ct_eq(stated)) {
        return Err(Error::WrongPassword);
    }
    let aad = &slot[..about.len() + 32];
    let nonce = nonce.try_into().expect("12 bytes");
    let mut master = Zeroizing::new(Vec::new());
    aead::open(&kek, nonce, aad, wrapped, &mut master)
        .map_err(|_| Error::NotAuthentic { what: WHAT })?;
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(&master[..]).expect("32 bytes and a tag"));
    Ok((header, MasterKey::new(*bytes)))
}

/// What a slot says of itself, its bounds checked; told without a password, proven by nothing.
pub fn slot_header(slot: &[u8]) -> Result<SlotHeader, Error> {
    let bytes = slot.len();
    if bytes < PREFIX_BYTES + SUFFIX_BYTES {
        return Err(Error::Truncated { what: WHAT, bytes });
    }
    if slot[..8] != MAGIC {
        return Err(Error::NotOurs { what: WHAT });
    }
    let found = u16::from_le_bytes([slot[8], slot[9]]);
    if found != FORMAT_VERSION {
        return Err(Error::UnknownVersion { what: WHAT, found });
    }
    let json_len = u16::from_le_bytes([slot[10], slot[11]]) as usize;
    if json_len > SLOT_HEADER_MAX_BYTES {
        let max_bytes = SLOT_HEADER_MAX_BYTES;
        return Err(Error::TooLarge { what: WHAT, bytes: json_len, max_bytes });
    }
    if bytes != PREFIX_BYTES + json_len + SUFFIX_BYTES {
        return Err(Error::Truncated { what: WHAT, bytes });
    }
    let json = &slot[PREFIX_BYTES..PREFIX_BYTES + json_len];
    let header: SlotHeader = serde_json::from_slice(json).map_err(Error::SlotHeader)?;
    header.params.check()?;
    Ok(header)
}

/// 64 bytes from the password: half a key, half for the commitment.
struct Stretched(Zeroizing<[u8; 64]>);

impl Stretched {
    /// The key that wraps, and the commitment to it and to these bytes. A commitment, because an
    /// AEAD alone lets one ciphertext open under many keys, which makes guessing cheaper.
    fn split(&self, about: &[u8]) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
        let half = |range| -> Zeroizing<[u8; 32]> {
            let bytes: &[u8] = &self.0[range];
            Zeroizing::new(bytes.try_into().expect("half of 64 bytes"))
        };
        let commitment = *blake3::keyed_hash(&half(32..64), about).as_bytes();
        (half(0..32), commitment)
    }
}

/// Memory for the whole of `params` is taken for the length of this call only.
fn stretch(password: &[u8], salt: &[u8; 32], params: &SlotParams) -> Result<Stretched, Error> {
    params.check()?;
    let SlotParams { memory_kib, passes, lanes } = *params;
    let out_of_bounds = |_| Error::SlotParams { memory_kib, passes, lanes };
    let argon = Params::new(memory_kib, passes, lanes, Some(64)).map_err(out_of_bounds)?;
    let mut okm = Zeroizing::new([0; 64]);
    let blocks = Blocks::new(memory_kib).map_err(|_| Error::SlotMemory { memory_kib })?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, argon)
        .hash_password_into_with_memory(password, salt, &mut *okm, blocks)
        .map_err(|_| Error::SlotMemory { memory_kib })?;
    Ok(Stretched(okm))
}

#[cfg(test)]
mod tests {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead, aead::Payload};

    use super::*;

    fn header() -> SlotHeader {
        SlotHeader {
            repo_id: RepoId([2; 16]),
            label: "office".into(),
            host: "host.example".into(),
            created: Timestamp::from_second(1_767_225_600).unwrap(),
            params: SlotParams::worthless(),
            salt: [5; 32],
        }
    }
    fn slot() -> Vec<u8> {
        wrap_master(b"correct horse", &header(), [6; 12], &MasterKey::new([1; 32])).unwrap()
    }

    #[test]
    fn the_right_password_and_no_other_opens_a_slot() {
        let (read, master) = unwrap_master(b"correct horse", &slot()).unwrap();
        assert_eq!(read, header());
        assert_eq!(master.bytes(), &[1; 32]);
        for wrong in [&b""[..], b"correct hors", b"Correct horse"] {
            assert!(matches!(unwrap_master(wrong, &slot()), Err(Error::WrongPassword)));
        }
    }

    // Written out from DESIGN.md 5 with another implementation of the AEAD.
    #[test]
    fn a_slot_follows_the_published_construction() {
        let json = concat!(
            r#"{"repo_id":"02020202020202020202020202020202","label":"office","#,
            r#""host":"host.example","created":"2026-01-01T00:00:00Z","#,
            r#""params":{"memory_kib":8,"passes":1,"lanes":1},"#,
            r#""salt":"0505050505050505050505050505050505050505050505050505050505050505"}"#,
        );
        let length = (json.len() as u16).to_le_bytes();
        let about = [b"icecslot\x01\x00", &length[..], json.as_bytes()].concat();
        let mut okm = [0; 64];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, Some(64)).unwrap())
            .hash_password_into(b"correct horse", &[5; 32], &mut okm)
            .unwrap();
        let commitment = *blake3::keyed_hash(&okm[32..].try_into().unwrap(), &about).as_bytes();
        let aad = [&about[..], &commitment].concat();
        let wrapped = Aes256Gcm::new_from_slice(&okm[..32])
            .unwrap()
            .encrypt(&[6; 12].into(), Payload { msg: &[1; 32], aad: &aad })
            .unwrap();
        assert_eq!(slot(), [&aad[..], &[6; 12], &wrapped].concat());
    }

    #[test]
    fn cut_or_changed_anywhere_it_does_not_open() {
        let slot = slot();
        for at in 0..slot.len() {
            assert!(unwrap_master(b"correct horse", &slot[..at]).is_err());
            for bit in 0..8 {
                let mut flipped = slot.clone();
                flipped[at] ^= 1 << bit;
                assert!(unwrap_master(b"correct horse", &flipped).is_err(), "{at} {bit}");
            }
        }
    }

    #[test]
    fn a_slot_that_wants_too_much_is_refused_before_memory_is_taken() {
        for (memory_kib, passes, lanes) in [
            (ARGON_MEMORY_MAX_KIB + 1, 1, 1),
            (u32::MAX, 1, 1),
            (64 << 10, ARGON_TIME_MAX + 1, 1),
            (64 << 10, 0, 1),
            (64 << 10, 1, ARGON_LANES_MAX + 1),
            (64 << 10, 1, 0),
            (64 << 10, 1, u32::MAX),
            (7, 1, 1),
        ] {
            assert!(SlotParams::new(memory_kib, passes, lanes).is_err());
            let hostile =
                SlotHeader { params: SlotParams { memory_kib, passes, lanes }, ..header() };
            let json = serde_json::to_vec(&hostile).unwrap();
            let length = (json.len() as u16).to_le_bytes();
            let slot = [b"icecslot\x01\x00", &length[..], &json, &[0; SUFFIX_BYTES]].concat();
            assert!(matches!(slot_header(&slot), Err(Error::SlotParams { .. })));
            assert!(matches!(unwrap_master(b"x", &slot), Err(Error::SlotParams { .. })));
        }
    }

    #[test]
    fn new_slots_are_not_cheap() {
        assert!(SlotParams::new(ARGON_MEMORY_MIN_KIB - 1, 3, 4).is_err());
        let default = SlotParams::default();
        assert_eq!(SlotParams::new(64 << 10, 3, 4).unwrap(), default);
        assert!(default.memory_kib() >= ARGON_MEMORY_MIN_KIB);
    }

    #[test]
    fn the_default_costs_are_paid() {
        let master = MasterKey::new([1; 32]);
        let header = SlotHeader { params: SlotParams::default(), ..header() };
        let slot = wrap_master(b"correct horse", &header, [6; 12], &master).unwrap();
        assert!(unwrap_master(b"correct horse", &slot).is_ok());
    }
}

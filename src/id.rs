//! Names that are types: a blob's id can't be handed over where a pack's is wanted.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A piece of plain bytes with an id: a chunk of content or a node of a tree.
pub enum Blob {}
/// A sealed file of many blobs.
pub enum Pack {}
/// A merged or fresh table of which blob lies in which pack.
pub enum Segment {}

pub type BlobId = Id<Blob>;
pub type PackId = Id<Pack>;
pub type SegmentId = Id<Segment>;

/// 32 bytes that name a `T`: a BLAKE3 hash (keyed for blobs, plain for packs and segments).
pub struct Id<T> {
    bytes: [u8; 32],
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    pub const LEN: usize = 32;

    pub const fn new(bytes: [u8; 32]) -> Self {
        Id { bytes, of: PhantomData }
    }

    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.bytes[..4]))
    }
}

/// What a text that should be an id is instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id: wanted {wanted_hex_digits} hexadecimal digits")]
pub struct NotAnId {
    pub wanted_hex_digits: usize,
}

impl<T> FromStr for Id<T> {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnId { wanted_hex_digits: 64 })?;
        Ok(Id::new(bytes))
    }
}
impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_name(&self.bytes, serializer)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_name(deserializer).map(Id::new)
    }
}

/// A session, and the snapshot it may become: 128 random bits. The commit slot has this name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid([u8; 16]);

impl Sid {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Sid(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first 8 hexadecimal digits, as lists show them.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}
impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}
impl FromStr for Sid {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnId { wanted_hex_digits: 32 })?;
        Ok(Sid(bytes))
    }
}
impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_name(&self.0, serializer)
    }
}
impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_name(deserializer).map(Sid)
    }
}

/// The repository itself: 16 random bytes, drawn at `init`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RepoId(pub [u8; 16]);

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for RepoId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_name(&self.0, serializer)
    }
}
impl<'de> Deserialize<'de> for RepoId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_name(deserializer).map(RepoId)
    }
}

/// What a blob holds; the first byte of what its id is made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum BlobKind {
    Chunk = 0,
    Node = 1,
}

impl TryFrom<u8> for BlobKind {
    type Error = u8;
    fn try_from(byte: u8) -> Result<Self, u8> {
        match byte {
            0 => Ok(BlobKind::Chunk),
            1 => Ok(BlobKind::Node),
            other => Err(other),
        }
    }
}

// People read hex (JSON); machines read bytes (MessagePack).
fn serialize_name<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

fn deserialize_name<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let bytes = if deserializer.is_human_readable() {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map_err(D::Error::custom)?
    } else {
        serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec()
    };
    let length = bytes.len();
    bytes.try_into().map_err(|_| D::Error::invalid_length(length, &"the length of an id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_both_kinds_of_codec() {
        let id = BlobId::new([7; 32]);
        let sid = Sid::new([9; 16]);
        let json = serde_json::to_string(&(id, sid)).unwrap();
        assert_eq!(serde_json::from_str::<(BlobId, Sid)>(&json).unwrap(), (id, sid));
        let packed = rmp_serde::to_vec_named(&(id, sid)).unwrap();
        assert_eq!(rmp_serde::from_slice::<(BlobId, Sid)>(&packed).unwrap(), (id, sid));
        assert!(rmp_serde::from_slice::<(Sid, BlobId)>(&packed).is_err());
    }

    #[test]
    fn a_short_text_is_no_id() {
        assert_eq!("abcd".parse::<PackId>(), Err(NotAnId { wanted_hex_digits: 64 }));
        assert_eq!("xx".parse::<Sid>(), Err(NotAnId { wanted_hex_digits: 32 }));
    }
}

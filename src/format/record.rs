//! Records as sealed MessagePack maps.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Error;
use crate::seal::{self, ControlKind, Keys};

/// Something that lies in the store as one small sealed object.
pub trait Record: Serialize + DeserializeOwned {
    const KIND: ControlKind;
}

/// The object's bytes. `name` is where it will lie, `salt` 32 fresh random bytes.
pub fn seal_record<R: Record>(
    keys: &Keys,
    name: &str,
    salt: [u8; 32],
    record: &R,
) -> Result<Bytes, Error> {
    let plain = rmp_serde::to_vec_named(record)
        .map_err(|source| Error::Unwritable { what: R::KIND.what(), source })?;
    Ok(Bytes::from(seal::seal_control(keys, R::KIND, name, salt, &plain)?))
}

/// The record, if this object was sealed as one of its kind under this name.
pub fn open_record<R: Record>(keys: &Keys, name: &str, object: &[u8]) -> Result<R, Error> {
    decode(&seal::open_control(keys, R::KIND, name, object)?)
}

fn decode<R: Record>(plain: &[u8]) -> Result<R, Error> {
    let what = R::KIND.what();
    let mut left = plain;
    let record =
        rmp_serde::from_read(&mut left).map_err(|source| Error::Record { what, source })?;
    if !left.is_empty() {
        return Err(Error::Trailing { what, bytes: left.len() });
    }
    Ok(record)
}

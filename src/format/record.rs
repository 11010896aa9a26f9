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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        format::{
            gc::{CondemnedSet, Damaged, SetId, Tombstone},
            session::{Heartbeat, Open},
            slot::Slot,
            snapshot::{NamedRoot, Snapshot, Summary},
        },
        id::{BlobId, PackId, RepoId, Sid},
        seal::MasterKey,
    };

    fn keys() -> Keys {
        Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
    }
    fn time() -> Timestamp {
        "2026-01-02T03:04:05.000000678Z".parse().unwrap()
    }
    const SID: Sid = Sid::new([4; 16]);

    fn open() -> Open {
        Open {
            sid: SID,
            parents: vec![Sid::new([5; 16])],
            host: "h".into(),
            time: time(),
            program: "icecore 1".into(),
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            time: time(),
            host: "h".into(),
            user: "u".into(),
            uid: 1000,
            gid: 100,
            tags: vec!["daily".into()],
            paths: vec!["/srv".into()],
            roots: vec![NamedRoot {
                name: "files".into(),
                id: BlobId::new([6; 32]),
                level: 2,
                entries: 1 << 40,
                bytes: u64::MAX,
            }],
            parent: Some(SID),
            original: None,
            program: "icecore 1".into(),
            excludes: vec!["*.tmp".into()],
            troubles: 3,
            summary: Summary { files_new: 7, backup_end: time(), ..Summary::default() },
            mongodb: None,
        }
    }

    /// The record comes back; no cut, no flipped bit and no other name gives anything.
    fn holds<R: Record + PartialEq + std::fmt::Debug>(record: R) {
        let object = seal_record(&keys(), "its/name", [9; 32], &record).unwrap();
        assert_eq!(open_record::<R>(&keys(), "its/name", &object).unwrap(), record);
        assert!(open_record::<R>(&keys(), "its/name2", &object).is_err());
        for at in 0..object.len() {
            assert!(open_record::<R>(&keys(), "its/name", &object[..at]).is_err());
            let mut flipped = object.to_vec();
            flipped[at] ^= 0x10;
            assert!(open_record::<R>(&keys(), "its/name", &flipped).is_err());
        }
        let plain = rmp_serde::to_vec_named(&record).unwrap();
        for at in 0..plain.len() {
            assert!(decode::<R>(&plain[..at]).is_err(), "cut at {at}");
        }
        let longer = [&plain[..], &[0]].concat();
        assert!(matches!(decode::<R>(&longer), Err(Error::Trailing { bytes: 1, .. })));
    }

    #[test]
    fn every_record_holds() {
        holds(open());
        let (seen, pins) = (vec![SetId::new([7; 32])], vec![PackId::new([8; 32])]);
        holds(Heartbeat { time: time(), seen, pins, parents: vec![SID] });
        holds(Slot::Commit { nonce: [3; 16], snapshot: Box::new(snapshot()) });
        holds(Slot::Abort { by: "h".into(), reason: "lease".into(), time: time() });
        holds(CondemnedSet { packs: vec![PackId::new([8; 32])], time: time(), host: "h".into() });
        let (actor, reason) = ("u@h".into(), "forget".into());
        holds(Tombstone { snapshot: SID, actor, reason, time: time() });
        let (packs, blobs) = (vec![PackId::new([8; 32])], vec![BlobId::new([6; 32])]);
        holds(Damaged { packs, blobs, time: time() });
    }

    #[test]
    fn what_a_later_writer_adds_is_skipped() {
        #[derive(Serialize)]
        struct Later {
            added: Vec<u64>,
            #[serde(flatten)]
            open: Open,
        }
        let plain = rmp_serde::to_vec_named(&Later { added: vec![1, 2, 3], open: open() }).unwrap();
        assert_eq!(decode::<Open>(&plain).unwrap(), open());
    }

    #[test]
    fn what_an_earlier_writer_lacked_is_empty() {
        let earlier = std::collections::BTreeMap::from([("time", "2026-01-01T00:00:00Z")]);
        let plain = rmp_serde::to_vec_named(&earlier).unwrap();
        let heartbeat = decode::<Heartbeat>(&plain).unwrap();
        assert!(heartbeat.seen.is_empty() && heartbeat.pins.is_empty());
        assert!(decode::<Tombstone>(&plain).is_err());
    }

    #[test]
    fn a_list_that_says_it_is_endless_is_refused_without_room_made_for_it() {
        // {"packs": [ (2^32 - 1 of them)
        let plain = b"\x81\xa5packs\xdd\xff\xff\xff\xff";
        assert!(matches!(decode::<Damaged>(plain), Err(Error::Record { .. })));
        let plain = b"\x81\xa4host\xdb\xff\xff\xff\xff";
        assert!(matches!(decode::<Open>(plain), Err(Error::Record { .. })));
    }
}

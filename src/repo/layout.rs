//! What each object of a repository is called in its store (PROTOCOL.md, "Objects").

use std::str::FromStr;

use crate::{
    format::gc::SetId,
    id::{PackId, SegmentId, Sid},
    store::{Listed, Name},
};

pub const CONFIGS: [&str; 3] = ["config", "config-2", "config-3"];
pub const KEYS: &str = "keys";
pub const PACKS: &str = "packs";
pub const INDEX: &str = "index";
pub const SESSIONS: &str = "sessions";
pub const SNAPSHOTS: &str = "snapshots";
pub const TOMBSTONES: &str = "tombstones";
pub const CONDEMNED: &str = "gc";
pub const DAMAGED: &str = "damaged";

const OPEN: &str = "open";
const HEARTBEAT: &str = "hb-";

fn name(text: String) -> Name {
    Name::parse(&text).expect("directories and ids are made of plain characters")
}

pub fn config(copy: &'static str) -> Name {
    name(copy.to_owned())
}

/// `None` when a key can't have this name.
pub fn key(key: &str) -> Option<Name> {
    Name::parse(&format!("{KEYS}/{key}")).filter(|_| !key.contains('/'))
}

pub fn pack(id: &PackId) -> Name {
    let hex = id.to_string();
    name(format!("{PACKS}/{}/{hex}", &hex[..2]))
}

pub fn segment(id: &SegmentId) -> Name {
    name(format!("{INDEX}/{id}"))
}

pub fn session_open(sid: &Sid) -> Name {
    name(format!("{SESSIONS}/{sid}/{OPEN}"))
}

pub fn heartbeat(sid: &Sid, number: u64) -> Name {
    name(format!("{SESSIONS}/{sid}/{HEARTBEAT}{number}"))
}

pub fn slot(sid: &Sid) -> Name {
    name(format!("{SNAPSHOTS}/{sid}"))
}

pub fn tombstone(sid: &Sid, random: [u8; 8]) -> Name {
    name(format!("{TOMBSTONES}/{sid}-{}", hex::encode(random)))
}

pub fn condemned(set: &SetId) -> Name {
    name(format!("{CONDEMNED}/{set}"))
}

pub fn damaged(random: [u8; 16]) -> Name {
    name(format!("{DAMAGED}/{}", hex::encode(random)))
}

/// The id that is the last part of a listed object's name; strangers' files have none.
pub fn id<T: FromStr>(listed: &Listed) -> Option<T> {
    listed.name.last().parse().ok()
}

/// The session that a tombstone speaks of.
pub fn tombstoned(listed: &Listed) -> Option<Sid> {
    listed.name.last().split_once('-')?.0.parse().ok()
}

/// One object of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionObject {
    Open,
    Heartbeat(u64),
}

/// Which session an object below `sessions/` belongs to, and what it is there.
pub fn session_object(listed: &Listed) -> Option<(Sid, SessionObject)> {
    let (sid, last) = listed.name.as_str().strip_prefix(SESSIONS)?[1..].split_once('/')?;
    let object = match last.strip_prefix(HEARTBEAT) {
        Some(number) => SessionObject::Heartbeat(number.parse().ok()?),
        None if last == OPEN => SessionObject::Open,
        None => return None,
    };
    Some((sid.parse().ok()?, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: Name) -> Listed {
        Listed { name, size_bytes: 1 }
    }

    #[test]
    fn names_are_read_back() {
        let (sid, pack_id) = (Sid::new([3; 16]), PackId::new([0xab; 32]));
        assert!(pack(&pack_id).as_str().starts_with("packs/ab/abab"));
        assert_eq!(id(&listed(pack(&pack_id))), Some(pack_id));
        assert_eq!(id(&listed(slot(&sid))), Some(sid));
        assert_eq!(tombstoned(&listed(tombstone(&sid, [1; 8]))), Some(sid));
        let open = session_object(&listed(session_open(&sid)));
        assert_eq!(open, Some((sid, SessionObject::Open)));
        let beat = session_object(&listed(heartbeat(&sid, 12)));
        assert_eq!(beat, Some((sid, SessionObject::Heartbeat(12))));
        let stranger = Name::parse("sessions/readme").unwrap();
        assert_eq!(session_object(&listed(stranger)), None);
        assert_eq!(key("../config"), None);
        assert_eq!(key("a/b"), None);
    }
}

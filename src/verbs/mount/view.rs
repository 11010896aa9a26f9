//! One snapshot's tree as directories: one name, one level at a time.

use crate::{
    format::entry::{Entry, FileType, Kind, StatKey, Time},
    id::Sid,
    repo::ReadBlobs,
    tree::{self, KeyRange, Pieces},
};

use super::shelf::Shelved;

/// What a number stands for; hard links of one file share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Latest,
    Date(String),
    Path(Sid, Vec<u8>),
    Linked(Sid, u64, u64),
}

/// Something with a number.
#[derive(Debug)]
pub(super) struct Node {
    pub place: Place,
    pub entry: Entry,
    /// Of things within a snapshot.
    pub within: Option<Within>,
}

#[derive(Debug)]
pub(super) struct Within {
    pub snapshot: Shelved,
    pub key: Vec<u8>,
    pub pieces: Pieces,
}

/// One name of a directory.
pub(super) struct Child {
    pub name: Vec<u8>,
    pub file_type: FileType,
    /// Where the listing goes on after it.
    pub next: Vec<u8>,
}

impl Node {
    /// A symbolic link among the names of snapshots.
    pub fn pointer(place: Place, target: String, time: Time) -> Self {
        let target = target.into_bytes();
        let size = target.len() as u64;
        let kind = Kind::Symlink { target };
        let entry = Entry {
            kind,
            size,
            mode: 0o777,
            mtime: time,
            ctime: time,
            nlink: 1,
            ..Entry::default()
        };
        Node { place, entry, within: None }
    }

    /// A directory that has no entry of its own: a snapshot's top, or one known by its content.
    fn implied(snapshot: &Shelved, key: Vec<u8>) -> Self {
        let time = Time {
            seconds: snapshot.time.as_second(),
            nanos: snapshot.time.subsec_nanosecond().unsigned_abs(),
        };
        let entry = Entry {
            kind: Kind::Dir,
            mode: 0o755,
            mtime: time,
            ctime: time,
            nlink: 1,
            ..Entry::default()
        };
        let place = Place::Path(snapshot.sid, key.clone());
        let within = Within { snapshot: *snapshot, key, pieces: Pieces::None };
        Node { place, entry, within: Some(within) }
    }

    pub fn top_of(snapshot: &Shelved) -> Self {
        Node::implied(snapshot, Vec::new())
    }

    #[cfg(test)]
    pub fn for_test(place: Place) -> Self {
        Node { place, entry: Entry::default(), within: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error<E: std::error::Error + 'static> {
    #[error(transparent)]
    Tree(#[from] tree::Error<E>),
    #[error(transparent)]
    Entry(#[from] crate::format::Error),
}

/// `name` in the directory `dir`.
pub(super) fn child<R: ReadBlobs>(
    reader: &R,
    snapshot: &Shelved,
    dir: &[u8],
    name: &[u8],
) -> Result<Option<Node>, Error<R::Error>> {
    let mut key = prefix(dir);
    key.extend_from_slice(name);
    if let Some(value) = tree::get(reader, &snapshot.root, &key)? {
        let entry = Entry::decode(&value.head)?;
        let linked = entry.nlink > 1 && entry.kind != Kind::Dir;
        let place = match linked {
            true => Place::Linked(snapshot.sid, entry.dev, entry.inode),
            false => Place::Path(snapshot.sid, key.clone()),
        };
        let within = Within { snapshot: *snapshot, key, pieces: value.pieces };
        return Ok(Some(Node { place, entry, within: Some(within) }));
    }
    let below = KeyRange::with_prefix(&prefix(&key));
    match tree::iter(reader, &snapshot.root, below).next().transpose()? {
        Some(_) => Ok(Some(Node::implied(snapshot, key))),
        None => Ok(None),
    }
}

/// The names in the directory `dir` from the key `from` on (empty: all), in key order. Subtrees
/// are passed over, not read.
pub(super) fn children<R: ReadBlobs>(
    reader: &R,
    snapshot: &Shelved,
    dir: &[u8],
    from: &[u8],
) -> impl Iterator<Item = Result<Child, Error<R::Error>>> {
    let prefix = prefix(dir);
    let range = if prefix.is_empty() { KeyRange::all() } else { KeyRange::with_prefix(&prefix) };
    let mut iter = tree::iter(reader, &snapshot.root, range);
    if !from.is_empty() {
        iter.seek(from);
    }
    std::iter::from_fn(move || {
        loop {
            let (key, value) = match iter.next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error.into())),
            };
            let rest = &key[prefix.len()..];
            let name = rest.split(|&byte| byte == 0).next().unwrap_or_default();
            // Past whatever stands below that name.
            let next = [&prefix[..], name, &[1]].concat();
            iter.seek(&next);
            if crate::sink::Name::new(name).is_err() {
                continue;
            }
            let file_type = match name.len() == rest.len() {
                true => StatKey::decode(&value.head).map(|stat| stat.file_type),
                false => Ok(FileType::Dir),
            };
            let name = name.to_vec();
            return Some(match file_type {
                Ok(file_type) => Ok(Child { name, file_type, next }),
                Err(error) => Err(error.into()),
            });
        }
    })
}

/// What the keys of all that is in a directory begin with.
fn prefix(dir: &[u8]) -> Vec<u8> {
    let mut prefix = dir.to_vec();
    if !dir.is_empty() {
        prefix.push(0);
    }
    prefix
}

//! The entries of a snapshot's files: one, those of a directory, or all below it.

use std::ops::Bound;

use bytes::Bytes;

use super::Error;
use crate::{
    format::{
        entry::{self, Entry, FileType, Kind},
        snapshot::Snapshot,
    },
    repo::ReadBlobs,
    tree::{self, KeyRange, Pieces, Root, Value},
};

/// The name of the tree of files among a snapshot's roots.
pub const FILES: &str = "files";

/// The tree of the snapshot's files.
pub fn files_root(snapshot: &Snapshot) -> Option<Root> {
    let named = snapshot.roots.iter().find(|root| root.name == FILES)?;
    Some(Root { id: named.id, level: named.level, entries: named.entries, bytes: named.bytes })
}

/// One thing in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: Bytes,
    pub entry: Entry,
    pub pieces: Pieces,
}

impl Item {
    pub(super) fn of<E: std::error::Error>(key: Bytes, value: Value) -> Result<Item, Error<E>> {
        match Entry::decode(&value.head) {
            Ok(entry) => Ok(Item { key, entry, pieces: value.pieces }),
            Err(source) => Err(Error::Entry { path: show(&key), source }),
        }
    }

    /// `/abs/path`, as bytes.
    pub fn path(&self) -> Vec<u8> {
        entry::path_of_key(&self.key)
    }

    pub fn name(&self) -> &[u8] {
        entry::name_of_key(&self.key)
    }
}

/// A key for people.
pub fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(&entry::path_of_key(key)).into_owned()
}

/// What stands under keys that can't be read, for people.
pub(super) fn lost<E: std::error::Error>(
    keys: Option<&KeyRange>,
    source: tree::Error<E>,
) -> Error<E> {
    let (from, to) = keys.map(KeyRange::ends).unwrap_or_default();
    let to = to.map_or_else(|| "on".to_owned(), |to| format!("up to {}", show(to)));
    Error::Lost { what: format!("what lies from {} {to}", show(from)), source }
}

/// What a person would call it.
pub fn kind_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::File => "file",
        FileType::Dir => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "fifo",
        FileType::Char => "character device",
        FileType::Block => "block device",
        FileType::Socket => "socket",
    }
}

/// The entry at `key`, if there is one.
pub fn one<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    key: &[u8],
) -> Result<Option<Item>, Error<R::Error>> {
    match tree::get(reader, root, key)? {
        Some(value) => Item::of(Bytes::copy_from_slice(key), value).map(Some),
        None => Ok(None),
    }
}

/// How deep a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is directly in a directory.
    Children,
    Everything,
}

/// What stands at `path` and below: a directory's content without itself, anything else itself.
/// The empty path, or `/`, is everything. A path that leads nowhere is an error; one that may lead
/// to what can't be read is not.
pub fn below<'a, R: ReadBlobs>(
    reader: &'a R,
    root: &Root,
    path: &[u8],
    depth: Depth,
) -> Result<Entries<'a, R>, Error<R::Error>> {
    let text = || String::from_utf8_lossy(path).into_owned();
    let key = entry::key_of_path(path).map_err(|_| Error::NoPath { path: text() })?;
    let mut range = KeyRange::new(Bound::Excluded(b""), Bound::Unbounded);
    let mut prefix_bytes = 0;
    if !key.is_empty() {
        let found = one(reader, root, &key);
        if let Ok(Some(item)) = found.as_ref().map(Option::as_ref)
            && item.entry.kind != Kind::Dir
        {
            return Ok(Entries::alone(reader, root, item.clone()));
        }
        let prefix = [&key, &b"\0"[..]].concat();
        range = KeyRange::with_prefix(&prefix);
        prefix_bytes = prefix.len();
        let is_empty = tree::iter(reader, root, range.clone()).next().is_none();
        match found {
            Ok(None) if is_empty => return Err(Error::NoSuchPath { path: text() }),
            // It may be a file, of which nothing else would tell.
            Err(error) if is_empty => return Err(error),
            _ => {}
        }
    }
    let iter = tree::iter(reader, root, range).going_on();
    Ok(Entries { alone: None, iter, depth, prefix_bytes })
}

/// See `below`. In the order of keys: a directory comes before what is in it. What can't be read is
/// an error, and what can be read behind it follows.
pub struct Entries<'a, R> {
    alone: Option<Item>,
    iter: tree::Iter<'a, R>,
    depth: Depth,
    /// So many bytes of each key are the directory's own.
    prefix_bytes: usize,
}

impl<'a, R: ReadBlobs> Entries<'a, R> {
    fn alone(reader: &'a R, root: &Root, item: Item) -> Self {
        let nothing = KeyRange::between(&item.key, &item.key);
        let iter = tree::iter(reader, root, nothing);
        Entries { alone: Some(item), iter, depth: Depth::Everything, prefix_bytes: 0 }
    }

    fn step(&mut self) -> Result<Option<Item>, Error<R::Error>> {
        if let Some(item) = self.alone.take() {
            return Ok(Some(item));
        }
        let next = self.iter.next().transpose();
        let Some((key, value)) = next.map_err(|error| lost(self.iter.lost(), error))? else {
            return Ok(None);
        };
        if self.depth == Depth::Everything {
            return Item::of(key, value).map(Some);
        }
        let child = &key[self.prefix_bytes..];
        let Some(end) = child.iter().position(|&byte| byte == 0) else {
            let item = Item::of(key, value)?;
            if item.entry.kind == Kind::Dir {
                self.pass(&item.key);
            }
            return Ok(Some(item));
        };
        // A directory above what was asked for at backup, of which nothing is known but its name.
        let key = key.slice(..self.prefix_bytes + end);
        self.pass(&key);
        let entry = Entry { kind: Kind::Dir, mode: 0o755, nlink: 1, ..Entry::default() };
        Ok(Some(Item { key, entry, pieces: Pieces::None }))
    }

    /// Goes on behind everything below `key`: no name begins with a byte less than 1.
    fn pass(&mut self, key: &[u8]) {
        self.iter.seek(&[key, b"\x01"].concat());
    }
}

impl<R: ReadBlobs> Iterator for Entries<'_, R> {
    type Item = Result<Item, Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

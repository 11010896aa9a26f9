//! History: every version of one file or one document through the snapshots.

use bytes::Bytes;

use super::{
    Error,
    address::Address,
    deployment::{self, Found, catalogue_root},
    entries::{self, Item},
};
use crate::{
    format::entry,
    repo::{Kept, ReadBlobs},
    tree::{Pieces, Root},
};

/// What a snapshot did to a thing, seen from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Added,
    Changed,
    /// Mode, owner, modification time or attributes of a file, and nothing else.
    Metadata,
    Same,
    Removed,
}

impl Fate {
    pub fn letter(self) -> char {
        match self {
            Fate::Added => '+',
            Fate::Changed => 'M',
            Fate::Metadata => 'U',
            Fate::Same => '=',
            Fate::Removed => '-',
        }
    }
}

/// The thing as one snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub bytes: u64,
    /// Two versions with equal content have equal hashes.
    pub hash: blake3::Hash,
    /// Beside the content; empty for a document.
    metadata: Vec<u8>,
    /// The document itself.
    pub document: Option<Bytes>,
}

/// One snapshot's part in the history.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    pub kept: &'a Kept,
    pub fate: Fate,
    pub old: Option<Version>,
    /// `None`: it was removed.
    pub new: Option<Version>,
}

/// As `verbs::Lost`, of one snapshot.
pub type LostIn<'l, E> = dyn FnMut(&Kept, Error<E>) -> Result<(), Error<E>> + 'l;

/// What became of a thing in these snapshots, which are of one source and in order of time. Empty
/// if none of them has it; otherwise from the first that has it. A snapshot that can't be read
/// there is passed by.
fn steps<'a, E: std::error::Error>(
    snapshots: &[&'a Kept],
    look: &mut dyn FnMut(&'a Kept) -> Result<Option<Version>, Error<E>>,
    lost: &mut LostIn<'_, E>,
) -> Result<Vec<Step<'a>>, Error<E>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut old: Option<Version> = None;
    for kept in snapshots {
        let new = match look(kept) {
            Ok(new) => new,
            Err(error) => {
                lost(kept, error)?;
                continue;
            }
        };
        let fate = match (&old, &new) {
            (None, None) => continue,
            (None, Some(_)) => Fate::Added,
            (Some(_), None) => Fate::Removed,
            (Some(old), Some(new)) if old.hash != new.hash => Fate::Changed,
            (Some(old), Some(new)) if old.metadata != new.metadata => Fate::Metadata,
            _ => Fate::Same,
        };
        steps.push(Step { kept, fate, old: old.clone(), new: new.clone() });
        old = new;
    }
    Ok(steps)
}

/// Of the document at an address; a snapshot without the collection is one without the document.
pub fn of_document<'a, R: ReadBlobs>(
    reader: &R,
    snapshots: &[&'a Kept],
    address: &Address,
    lost: &mut LostIn<'_, R::Error>,
) -> Result<Vec<Step<'a>>, Error<R::Error>> {
    // Where the collection's tree is the same, so is the document.
    let mut last: Option<(Root, Option<Version>)> = None;
    let mut look = |kept: &'a Kept| {
        let Some(root) = catalogue_root(&kept.snapshot) else { return Ok(None) };
        let (collection, id) = match deployment::resolve(reader, &root, address) {
            Ok(Found::Document(collection, id)) => (collection, id),
            // A collection of that whole name, here or in some other snapshot.
            Ok(_) | Err(Error::NoSuchCollection { .. } | Error::NoSuchDatabase { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let (Some((known, version)), Some(root)) = (&last, collection.root)
            && *known == root
        {
            return Ok(version.clone());
        }
        let version = match deployment::by_id(reader, &collection, &id) {
            Ok(found) => Some(Version {
                bytes: found.bytes.len() as u64,
                hash: blake3::hash(&found.bytes),
                metadata: Vec::new(),
                document: Some(found.bytes),
            }),
            Err(Error::NoSuchDocument { .. } | Error::NoDocuments { .. }) => None,
            Err(error) => return Err(error),
        };
        last = collection.root.map(|root| (root, version.clone()));
        Ok(version)
    };
    steps(snapshots, &mut look, lost)
}

/// Of what stands at a path.
pub fn of_path<'a, R: ReadBlobs>(
    reader: &R,
    snapshots: &[&'a Kept],
    path: &[u8],
    lost: &mut LostIn<'_, R::Error>,
) -> Result<Vec<Step<'a>>, Error<R::Error>> {
    let no_path = |_| Error::NoPath { path: String::from_utf8_lossy(path).into_owned() };
    let key = entry::key_of_path(path).map_err(no_path)?;
    let mut look = |kept: &'a Kept| {
        let Some(root) = entries::files_root(&kept.snapshot) else { return Ok(None) };
        Ok(entries::one(reader, &root, &key)?.map(|item| version_of(&item)))
    };
    steps(snapshots, &mut look, lost)
}

fn version_of(item: &Item) -> Version {
    let entry = &item.entry;
    let mut hasher = blake3::Hasher::new();
    // What is content is told by the sort of thing, where a link leads, and the pieces by name.
    hasher.update(format!("{:?}", entry.kind).as_bytes());
    hasher.update(&entry.inline);
    match &item.pieces {
        Pieces::None => {}
        Pieces::List(list) => {
            for piece in list {
                hasher.update(piece.id.as_ref().map_or(&[0; 32], |id| id.bytes()));
                hasher.update(&piece.len.to_le_bytes());
            }
        }
        Pieces::Tree(root) | Pieces::Map(root) => {
            hasher.update(root.id.bytes());
        }
    }
    let Item { entry, .. } = item;
    let facts = (entry.mode, entry.uid, entry.gid, &entry.user, &entry.group, entry.mtime);
    Version {
        bytes: entry.size,
        hash: hasher.finalize(),
        metadata: format!("{facts:?}{:?}", entry.xattrs).into_bytes(),
        document: None,
    }
}

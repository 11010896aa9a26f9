//! Diff: what makes one snapshot's files into another's.

use std::collections::HashSet;

use super::{Error, entries::Item};
use crate::{
    format::entry::{Entry, FileType},
    repo::ReadBlobs,
    tree::{self, Change, KeyRange, Piece, Pieces, Root},
};

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modifier {
    Added,
    Removed,
    /// It is another sort of thing now.
    Type,
    Content,
    /// Mode, owner, modification time or attributes, and nothing else.
    Metadata,
}

impl Modifier {
    /// restic's letter for it.
    pub fn letter(self) -> char {
        match self {
            Modifier::Added => '+',
            Modifier::Removed => '-',
            Modifier::Type => 'T',
            Modifier::Content => 'M',
            Modifier::Metadata => 'U',
        }
    }
}

/// One entry that differs.
#[derive(Debug, Clone)]
pub struct Changed {
    pub modifier: Modifier,
    pub old: Option<Item>,
    pub new: Option<Item>,
}

impl Changed {
    /// Where it is in the new snapshot, or was in the old one.
    pub fn item(&self) -> &Item {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has at least one side")
    }
}

/// How much of one side the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Side {
    pub files: u64,
    pub dirs: u64,
    pub others: u64,
    /// Content that the file's other form does not have.
    pub bytes: u64,
}

/// The changes, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub changed_files: u64,
    pub changed_metadata: u64,
    pub added: Side,
    pub removed: Side,
}

impl Tally {
    pub fn count(&mut self, changed: &Changed) {
        match changed.modifier {
            Modifier::Added | Modifier::Removed => {}
            Modifier::Type | Modifier::Content => self.changed_files += 1,
            Modifier::Metadata => self.changed_metadata += 1,
        }
        let [old, new] = [&changed.old, &changed.new].map(Option::as_ref);
        self.added.bytes += bytes_beyond(new, old);
        self.removed.bytes += bytes_beyond(old, new);
        match changed.modifier {
            Modifier::Added => self.added.count(new),
            Modifier::Removed => self.removed.count(old),
            _ => {}
        }
    }
}

impl Side {
    fn count(&mut self, item: Option<&Item>) {
        match item.map(|item| item.entry.kind.file_type()) {
            Some(FileType::File) => self.files += 1,
            Some(FileType::Dir) => self.dirs += 1,
            Some(_) => self.others += 1,
            None => {}
        }
    }
}

/// Content of `item` that is not in `other`. A list of pieces too long to stand in the entry
/// counts by its whole length.
fn bytes_beyond(item: Option<&Item>, other: Option<&Item>) -> u64 {
    let Some(item) = item else { return 0 };
    let same_content = other.is_some_and(|other| {
        item.pieces == other.pieces && item.entry.inline == other.entry.inline
    });
    match (&item.pieces, other.map(|other| &other.pieces)) {
        _ if same_content => 0,
        (Pieces::List(list), Some(Pieces::List(known))) => {
            let known: HashSet<_> = known.iter().map(|piece| piece.id).collect();
            let unknown = |piece: &&Piece| piece.id.is_some() && !known.contains(&piece.id);
            list.iter().filter(unknown).map(|piece| piece.len).sum()
        }
        _ => item.entry.size,
    }
}

/// The stretch of both trees that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Keys of directories or files; empty: everything.
    pub old: Vec<u8>,
    pub new: Vec<u8>,
}

type Step<E> = Result<Changed, Error<E>>;

/// Every entry that differs, in the order of keys. Where both sides are the same place, equal
/// subtrees are skipped unread; two places are compared entry by entry.
pub fn diff<'a, R: ReadBlobs>(
    reader: &'a R,
    old: &Root,
    new: &Root,
    scope: &'a Scope,
) -> Box<dyn Iterator<Item = Step<R::Error>> + 'a> {
    if scope.old == scope.new {
        let inside = move |key: &[u8]| relative(key, &scope.old).is_some();
        return Box::new(tree::diff(reader, old, new).filter_map(move |change| match change {
            Err(error) => Some(Err(error.into())),
            Ok(change) if !inside(&change.key) => None,
            Ok(change) => judge(change).transpose(),
        }));
    }
    Box::new(Places {
        old: side(reader, old, &scope.old).peekable(),
        new: side(reader, new, &scope.new).peekable(),
    })
}

/// The part of `key` below `base`, with the separator before it; `None` outside of it.
fn relative<'k>(key: &'k [u8], base: &[u8]) -> Option<&'k [u8]> {
    let rest = key.strip_prefix(base)?;
    (base.is_empty() || rest.is_empty() || rest[0] == 0).then_some(rest)
}

fn judge<E: std::error::Error>(change: Change) -> Result<Option<Changed>, Error<E>> {
    let item = |value| Item::of(change.key.clone(), value);
    let old = change.old.map(item).transpose()?;
    let new = change.new.map(item).transpose()?;
    Ok(compare(old, new))
}

fn compare(old: Option<Item>, new: Option<Item>) -> Option<Changed> {
    let modifier = match (&old, &new) {
        (None, None) => return None,
        (None, Some(_)) => Modifier::Added,
        (Some(_), None) => Modifier::Removed,
        (Some(a), Some(b)) => differ(a, b)?,
    };
    Some(Changed { modifier, old, new })
}

// An inode, a device and the time of the last change of status are no property that could be
// brought back: alone they are no difference.
fn differ(a: &Item, b: &Item) -> Option<Modifier> {
    let (x, y) = (&a.entry, &b.entry);
    if x.kind.file_type() != y.kind.file_type() {
        return Some(Modifier::Type);
    }
    if x.kind != y.kind || a.pieces != b.pieces || x.inline != y.inline || x.size != y.size {
        return Some(Modifier::Content);
    }
    let facts = |e: &Entry| {
        (e.mode, e.uid, e.gid, e.user.clone(), e.group.clone(), e.mtime, e.xattrs.clone())
    };
    (facts(x) != facts(y)).then_some(Modifier::Metadata)
}

type Stretch<'a, E> = Box<dyn Iterator<Item = Result<(Vec<u8>, Item), Error<E>>> + 'a>;

/// What stands at and below `base`, each with its key from there on.
fn side<'a, R: ReadBlobs>(reader: &'a R, root: &Root, base: &'a [u8]) -> Stretch<'a, R::Error> {
    let range = if base.is_empty() { KeyRange::all() } else { KeyRange::with_prefix(base) };
    Box::new(tree::iter(reader, root, range).filter_map(move |found| match found {
        Err(error) => Some(Err(error.into())),
        Ok((key, value)) => {
            let below = relative(&key, base)?.to_vec();
            Some(Item::of(key, value).map(|item| (below, item)))
        }
    }))
}

/// Two places side by side.
struct Places<'a, E: std::error::Error + 'static> {
    old: std::iter::Peekable<Stretch<'a, E>>,
    new: std::iter::Peekable<Stretch<'a, E>>,
}

impl<E: std::error::Error + 'static> Places<'_, E> {
    fn pair(&mut self) -> Result<Option<(Option<Item>, Option<Item>)>, Error<E>> {
        let key = |side: &mut std::iter::Peekable<Stretch<'_, E>>| match side.peek() {
            Some(Ok((key, _))) => Some(key.clone()),
            _ => None,
        };
        let (old, new) = (key(&mut self.old), key(&mut self.new));
        // An error on either side comes out before anything is concluded from its absence.
        if old.is_none() && self.old.peek().is_some() {
            return Err(failed(self.old.next()));
        }
        if new.is_none() && self.new.peek().is_some() {
            return Err(failed(self.new.next()));
        }
        let (take_old, take_new) = match (&old, &new) {
            (None, None) => return Ok(None),
            (Some(old), Some(new)) => (old <= new, new <= old),
            (old, new) => (old.is_some(), new.is_some()),
        };
        let old = if take_old { self.old.next().transpose()? } else { None };
        let new = if take_new { self.new.next().transpose()? } else { None };
        Ok(Some((old.map(|pair| pair.1), new.map(|pair| pair.1))))
    }
}

fn failed<E: std::error::Error>(step: Option<Result<(Vec<u8>, Item), Error<E>>>) -> Error<E> {
    step.and_then(Result::err).expect("only an error has no key")
}

impl<E: std::error::Error + 'static> Iterator for Places<'_, E> {
    type Item = Step<E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pair() {
                Err(error) => return Some(Err(error)),
                Ok(None) => return None,
                Ok(Some((old, new))) => {
                    if let Some(changed) = compare(old, new) {
                        return Some(Ok(changed));
                    }
                }
            }
        }
    }
}

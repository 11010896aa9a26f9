//! Diff: what makes one snapshot's files into another's.

use std::{collections::HashSet, ops::Bound};

use super::{
    Error,
    entries::{self, Item},
};
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
/// subtrees are skipped unread; two places are compared entry by entry. What can't be read is an
/// error, and nothing is told of what the other side has there; what can be read behind it follows.
pub fn diff<'a, R: ReadBlobs>(
    reader: &'a R,
    old: &Root,
    new: &Root,
    scope: &'a Scope,
) -> Box<dyn Iterator<Item = Step<R::Error>> + 'a> {
    if scope.old == scope.new {
        return Box::new(one_place(tree::diff(reader, old, new).going_on(), &scope.old));
    }
    Box::new(Places {
        old: Stretch::new(reader, old, &scope.old),
        new: Stretch::new(reader, new, &scope.new),
        lost: Vec::new(),
    })
}

fn one_place<'a, R: ReadBlobs>(
    mut changes: tree::Diff<'a, R>,
    base: &'a [u8],
) -> impl Iterator<Item = Step<R::Error>> + 'a {
    std::iter::from_fn(move || {
        loop {
            let step = match changes.next()? {
                Ok(change) if relative(&change.key, base).is_none() => None,
                Ok(change) => judge(change).transpose(),
                Err(error) => {
                    let keys = changes.lost();
                    let is_outside = keys.is_some_and(|keys| !keys_of(base).meets(keys));
                    (!is_outside).then(|| Err(entries::lost(keys, error)))
                }
            };
            if step.is_some() {
                return step;
            }
        }
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

/// The keys of `base` itself and of what is below it.
fn keys_of(base: &[u8]) -> KeyRange {
    match base {
        b"" => KeyRange::all(),
        base => KeyRange::between(base, &[base, &[1]].concat()),
    }
}

/// What stands at and below `base` in one of the trees, each with its key from there on.
struct Stretch<'a, R> {
    iter: tree::Iter<'a, R>,
    base: &'a [u8],
    ahead: Option<(Vec<u8>, Item)>,
}

impl<'a, R: ReadBlobs> Stretch<'a, R> {
    fn new(reader: &'a R, root: &Root, base: &'a [u8]) -> Self {
        let iter = tree::iter(reader, root, keys_of(base)).going_on();
        Stretch { iter, base, ahead: None }
    }

    /// Sees to it that what comes next is ahead, if anything does. The keys of what can't be read
    /// go to `lost`.
    fn look(&mut self, lost: &mut Vec<KeyRange>) -> Result<(), Error<R::Error>> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let Some(found) = self.iter.next() else { return Ok(()) };
        let (key, value) = found.map_err(|error| {
            let keys = self.iter.lost();
            lost.extend(keys.map(|keys| self.after_base(keys)));
            entries::lost(keys, error)
        })?;
        let below = relative(&key, self.base).expect("nothing else is in the range").to_vec();
        let item = Item::of(key, value).inspect_err(|_| {
            let only = Bound::Included(&below[..]);
            lost.push(KeyRange::new(only, only));
        })?;
        self.ahead = Some((below, item));
        Ok(())
    }

    fn after_base(&self, keys: &KeyRange) -> KeyRange {
        let (from, to) = keys.ends();
        let from = from.strip_prefix(self.base).unwrap_or_default();
        let to = to.and_then(|to| to.strip_prefix(self.base));
        KeyRange::new(Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// Two places side by side.
struct Places<'a, R> {
    old: Stretch<'a, R>,
    new: Stretch<'a, R>,
    /// Where one of them is not known, and what the other has there says nothing.
    lost: Vec<KeyRange>,
}

impl<R: ReadBlobs> Places<'_, R> {
    fn step(&mut self) -> Result<Option<Changed>, Error<R::Error>> {
        loop {
            // An error on either side comes out before anything is concluded from its absence.
            self.old.look(&mut self.lost)?;
            self.new.look(&mut self.lost)?;
            let key = |side: &Stretch<'_, R>| side.ahead.as_ref().map(|(key, _)| key.clone());
            let (old, new) = match (key(&self.old), key(&self.new)) {
                (None, None) => return Ok(None),
                (old, None) => (old, None),
                (None, new) => (None, new),
                (old, new) if old < new => (old, None),
                (old, new) if old > new => (None, new),
                both => both,
            };
            let is_on_both = old.is_some() && new.is_some();
            let is_known = |key: &Vec<u8>| !self.lost.iter().any(|lost| lost.holds(key));
            let is_known = is_on_both || old.iter().chain(&new).all(is_known);
            let take = |side: &mut Stretch<'_, R>| side.ahead.take().map(|(_, item)| item);
            let old = old.and_then(|_| take(&mut self.old));
            let new = new.and_then(|_| take(&mut self.new));
            if let Some(changed) = compare(old, new).filter(|_| is_known) {
                return Ok(Some(changed));
            }
        }
    }
}

impl<R: ReadBlobs> Iterator for Places<'_, R> {
    type Item = Step<R::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

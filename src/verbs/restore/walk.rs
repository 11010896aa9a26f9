//! A snapshot's files in key order, as what to enter, make and leave below a target.

use super::{
    item::Item,
    select::{Selection, Wanted},
};
use crate::{
    format,
    repo::ReadBlobs,
    sink::{self, Place},
    tree::{self, Value},
};

/// Who is told what the walk meets. Every directory is entered before what is in it.
pub(super) trait Visit {
    type Blobs: ReadBlobs;

    /// False: nothing in it is wanted. `item` is `None` for a directory that the snapshot knows
    /// only by what is in it.
    fn enter(&mut self, place: Place<'_>, item: Option<Item>) -> Result<bool, Fail<Self>>;
    fn item(&mut self, place: Place<'_>, item: Item) -> Result<(), Fail<Self>>;
    /// Of the directory entered last and not left yet.
    fn leave(&mut self) -> Result<(), Fail<Self>>;
    /// An entry that names no place below the target, or can't be understood.
    fn refused(&mut self, key: &[u8], why: Refused) -> Result<(), Fail<Self>>;
    /// Entries after `key`, nobody knows how many, in a damaged node.
    fn lost(&mut self, key: &[u8], why: &tree::Error<BlobError<Self>>) -> Result<(), Fail<Self>>;
}

pub(super) type BlobError<V> = <<V as Visit>::Blobs as ReadBlobs>::Error;
pub(super) type Fail<V> = super::Error<BlobError<V>>;

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Name(sink::Error),
    #[error(transparent)]
    Entry(format::Error),
    #[error("it stands below something that is no directory")]
    BelowNoDirectory,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    On,
    /// Everything below this entry is of no interest: a reader may go past it.
    PastIt,
}

/// One restore's way through the entries; `meet` is called for each in key order.
pub(super) struct Walk<'a, V> {
    selection: &'a Selection,
    /// So many bytes at the start of each key are not restored (`SNAP:/abs/path`).
    strip_bytes: usize,
    visitor: V,
    /// The directories from the target down to where the walk is.
    levels: Vec<Level>,
    /// The key of the deepest of them.
    path: Vec<u8>,
    /// The key of the last entry that is no directory.
    last_leaf: Vec<u8>,
}

struct Level {
    key_bytes: usize,
    item: Option<Item>,
    /// By a pattern, itself or through a directory above.
    included: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing in it was wanted yet.
    New,
    Entered,
    Shut,
}

impl<'a, V: Visit> Walk<'a, V> {
    pub fn new(selection: &'a Selection, strip_bytes: usize, visitor: V) -> Self {
        let (levels, path, last_leaf) = (Vec::new(), Vec::new(), Vec::new());
        Walk { selection, strip_bytes, visitor, levels, path, last_leaf }
    }

    /// `full_key` begins with what is stripped.
    pub fn meet(&mut self, full_key: &[u8], value: &Value) -> Result<Next, Fail<V>> {
        let place = match Place::new(&full_key[self.strip_bytes..]) {
            Ok(place) if place.is_top() => return Ok(Next::On),
            Ok(place) => place,
            Err(error) => return self.refuse(full_key, Refused::Name(error)),
        };
        let item = match Item::of(value) {
            Ok(item) => item,
            Err(error) => return self.refuse(full_key, Refused::Entry(error)),
        };
        if !self.last_leaf.is_empty() && is_below(place.key(), &self.last_leaf) {
            return self.refuse(full_key, Refused::BelowNoDirectory);
        }
        self.leave_until(place)?;
        self.imply_parents(full_key, place);
        if self.levels.last().is_some_and(|level| level.state == State::Shut) {
            return Ok(Next::PastIt);
        }
        let inherited = self.levels.last().is_some_and(|level| level.included);
        let wanted = self.selection.judge(full_key, item.is_dir(), inherited);
        if item.is_dir() {
            return self.meet_dir(place, item, wanted);
        }
        self.last_leaf.clear();
        self.last_leaf.extend_from_slice(place.key());
        if wanted == Wanted::Yes && self.enter_all()? {
            self.visitor.item(place, item)?;
        }
        Ok(Next::On)
    }

    /// Leaves what is still open.
    pub fn finish(mut self) -> Result<V, Fail<V>> {
        self.leave_until(Place::TOP)?;
        Ok(self.visitor)
    }

    pub fn visitor(&mut self) -> &mut V {
        &mut self.visitor
    }

    fn meet_dir(&mut self, place: Place<'_>, item: Item, wanted: Wanted) -> Result<Next, Fail<V>> {
        self.push(place, Some(item), wanted);
        let open = match wanted {
            Wanted::Yes => self.enter_all()?,
            Wanted::PerhapsBelow => true,
            Wanted::No => false,
        };
        Ok(if open { Next::On } else { Next::PastIt })
    }

    fn refuse(&mut self, full_key: &[u8], why: Refused) -> Result<Next, Fail<V>> {
        self.visitor.refused(full_key, why)?;
        Ok(Next::On)
    }

    fn leave_until(&mut self, place: Place<'_>) -> Result<(), Fail<V>> {
        while !self.levels.is_empty() && !is_below(place.key(), &self.path) {
            let state = self.levels.pop().expect("not empty").state;
            self.path.truncate(self.levels.last().map_or(0, |level| level.key_bytes));
            if state == State::Entered {
                self.visitor.leave()?;
            }
        }
        Ok(())
    }

    /// Directories above `place` that have no entry of their own.
    fn imply_parents(&mut self, full_key: &[u8], place: Place<'_>) {
        let Some((parent, _)) = place.split() else { return };
        while self.path.len() < parent.key().len() {
            let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
            let name = parent.key()[start..].iter().position(|&byte| byte == 0);
            let end = name.map_or(parent.key().len(), |at| start + at);
            let inherited = self.levels.last().is_some_and(|level| level.included);
            let full = &full_key[..self.strip_bytes + end];
            let wanted = self.selection.judge(full, true, inherited);
            let implied = Place::new(&parent.key()[..end]).expect("its names were checked");
            self.push(implied, None, wanted);
        }
    }

    fn push(&mut self, place: Place<'_>, item: Option<Item>, wanted: Wanted) {
        self.path.clear();
        self.path.extend_from_slice(place.key());
        let included = wanted == Wanted::Yes;
        let state = if wanted == Wanted::No { State::Shut } else { State::New };
        self.levels.push(Level { key_bytes: place.key().len(), item, included, state });
    }

    /// False when one of the directories is shut.
    fn enter_all(&mut self) -> Result<bool, Fail<V>> {
        for level in &mut self.levels {
            if level.state == State::New {
                let place = Place::new(&self.path[..level.key_bytes]);
                let place = place.expect("its names were checked");
                let open = self.visitor.enter(place, level.item.take())?;
                level.state = if open { State::Entered } else { State::Shut };
            }
            if level.state == State::Shut {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn is_below(key: &[u8], dir: &[u8]) -> bool {
    key.len() > dir.len() && key[dir.len()] == 0 && key.starts_with(dir)
}

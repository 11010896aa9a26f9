//! What is different between two maps, at the price of what is different.

use std::{cmp::Ordering, iter::FusedIterator};

use bytes::Bytes;

use super::{
    cursor::{Cursor, Here},
    error::Error,
    range::KeyRange,
    value::{Root, Value},
};
use crate::repo::ReadBlobs;

/// A key that the two maps do not agree on; `old` and `new` are never equal, nor both `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Bytes,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// The changes that make `old` into `new`, in the order of their keys. Subtrees that both have are
/// skipped unread, wherever they stand and however high the trees are.
pub fn diff<'a, R: ReadBlobs>(blobs: &'a R, old: &Root, new: &Root) -> Diff<'a, R> {
    let (old, new) = (Cursor::new(blobs, old), Cursor::new(blobs, new));
    Diff { old, new, goes_on: false, lost: Vec::new(), is_done: false }
}

/// See `diff`. After an error it is at its end, unless it was told to go on.
pub struct Diff<'a, R> {
    old: Cursor<'a, R>,
    new: Cursor<'a, R>,
    goes_on: bool,
    /// Where one side is not known, and the other side's entries say nothing.
    lost: Vec<KeyRange>,
    is_done: bool,
}

/// What is to be done at a pair of places.
enum Next {
    End,
    SkipBoth,
    DescendOld,
    DescendNew,
    DescendBoth,
    Tell(Box<Change>, Ordering),
}

impl<R: ReadBlobs> Diff<'_, R> {
    /// After an error it goes on behind the node that could not be had. Of the keys that the node
    /// is the place of, nothing is told.
    pub fn going_on(self) -> Self {
        Diff { goes_on: true, ..self }
    }

    /// The keys that the node of the last error is the place of.
    pub fn lost(&self) -> Option<&KeyRange> {
        self.lost.last()
    }

    fn step(&mut self) -> Result<Option<Change>, Error<R::Error>> {
        loop {
            match self.look() {
                Next::End => return Ok(None),
                Next::SkipBoth => self.skip(Ordering::Equal),
                Next::DescendOld => descend(&mut self.old, &mut self.lost)?,
                Next::DescendNew => descend(&mut self.new, &mut self.lost)?,
                Next::DescendBoth => {
                    descend(&mut self.old, &mut self.lost)?;
                    descend(&mut self.new, &mut self.lost)?;
                }
                Next::Tell(change, whose) => {
                    self.skip(whose);
                    self.lost.retain(|lost| !lost.ends_before(&change.key));
                    let is_known = !self.lost.iter().any(|lost| lost.holds(&change.key));
                    if whose.is_eq() || is_known {
                        return Ok(Some(*change));
                    }
                }
            }
        }
    }

    /// `Less`: the old side's place is done with; `Greater`: the new side's; `Equal`: both.
    fn skip(&mut self, whose: Ordering) {
        if whose.is_le() {
            self.old.skip();
        }
        if whose.is_ge() {
            self.new.skip();
        }
    }

    fn look(&self) -> Next {
        match (self.old.here(), self.new.here()) {
            (Here::End, Here::End) => Next::End,
            (Here::Subtree { child: old, .. }, Here::Subtree { child: new, .. }) => {
                match old.level.cmp(&new.level) {
                    Ordering::Greater => Next::DescendOld,
                    Ordering::Less => Next::DescendNew,
                    Ordering::Equal if old.id == new.id => Next::SkipBoth,
                    Ordering::Equal => Next::DescendBoth,
                }
            }
            (Here::Entry { leaf, row }, Here::Subtree { child, .. })
                if leaf.key(row) >= &child.low[..] =>
            {
                Next::DescendNew
            }
            (Here::Subtree { child, .. }, Here::Entry { leaf, row })
                if leaf.key(row) >= &child.low[..] =>
            {
                Next::DescendOld
            }
            (Here::Subtree { .. }, Here::End) => Next::DescendOld,
            (Here::End, Here::Subtree { .. }) => Next::DescendNew,
            (Here::Entry { leaf: old, row }, Here::Entry { leaf: new, row: new_row }) => {
                match old.key(row).cmp(new.key(new_row)) {
                    Ordering::Less => tell_old(old, row),
                    Ordering::Greater => tell_new(new, new_row),
                    Ordering::Equal if old.row(row) == new.row(new_row) => Next::SkipBoth,
                    Ordering::Equal => {
                        let (old_value, new_value) = (old.value(row), new.value(new_row));
                        let key = new.key_bytes(new_row);
                        let change = Change { key, old: Some(old_value), new: Some(new_value) };
                        Next::Tell(Box::new(change), Ordering::Equal)
                    }
                }
            }
            (Here::Entry { leaf, row }, _) => tell_old(leaf, row),
            (_, Here::Entry { leaf, row }) => tell_new(leaf, row),
        }
    }
}

fn descend<R: ReadBlobs>(
    side: &mut Cursor<'_, R>,
    lost: &mut Vec<KeyRange>,
) -> Result<(), Error<R::Error>> {
    side.descend().map(drop).inspect_err(|_| lost.extend(side.give_up()))
}

fn tell_old(leaf: &super::node::Leaf, row: usize) -> Next {
    let change = Change { key: leaf.key_bytes(row), old: Some(leaf.value(row)), new: None };
    Next::Tell(Box::new(change), Ordering::Less)
}

fn tell_new(leaf: &super::node::Leaf, row: usize) -> Next {
    let change = Change { key: leaf.key_bytes(row), old: None, new: Some(leaf.value(row)) };
    Next::Tell(Box::new(change), Ordering::Greater)
}

impl<R: ReadBlobs> Iterator for Diff<'_, R> {
    type Item = Result<Change, Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let step = self.step();
        self.is_done = match &step {
            Ok(change) => change.is_none(),
            Err(_) => !self.goes_on,
        };
        step.transpose()
    }
}

impl<R: ReadBlobs> FusedIterator for Diff<'_, R> {}

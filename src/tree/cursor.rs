//! A place in a tree: at an entry, or before a subtree that need not be read at all.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    error::{Error, Fault},
    node::{self, Child, Inner, Leaf, Node},
    range::KeyRange,
    value::Root,
};
use crate::{id::BlobKind, limits::TREE_LEVELS_MAX, repo::ReadBlobs};

/// Moves forward only. Starts before the root, which has not been read.
pub struct Cursor<'a, R> {
    blobs: &'a R,
    root: Root,
    /// Nothing was read yet, or everything is behind.
    root_is_ahead: bool,
    path: Vec<Step>,
    /// Nodes that `leaf_after_stands_alone` read before the cursor comes to them.
    foreseen: Vec<(Child, Arc<Node>)>,
    /// How many children of a lowest inner node to announce at a time; 0: none.
    announce: usize,
}

/// A node on the way down, and the row at which the way goes on.
struct Step {
    node: Arc<Node>,
    low: Bytes,
    high: Option<Bytes>,
    at: usize,
}

/// What lies at the cursor.
pub enum Here<'c> {
    End,
    /// `high`: all its keys lie below; `None` at the right edge of the tree.
    Subtree {
        child: Child,
        high: Option<Bytes>,
    },
    Entry {
        leaf: &'c Leaf,
        row: usize,
    },
}

impl<'a, R: ReadBlobs> Cursor<'a, R> {
    pub fn new(blobs: &'a R, root: &Root) -> Self {
        Cursor {
            blobs,
            root: *root,
            root_is_ahead: true,
            path: Vec::new(),
            foreseen: Vec::new(),
            announce: 0,
        }
    }

    /// For one who is going to read on and on: leaves are announced to the repository.
    pub fn announcing(self, leaves: usize) -> Self {
        Cursor { announce: leaves, ..self }
    }

    pub fn here(&self) -> Here<'_> {
        let Some(step) = self.path.last() else {
            return match self.root_is_ahead {
                true => Here::Subtree { child: self.root_child(), high: None },
                false => Here::End,
            };
        };
        match &*step.node {
            Node::Leaf(leaf) => Here::Entry { leaf, row: step.at },
            Node::Inner(inner) => {
                let (child, high) = child_of(inner, step, step.at);
                Here::Subtree { child, high }
            }
        }
    }

    /// Moves past the entry or the whole subtree.
    pub fn skip(&mut self) {
        match self.path.last_mut() {
            Some(step) => step.at += 1,
            None => self.root_is_ahead = false,
        }
        self.settle();
    }

    /// Within the leaf or the inner node at hand: moves to the first row that may hold `key` or
    /// what follows it. Never back.
    pub fn skip_within(&mut self, key: &[u8]) {
        if let Some(step) = self.path.last_mut() {
            let found = match &*step.node {
                Node::Leaf(leaf) => leaf.find(key),
                Node::Inner(inner) => inner.find(key),
            };
            step.at = step.at.max(found);
            self.settle();
        }
    }

    /// Reads the subtree's node and stands before its first row. Returns the node, or `None` if
    /// there is no subtree here.
    pub fn descend(&mut self) -> Result<Option<(Child, Arc<Node>)>, Error<R::Error>> {
        let Here::Subtree { child, high } = self.here() else { return Ok(None) };
        self.announce_around(&child);
        let node = match self.foreseen.iter().position(|(foreseen, _)| foreseen.id == child.id) {
            Some(at) => self.foreseen.swap_remove(at).1,
            None => Arc::new(read_node(self.blobs, &child)?),
        };
        check_range(&node, &child, high.as_ref())
            .map_err(|source| Error::Damaged { id: child.id, source })?;
        let low = child.low.clone();
        self.path.push(Step { node: node.clone(), low, high, at: 0 });
        self.settle();
        Ok(Some((child, node)))
    }

    /// Moves past a subtree whose node can't be had. The keys that it is the place of.
    pub fn give_up(&mut self) -> Option<KeyRange> {
        let Here::Subtree { child, high } = self.here() else { return None };
        self.skip();
        Some(match high {
            Some(high) => KeyRange::between(&child.low, &high),
            None => KeyRange::starting_at(&child.low),
        })
    }

    /// Whether the leaf that follows the subtree at hand holds a single entry and would be the
    /// place of `key`. Reads only nodes that are on the way to `key` anyway.
    pub fn leaf_after_stands_alone(&mut self, key: &[u8]) -> Result<bool, Error<R::Error>> {
        let Some((mut child, mut high)) = self.following() else { return Ok(false) };
        loop {
            if high.as_ref().is_some_and(|high| &high[..] <= key) {
                return Ok(false);
            }
            if child.level == 0 {
                return Ok(child.entries == 1);
            }
            let known = self.foreseen.iter().find(|(foreseen, _)| foreseen.id == child.id);
            let node = match known {
                Some((_, node)) => node.clone(),
                None => {
                    let node = Arc::new(read_node(self.blobs, &child)?);
                    self.foreseen.push((child.clone(), node.clone()));
                    node
                }
            };
            let Node::Inner(inner) = &*node else { return Ok(false) };
            if inner.len() > 1 {
                high = Some(inner.separator(1));
            }
            child = inner.child(0, &child.low);
        }
    }

    fn root_child(&self) -> Child {
        let Root { id, level, entries, bytes } = self.root;
        Child { low: Bytes::new(), id, level, entries, bytes }
    }

    /// The subtree after the one at hand.
    fn following(&self) -> Option<(Child, Option<Bytes>)> {
        self.path.iter().rev().find_map(|step| match &*step.node {
            Node::Inner(inner) if step.at + 1 < inner.len() => {
                Some(child_of(inner, step, step.at + 1))
            }
            _ => None,
        })
    }

    /// Leaves nodes whose rows are all behind.
    fn settle(&mut self) {
        while self.path.last().is_some_and(|step| step.at >= step.node.len()) {
            self.path.pop();
            match self.path.last_mut() {
                Some(above) => above.at += 1,
                None => self.root_is_ahead = false,
            }
        }
    }

    fn announce_around(&self, child: &Child) {
        let (Some(step), 0, true) = (self.path.last(), child.level, self.announce > 0) else {
            return;
        };
        if let Node::Inner(inner) = &*step.node
            && step.at % self.announce == 0
        {
            let ids: Vec<_> = inner.ids().skip(step.at).take(self.announce).collect();
            self.blobs.expect(BlobKind::Node, &ids);
        }
    }
}

fn child_of(inner: &Inner, step: &Step, row: usize) -> (Child, Option<Bytes>) {
    let last = row + 1 == inner.len();
    let high = if last { step.high.clone() } else { Some(inner.separator(row + 1)) };
    (inner.child(row, &step.low), high)
}

/// Reads one node and holds it against what the node above says of it, but for its range.
pub fn read_node<R: ReadBlobs>(blobs: &R, child: &Child) -> Result<Node, Error<R::Error>> {
    let damaged = |source| Error::Damaged { id: child.id, source };
    if child.level > TREE_LEVELS_MAX {
        return Err(damaged(Fault::TooHigh));
    }
    let bytes = blobs.read(BlobKind::Node, &child.id).map_err(|source| Error::Read {
        kind: BlobKind::Node,
        id: child.id,
        source,
    })?;
    let node = node::decode(bytes).map_err(damaged)?;
    if node.level() != child.level {
        return Err(damaged(Fault::Level { wanted: child.level, found: node.level() }));
    }
    if node.totals() != (child.entries, child.bytes) {
        return Err(damaged(Fault::Totals));
    }
    Ok(node)
}

fn check_range(node: &Node, child: &Child, high: Option<&Bytes>) -> Result<(), Fault> {
    let last = node.len().saturating_sub(1);
    let below_high = |key: &[u8]| high.is_none_or(|high| key < &high[..]);
    match node {
        Node::Leaf(leaf) if leaf.len() == 0 => Ok(()),
        Node::Leaf(leaf) if leaf.key(0) < &child.low[..] => Err(Fault::Range { row: 0 }),
        Node::Leaf(leaf) if !below_high(leaf.key(last)) => Err(Fault::Range { row: last }),
        Node::Inner(inner) if last > 0 && inner.separator(1) <= child.low => {
            Err(Fault::Range { row: 1 })
        }
        Node::Inner(inner) if last > 0 && !below_high(&inner.separator(last)) => {
            Err(Fault::Range { row: last })
        }
        _ => Ok(()),
    }
}

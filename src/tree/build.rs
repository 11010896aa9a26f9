//! Rows in, nodes out: one open node a level, closed where the splitter says.

use bytes::Bytes;

use super::{
    cursor::read_node,
    error::Error,
    node::{self, Child, Node},
    splitter::Splitter,
    value::Root,
};
use crate::{
    buffers::{Buffer, Buffers},
    id::{BlobId, BlobKind},
    limits::{KIB, NODE_SPARE_BYTES},
    repo::{Like, WriteBlobs},
};

/// Takes the rows of a tree from left to right, and whole subtrees where the caller knows that
/// they stand as they would be built.
pub struct Builder<'a, W> {
    blobs: &'a W,
    splitter: Splitter,
    /// Where leaves are filled, and lie until nobody needs them any more.
    buffers: Buffers,
    levels: Vec<Open>,
    /// A key from which the next node's separator can be told: not below the last one taken, or
    /// a stand-in for it. `None` at the left edge.
    behind: Option<Vec<u8>>,
    /// The old tree's node at this place, by level.
    old: Vec<Option<OldNode>>,
    /// Of the old tree.
    levels_before: u8,
    hops: Hops,
    /// Leaves that nobody has taken yet, if they are asked for.
    closed: Option<Vec<ClosedLeaf>>,
}

const COPIED_BELOW_BYTES: usize = 64 * KIB;

/// A node that is being filled.
struct Open {
    /// Behind `node::HEAD_ROOM` bytes for what stands before them.
    rows: Buffer,
    count: u64,
    entries: u64,
    bytes: u64,
    low: Vec<u8>,
    /// The splitter ended it. It is closed when something follows, for a last node is a root,
    /// perhaps, and roots are stored whole.
    is_full: bool,
    like: Option<OldNode>,
    /// An inner node's first child.
    first: Option<Child>,
}

/// The old tree's node at the place where a new one began.
#[derive(Clone)]
pub struct OldNode {
    pub id: BlobId,
    /// Unless it was not read.
    pub bytes: Option<Bytes>,
}

/// A leaf that was written.
pub struct ClosedLeaf {
    pub id: BlobId,
    pub bytes: Bytes,
    pub entries: u64,
}

/// How many deltas may stand behind a node of each level, so that an entry reads in at most 10
/// ranges: the root whole, the lowest inner node of one hop, those between whole, and the leaf
/// with what remains.
#[derive(Clone, Copy)]
struct Hops {
    leaf: u8,
}

impl Hops {
    /// `levels`: how many the tree has, or may soon have.
    fn of_tree(levels: u8) -> Self {
        // Ranges: 1 for each whole node between, 2 for the lowest inner one, 1 + hops for a leaf.
        Hops { leaf: 10u8.saturating_sub(1).saturating_sub(levels.max(3)) }
    }

    fn at(self, level: u8) -> u8 {
        match level {
            0 => self.leaf,
            1 => 1,
            _ => 0,
        }
    }
}

impl<'a, W: WriteBlobs> Builder<'a, W> {
    /// `levels_before`: how many levels the old tree has; 0 if there is none.
    pub fn new(blobs: &'a W, splitter: Splitter, levels_before: u8) -> Self {
        let buffers = Buffers::new(NODE_SPARE_BYTES);
        let levels = vec![Open::new(buffers.take(splitter.bounds(0).aim))];
        let (hops, behind, old) = (Hops::of_tree(levels_before), None, Vec::new());
        let closed = None;
        Builder { blobs, splitter, buffers, levels, behind, old, levels_before, hops, closed }
    }

    /// From now on leaves are kept until `take_closed_leaves`.
    pub fn keep_closed_leaves(&mut self) {
        self.closed = Some(Vec::new());
    }

    pub fn take_closed_leaves(&mut self) -> Vec<ClosedLeaf> {
        self.closed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// New nodes of this level resemble this one from now on.
    pub fn pass(&mut self, level: u8, old: OldNode) {
        if level > 0 && level + 1 == self.levels_before {
            // A root that has outgrown the least size may soon get a level above it.
            let bytes = old.bytes.as_ref().map_or(0, Bytes::len);
            let may_grow = bytes > self.splitter.bounds(level).min;
            self.hops = Hops::of_tree(self.levels_before + u8::from(may_grow));
        }
        let level = usize::from(level);
        if self.old.len() <= level {
            self.old.resize(level + 1, None);
        }
        self.old[level] = Some(old);
    }

    /// The next entry. `row` is what `node::write_entry` makes of it; `bytes` its key, head and
    /// content.
    pub fn push_entry(
        &mut self,
        key: &[u8],
        row: &[u8],
        bytes: u64,
    ) -> Result<(), Error<W::Error>> {
        let is_long = row.len() > self.splitter.bounds(0).max;
        if self.levels[0].is_full || (is_long && self.levels[0].count > 0) {
            self.close(0)?;
        }
        let low = self.levels[0].count == 0;
        let low = low.then(|| self.behind.as_ref().map_or(&[][..], |last| separator(last, key)));
        let open = &mut self.levels[0];
        if let Some(low) = low {
            open.begin(low, self.old.first());
        }
        let before = open.rows_bytes();
        open.rows.extend_from_slice(row);
        open.add(1, bytes);
        open.is_full = is_long || self.splitter.ends(0, key, before, open.rows_bytes());
        let behind = self.behind.get_or_insert_default();
        behind.clear();
        behind.extend_from_slice(key);
        Ok(())
    }

    /// Whether a new node would begin now on every level up to this one.
    pub fn is_at_edge(&mut self, level: u8) -> Result<bool, Error<W::Error>> {
        for level in 0..=level {
            self.open_levels(level);
            if self.levels[usize::from(level)].is_full {
                self.close(level)?;
            }
            if self.levels[usize::from(level)].count > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a whole subtree of the old tree, at an edge of its level. `high` bounds its keys and
    /// is the separator after it.
    pub fn push_subtree(
        &mut self,
        mut child: Child,
        high: Option<&Bytes>,
    ) -> Result<(), Error<W::Error>> {
        // An old separator is a prefix of the subtree's first key, and long enough to tell the
        // new one; without its last byte it is a prefix of the last key before it.
        child.low = match &self.behind {
            Some(last) => child.low.slice_ref(separator(last, &child.low)),
            None => Bytes::new(),
        };
        self.push_child(child)?;
        self.behind = high.map(|high| high[..high.len() - 1].to_vec());
        Ok(())
    }

    fn push_child(&mut self, child: Child) -> Result<(), Error<W::Error>> {
        let level = child.level + 1;
        self.open_levels(level);
        if self.levels[usize::from(level)].is_full {
            self.close(level)?;
        }
        let open = &mut self.levels[usize::from(level)];
        let before = open.rows_bytes();
        if open.count == 0 {
            open.begin(&child.low, self.old.get(usize::from(level)));
            node::write_child(&mut open.rows, &[], &child);
        } else {
            node::write_child(&mut open.rows, &child.low, &child);
        }
        open.add(child.entries, child.bytes);
        // Two children at least, so that every level is half as long as the one below.
        open.is_full =
            open.count > 1 && self.splitter.ends(level, &child.low, before, open.rows_bytes());
        if open.count == 1 {
            open.first = Some(child);
        }
        Ok(())
    }

    /// Writes what is open and returns the canonical root.
    pub fn finish(mut self, old: Option<&Root>) -> Result<Root, Error<W::Error>> {
        self.write_root(old)
    }

    /// The same of a tree without subtrees taken over; gives the leaves that were kept, too.
    pub fn finish_keeping(mut self, closed: &mut Vec<ClosedLeaf>) -> Result<Root, Error<W::Error>> {
        let root = self.write_root(None)?;
        closed.append(&mut self.take_closed_leaves());
        Ok(root)
    }

    fn write_root(&mut self, old: Option<&Root>) -> Result<Root, Error<W::Error>> {
        let mut level = 0;
        loop {
            self.open_levels(level);
            let is_top = self.levels[usize::from(level) + 1..].iter().all(|open| open.count == 0);
            let open = &mut self.levels[usize::from(level)];
            match open.count {
                0 if !is_top => {}
                1 if is_top && level > 0 => {
                    let child = open.first.take().expect("it has one child");
                    return self.lowest_root(child, old);
                }
                _ if is_top => {
                    // The root is always whole: every read begins with it.
                    let child = self.write(level, 0)?;
                    return Ok(root_of(&child));
                }
                _ => self.close(level)?,
            }
            level += 1;
        }
    }

    /// A tree has no root with a single child: what is left of an old tree may begin higher.
    fn lowest_root(&self, mut child: Child, old: Option<&Root>) -> Result<Root, Error<W::Error>> {
        while child.level > 0 && old.is_none_or(|old| old.id != child.id) {
            let node = read_node(self.blobs, &child)?;
            match &node {
                Node::Inner(inner) if inner.len() == 1 => child = inner.child(0, &child.low),
                _ => break,
            }
        }
        Ok(root_of(&child))
    }

    fn close(&mut self, level: u8) -> Result<(), Error<W::Error>> {
        let child = self.write(level, self.hops.at(level))?;
        self.push_child(child)
    }

    fn write(&mut self, level: u8, max_hops: u8) -> Result<Child, Error<W::Error>> {
        let open = self.take_open(level);
        let Open { count, entries, bytes: sum, low, like, .. } = open;
        let bytes = self.node_of(level, count, open.rows);
        let id = match like {
            Some(OldNode { id, bytes: Some(old) }) if old == bytes => id,
            old => {
                let like = old.filter(|_| max_hops > 0);
                let like = like.map(|old| Like { id: old.id, max_hops });
                let write = self.blobs.write_given(BlobKind::Node, bytes.clone(), like);
                write.map_err(|source| Error::Write { kind: BlobKind::Node, source })?.id
            }
        };
        if let (0, Some(closed)) = (level, &mut self.closed) {
            closed.push(ClosedLeaf { id, bytes, entries });
        }
        Ok(Child { low: low.into(), id, level, entries, bytes: sum })
    }

    /// What was filled; an empty one is in its place.
    fn take_open(&mut self, level: u8) -> Open {
        let room = self.splitter.bounds(level).aim;
        let empty = Open::new(self.buffers.take(room));
        std::mem::replace(&mut self.levels[usize::from(level)], empty)
    }

    /// The node of these rows, in the buffer that they were filled into. A small one is copied, for
    /// it may be kept for long, and the buffer with it.
    fn node_of(&self, level: u8, count: u64, mut rows: Buffer) -> Bytes {
        let start = node::put_head(&mut rows, level, count);
        if rows.len() < COPIED_BELOW_BYTES {
            return Bytes::copy_from_slice(&rows[start..]);
        }
        rows.freeze().slice(start..)
    }

    fn open_levels(&mut self, level: u8) {
        while self.levels.len() <= usize::from(level) + 1 {
            let room = self.splitter.bounds(self.levels.len() as u8).aim;
            self.levels.push(Open::new(self.buffers.take(room)));
        }
    }
}

impl Open {
    fn new(mut rows: Buffer) -> Self {
        rows.resize(node::HEAD_ROOM, 0);
        let (low, like, first) = (Vec::new(), None, None);
        Open { rows, count: 0, entries: 0, bytes: 0, low, is_full: false, like, first }
    }

    fn rows_bytes(&self) -> usize {
        self.rows.len() - node::HEAD_ROOM
    }

    fn begin(&mut self, low: &[u8], old: Option<&Option<OldNode>>) {
        self.low.clear();
        self.low.extend_from_slice(low);
        self.like = old.cloned().flatten();
    }

    fn add(&mut self, entries: u64, bytes: u64) {
        self.count += 1;
        self.entries += entries;
        self.bytes += bytes;
    }
}

fn root_of(child: &Child) -> Root {
    Root { id: child.id, level: child.level, entries: child.entries, bytes: child.bytes }
}

/// The shortest prefix of `first` that lies above `last`, which is below `first`.
fn separator<'k>(last: &[u8], first: &'k [u8]) -> &'k [u8] {
    let shared = last.iter().zip(first).take_while(|(a, b)| a == b).count();
    &first[..(shared + 1).min(first.len())]
}

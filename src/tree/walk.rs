//! Every blob that a tree reaches.

use super::{
    cursor::read_node,
    error::{Error, Fault},
    node::{Child, Node},
    value::{Pieces, Root},
};
use crate::{
    id::{BlobId, BlobKind},
    limits::MAPS_NESTED_MAX,
    repo::ReadBlobs,
};

/// Calls `visit` for every blob reachable from `root`, nodes before what they hold. A node is read
/// only if `visit` returns true for it; what it returns for a chunk is nothing to anyone. A blob
/// that is reached on many ways is visited as often, unless `visit` stops the descent.
pub fn walk<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
) -> Result<(), Error<R::Error>> {
    walk_past(blobs, root, visit, &mut Err)
}

/// The same, past what can't be had: that goes to `lost`, and ends the walk if it comes back.
pub fn walk_past<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    lost: &mut Lost<'_, R::Error>,
) -> Result<(), Error<R::Error>> {
    walk_tree(blobs, root, visit, lost, Inside::Map { nested: 0 })
}

type Lost<'l, E> = dyn FnMut(Error<E>) -> Result<(), Error<E>> + 'l;

/// Maps may hold maps, to a stated depth; a list of pieces is a tree whose values hold one piece
/// each, and nothing nests in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Map { nested: u8 },
    Pieces,
}

impl Inside {
    /// What is inside of `pieces`, if they are a tree that may stand here.
    fn of(self, pieces: &Pieces) -> Option<Inside> {
        match (self, pieces) {
            (Inside::Map { .. }, Pieces::Tree(_)) => Some(Inside::Pieces),
            (Inside::Map { nested }, Pieces::Map(_)) if nested < MAPS_NESTED_MAX => {
                Some(Inside::Map { nested: nested + 1 })
            }
            _ => None,
        }
    }
}

fn walk_tree<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    lost: &mut Lost<'_, R::Error>,
    inside: Inside,
) -> Result<(), Error<R::Error>> {
    let Root { id, level, entries, bytes } = *root;
    let top = Child { low: bytes::Bytes::new(), id, level, entries, bytes };
    // Levels fall on the way down, so the stack holds no more than the nodes of one way.
    let mut ahead = vec![top];
    while let Some(child) = ahead.pop() {
        if !visit(BlobKind::Node, &child.id) {
            continue;
        }
        let node = match read_node(blobs, &child) {
            Ok(node) => node,
            Err(error) => {
                lost(error)?;
                continue;
            }
        };
        match node {
            Node::Inner(inner) => {
                ahead.extend((0..inner.len()).rev().map(|row| inner.child(row, &child.low)));
            }
            Node::Leaf(leaf) => {
                for row in 0..leaf.len() {
                    let pieces = leaf.value(row).pieces;
                    match &pieces {
                        Pieces::None => {}
                        Pieces::List(list) => {
                            for id in list.iter().filter_map(|piece| piece.id.as_ref()) {
                                visit(BlobKind::Chunk, id);
                            }
                        }
                        Pieces::Tree(root) | Pieces::Map(root) => match inside.of(&pieces) {
                            Some(inside) => walk_tree(blobs, root, visit, lost, inside)?,
                            None => {
                                let source = Fault::Pieces { row };
                                lost(Error::Damaged { id: child.id, source })?;
                            }
                        },
                    }
                }
            }
        }
    }
    Ok(())
}

//! What the oplog has of a collection, brought into its tree.

use super::{
    Error, Ground,
    pair::value_of,
    plant::{Amend, Planted},
};
use crate::{
    document::{apply_diff, apply_modifiers},
    id::BlobKind,
    repo::WriteBlobs,
    source::mongo::{self, Op},
    tree::{self, Pieces, Root, Value, content},
};

/// The tree after all `changes`, which come in key order. Without `planted` the collection came
/// into being after the scans began.
pub(super) fn change<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    namespace: &str,
    planted: Option<Planted>,
    old: Option<Root>,
    changes: impl Iterator<Item = Result<(Vec<u8>, Vec<Op>), mongo::Error>>,
) -> Result<Planted, Error<W::Error>> {
    let mut changes = changes.peekable();
    if let (Some(planted), None) = (planted, changes.peek()) {
        return Ok(planted);
    }
    let mut amend = Amend::new(ground, planted, old);
    for change in changes {
        if ground.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let (key, ops) = change.map_err(Error::Mongodb)?;
        let before = amend.standing(&key)?;
        let after = changed(ground, namespace, before.as_ref(), &ops)?;
        amend.replace(&key, before.as_ref(), after.as_ref())?;
        ground.progress.at(|| namespace.to_owned());
    }
    amend.finish()
}

fn changed<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    namespace: &str,
    before: Option<&Value>,
    ops: &[Op],
) -> Result<Option<Value>, Error<W::Error>> {
    // What came before a whole document, or its end, is of no account.
    let from = ops.iter().rposition(|op| matches!(op, Op::Put(_) | Op::Delete));
    let (mut document, rest) = match from.map(|from| (&ops[from], &ops[from + 1..])) {
        Some((Op::Put(whole), rest)) => (Some(whole.clone()), rest),
        Some((_, rest)) => (None, rest),
        None => match before {
            Some(value) => (Some(document_of(ground.writer, value)?), ops),
            None => (None, ops),
        },
    };
    for op in rest {
        let Some(base) = &document else { break };
        let made = match op {
            Op::Diff(diff) => apply_diff(base, diff),
            Op::Modify(update) => apply_modifiers(base, update),
            Op::Put(_) | Op::Delete => continue,
        };
        let namespace = || namespace.to_owned();
        document = Some(made.map_err(|source| Error::Change { namespace: namespace(), source })?);
    }
    document.map(|document| value_of(ground, document)).transpose()
}

/// The whole document that stands here.
fn document_of<W: WriteBlobs>(writer: &W, value: &Value) -> Result<Vec<u8>, Error<W::Error>> {
    if value.pieces == Pieces::None {
        return Ok(value.head.to_vec());
    }
    let length = content::length(&value.pieces).ok_or(tree::Error::Piece)?;
    let mut document = Vec::new();
    for piece in content::pieces(writer, &value.pieces, 0..length) {
        let (_, piece) = piece?;
        // A document has no holes: we cut it ourselves.
        let Some(id) = piece.id else { continue };
        let read = writer.read(BlobKind::Chunk, &id);
        let chunk = read.map_err(|source| tree::Error::Read { kind: BlobKind::Chunk, id, source });
        document.extend_from_slice(&chunk?);
    }
    Ok(document)
}

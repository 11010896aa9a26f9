//! What the oplog has of a collection, brought into its tree.

use super::{
    Error, Ground,
    pair::value_of,
    plant::{Amend, Planted},
};
use crate::{
    document::{self, DiffError, Element, apply_diff, apply_modifiers},
    id::BlobKind,
    repo::WriteBlobs,
    source::mongo::{self, Op},
    tree::{self, Pieces, Root, Value, content},
};

/// Which collection, and what else is known of it.
#[derive(Clone, Copy)]
pub(super) struct Changed<'s> {
    pub namespace: &'s str,
    /// Its tree in the previous snapshot.
    pub old: Option<Root>,
    /// Asks the server for the document of an `_id` as of the snapshot's moment.
    pub ask: &'s Ask<'s>,
}

pub(super) type Ask<'s> = dyn Fn(&Element<'_>) -> Result<Option<Vec<u8>>, mongo::Error> + 's;

/// The tree after all `changes`, which come in key order. Without `planted` the collection came
/// into being after the scans began. A document that was changed in a form that is not known here
/// is asked for: what it is at the moment of the snapshot is what all its changes came to.
pub(super) fn change<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    subject: Changed<'_>,
    planted: Option<Planted>,
    changes: impl Iterator<Item = Result<(Vec<u8>, Vec<Op>), mongo::Error>>,
) -> Result<Planted, Error<W::Error>> {
    let mut changes = changes.peekable();
    if let (Some(planted), None) = (planted, changes.peek()) {
        return Ok(planted);
    }
    let mut amend = Amend::new(ground, planted, subject.old);
    for change in changes {
        if ground.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let (key, ops) = change?;
        let before = amend.standing(&key)?;
        let after = changed(ground, subject, before.as_ref(), &ops)?;
        amend.replace(&key, before.as_ref(), after.as_ref())?;
        ground.progress.at(|| subject.namespace.to_owned());
    }
    amend.finish()
}

fn changed<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    subject: Changed<'_>,
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
        document = match made {
            Ok(made) => Some(made),
            Err(error) if error.is_unknown_form() => {
                document = as_of_the_moment(subject, base, error)?;
                break;
            }
            Err(source) => return Err(subject.cannot(source)),
        };
    }
    document.map(|document| value_of(ground, document)).transpose()
}

/// What all changes of the document `base` came to, whatever they were.
fn as_of_the_moment<E: std::error::Error>(
    subject: Changed<'_>,
    base: &[u8],
    unknown: DiffError,
) -> Result<Option<Vec<u8>>, Error<E>> {
    match document::get(base, b"_id") {
        Ok(Some(id)) => Ok((subject.ask)(&id)?),
        _ => Err(subject.cannot(unknown)),
    }
}

impl Changed<'_> {
    fn cannot<E: std::error::Error>(&self, source: DiffError) -> Error<E> {
        Error::Change { namespace: self.namespace.to_owned(), source }
    }
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

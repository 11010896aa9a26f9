//! What the oplog has of a collection, brought into its tree.

use bytes::Bytes;

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

/// The tree after all `changes`, which come in key order, those of one key in the order they
/// happened. Without `planted` the collection came into being after the scans began. A document
/// that was changed in a form that is not known here is asked for: what it is at the moment of the
/// snapshot is what all its changes came to.
pub(super) fn change<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    subject: Changed<'_>,
    planted: Option<Planted>,
    changes: impl Iterator<Item = Result<(Bytes, Op), mongo::Error>>,
) -> Result<Planted, Error<W::Error>> {
    let mut changes = changes.peekable();
    if let (Some(planted), None) = (planted, changes.peek()) {
        return Ok(planted);
    }
    let mut amend = Amend::new(ground, planted, subject.old);
    while let Some(first) = changes.next() {
        let (key, first) = first?;
        let before = amend.standing(&key)?;
        let base = match (&first, &before) {
            (Op::Diff(_) | Op::Modify(_), Some(value)) => Some(document_of(ground.writer, value)?),
            _ => None,
        };
        let mut becomes = Becomes::Known(base).after(first);
        let is_of_it = |next: &Result<(Bytes, Op), _>| matches!(next, Ok((of, _)) if *of == key);
        while let Some(next) = changes.next_if(is_of_it) {
            becomes = becomes.after(next?.1);
            if ground.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
        }
        let after = becomes.at_last(subject)?;
        let after = after.map(|document| value_of(ground, document)).transpose()?;
        amend.replace(&key, before.as_ref(), after.as_ref())?;
        ground.progress.at(|| subject.namespace.to_owned());
    }
    amend.finish()
}

/// What one document's changes come to, as far as they came: of a counter there may be more than
/// memory holds.
enum Becomes {
    /// What it is, if it is there.
    Known(Option<Vec<u8>>),
    /// A change was not understood; what it was before that.
    Unknown { base: Vec<u8>, why: DiffError },
}

impl Becomes {
    fn after(self, op: Op) -> Becomes {
        let (base, made) = match (self, op) {
            // What came before a whole document, or its end, is of no account.
            (_, Op::Put(whole)) => return Becomes::Known(Some(whole)),
            (_, Op::Delete) => return Becomes::Known(None),
            (Becomes::Known(Some(base)), Op::Diff(diff)) => {
                let made = apply_diff(&base, &diff);
                (base, made)
            }
            (Becomes::Known(Some(base)), Op::Modify(update)) => {
                let made = apply_modifiers(&base, &update);
                (base, made)
            }
            (before, _) => return before,
        };
        match made {
            Ok(made) => Becomes::Known(Some(made)),
            Err(why) => Becomes::Unknown { base, why },
        }
    }

    /// No more changes will come.
    fn at_last<E: std::error::Error>(
        self,
        subject: Changed<'_>,
    ) -> Result<Option<Vec<u8>>, Error<E>> {
        match self {
            Becomes::Known(document) => Ok(document),
            Becomes::Unknown { base, why } if why.is_unknown_form() => {
                as_of_the_moment(subject, &base, why)
            }
            Becomes::Unknown { why, .. } => Err(subject.cannot(why)),
        }
    }
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

//! A document as a pair of bytes that can be sorted: its key, and what will stand under it.
//!
//! A short document is its own second half. A long one is stored at once, so that what is sorted
//! stays small; its second half says where it is:
//!
//! ```text
//! ff ff ff ff · length of the document u64 · length of the head u32 · head · pieces
//! pieces  00, count u32, then each id (32) and length u64
//!         or 01, id (32), level u8, entries u64, bytes u64: a tree of pieces
//! ```
//!
//! No document begins with four bytes ff: they would be its length. These pairs never leave the
//! run that made them.

use bytes::{Buf, Bytes};

use super::{Error, Ground};
use crate::{
    document::{self, Malformed, Writer},
    format::catalogue::DocumentKeys,
    id::BlobId,
    limits::{DOCUMENT_INLINE_MAX_BYTES, VALUE_HEAD_MAX_BYTES},
    progress::Trouble,
    repo::WriteBlobs,
    tree::{Piece, Pieces, Root, Value, content::ContentWriter},
};

const STORED: [u8; 4] = [0xff; 4];

/// Makes pairs of one collection's documents.
pub(super) struct Pairs<'g, 'a, W: WriteBlobs> {
    ground: &'g Ground<'a, W>,
    namespace: String,
    keys: DocumentKeys,
    /// Documents that came, which is also the next ordinal.
    come: u64,
    key: Vec<u8>,
    stored: Vec<u8>,
}

impl<'g, 'a, W: WriteBlobs> Pairs<'g, 'a, W> {
    pub fn new(ground: &'g Ground<'a, W>, namespace: String, keys: DocumentKeys) -> Self {
        Pairs { ground, namespace, keys, come: 0, key: Vec::new(), stored: Vec::new() }
    }

    /// The pair of the next document. A document that is not sound is told as a trouble and
    /// taken as it is; `None` if it has no key.
    pub fn next<'p>(
        &'p mut self,
        document: &'p [u8],
    ) -> Result<Option<(&'p [u8], &'p [u8])>, Error<W::Error>> {
        let sound = document::check(document);
        let keyed = self.make_key(document);
        self.come += 1;
        if let Some(wrong) = sound.err().map(Wrong::Malformed).or(keyed.err()) {
            self.tell(document, &wrong);
            if keyed.is_err() {
                return Ok(None);
            }
        }
        if document.len() <= DOCUMENT_INLINE_MAX_BYTES {
            return Ok(Some((&self.key, document)));
        }
        self.store(document)?;
        Ok(Some((&self.key, &self.stored)))
    }

    fn make_key(&mut self, document: &[u8]) -> Result<(), Wrong> {
        self.key.clear();
        match self.keys {
            DocumentKeys::Ordinal => self.key.extend(self.come.to_be_bytes()),
            DocumentKeys::Id => {
                let id = document::get(document, b"_id")?.ok_or(Wrong::NoId)?;
                document::id_key_into(&mut self.key, &id)?;
            }
        }
        Ok(())
    }

    fn tell(&self, document: &[u8], wrong: &Wrong) {
        let Pairs { namespace, come, .. } = self;
        let id = document::get(document, b"_id").ok().flatten();
        let id = id.map_or(String::new(), |id| format!(", _id {}", hex::encode(id.value)));
        let item = format!("{namespace}, document {come} of the scan{id}");
        self.ground.progress.trouble(Trouble { item, during: "read", error: wrong.to_string() });
    }

    fn store(&mut self, document: &[u8]) -> Result<(), Error<W::Error>> {
        let value = stored_value(self.ground, document)?;
        self.stored.clear();
        self.stored.extend(STORED);
        self.stored.extend((document.len() as u64).to_le_bytes());
        self.stored.extend((value.head.len() as u32).to_le_bytes());
        self.stored.extend_from_slice(&value.head);
        write_pieces(&mut self.stored, &value.pieces);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Wrong {
    #[error("it is not sound: {0}")]
    Malformed(#[from] Malformed),
    #[error("it has no _id, so it is left out")]
    NoId,
}

/// What stands for a document in its collection's tree.
pub(super) fn value_of<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    document: Vec<u8>,
) -> Result<Value, Error<W::Error>> {
    if document.len() <= DOCUMENT_INLINE_MAX_BYTES {
        return Ok(Value { head: document.into(), pieces: Pieces::None });
    }
    stored_value(ground, &document)
}

fn stored_value<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    document: &[u8],
) -> Result<Value, Error<W::Error>> {
    let mut content = ContentWriter::new(ground.writer, ground.cutter, ground.splitter);
    content.write(document)?;
    let mut head = Writer::new();
    // A document whose fields before the id are malformed has been told of.
    if let Ok(Some(id)) = document::get(document, b"_id") {
        head.push(&id);
    }
    // An id as long as that is in the content alone.
    let head = if head.len() <= VALUE_HEAD_MAX_BYTES { head } else { Writer::new() };
    Ok(Value { head: head.finish().into(), pieces: content.finish()? })
}

fn write_pieces(out: &mut Vec<u8>, pieces: &Pieces) {
    match pieces {
        Pieces::Tree(Root { id, level, entries, bytes }) => {
            out.push(1);
            out.extend_from_slice(id.bytes());
            out.push(*level);
            out.extend(entries.to_le_bytes());
            out.extend(bytes.to_le_bytes());
        }
        Pieces::List(list) => {
            out.push(0);
            out.extend((list.len() as u32).to_le_bytes());
            for piece in list {
                let id = piece.id.expect("documents have no holes");
                out.extend_from_slice(id.bytes());
                out.extend(piece.len.to_le_bytes());
            }
        }
        Pieces::None | Pieces::Map(_) => unreachable!("it is content, and not of no length"),
    }
}

/// What stands under the key of a pair, and how long the document is.
pub(super) fn read_value(mut pair: Bytes) -> (Value, u64) {
    if !pair.starts_with(&STORED) {
        let bytes = pair.len() as u64;
        return (Value { head: pair, pieces: Pieces::None }, bytes);
    }
    pair.advance(STORED.len());
    let bytes = pair.get_u64_le();
    let head_bytes = pair.get_u32_le() as usize;
    let head = pair.split_to(head_bytes);
    let id = |pair: &mut Bytes| {
        let mut id = [0; 32];
        pair.copy_to_slice(&mut id);
        BlobId::new(id)
    };
    let pieces = match pair.get_u8() {
        0 => {
            let count = pair.get_u32_le();
            let piece = |_| Piece { id: Some(id(&mut pair)), len: pair.get_u64_le() };
            Pieces::List((0..count).map(piece).collect())
        }
        _ => Pieces::Tree(Root {
            id: id(&mut pair),
            level: pair.get_u8(),
            entries: pair.get_u64_le(),
            bytes: pair.get_u64_le(),
        }),
    };
    (Value { head, pieces }, bytes)
}

//! What a restore will have done to one document: an entry of the record that undoes it.

use bytes::Bytes;

use super::Error;
use crate::{
    chunk::Cutter,
    limits::VALUE_HEAD_MAX_BYTES,
    repo::{self, ReadBlobs, WriteBlobs},
    tree::{self, Pieces, Splitter, Value, content::ContentWriter},
    verbs::deployment::content,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Insert = 1,
    Overwrite = 2,
    Merge = 3,
}

/// The document is known by the key of its `_id` on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub action: Action,
    /// BLAKE3 of the document that is written: an undo takes away nothing else.
    pub written: [u8; 32],
    /// A document that holds the live `_id` alone.
    pub id: Bytes,
    /// In the snapshot's tree, if it is another.
    pub source_key: Option<Bytes>,
}

impl Touched {
    /// Action, hash, length of the source's key (u32, little-endian), the key, the `_id`.
    pub fn encode(&self) -> Vec<u8> {
        let source_key = self.source_key.as_deref().unwrap_or_default();
        let length = (source_key.len() as u32).to_le_bytes();
        [&[self.action as u8], &self.written[..], &length, source_key, &self.id].concat()
    }

    /// What stands for it in the record's tree: it may have an `_id` too long for a head, which is
    /// content then.
    pub fn value<W: WriteBlobs>(
        &self,
        writer: &W,
        (cutter, splitter): (&Cutter, &Splitter),
    ) -> Result<Value, tree::Error<W::Error>> {
        let head = self.encode();
        if head.len() <= VALUE_HEAD_MAX_BYTES {
            return Ok(Value { head: head.into(), pieces: Pieces::None });
        }
        let mut content = ContentWriter::new(writer, cutter, *splitter);
        content.write(&self.id)?;
        let bare = Touched { id: Bytes::new(), ..self.clone() };
        Ok(Value { head: bare.encode().into(), pieces: content.finish()? })
    }

    /// Of what `value` made.
    pub fn read<R: ReadBlobs<Error = repo::Error>>(
        reader: &R,
        value: &Value,
    ) -> Result<Touched, Error> {
        let mut touched = Touched::decode(&value.head).ok_or(Error::NoUndo)?;
        if value.pieces != Pieces::None {
            touched.id = content(reader, value)?;
        }
        Ok(touched)
    }

    /// `None`: nothing that `encode` made.
    pub fn decode(bytes: &Bytes) -> Option<Touched> {
        let action = match bytes.first()? {
            1 => Action::Insert,
            2 => Action::Overwrite,
            3 => Action::Merge,
            _ => return None,
        };
        let written = bytes.get(1..33)?.try_into().ok()?;
        let length = u32::from_le_bytes(bytes.get(33..37)?.try_into().ok()?) as usize;
        let id_at = 37usize.checked_add(length).filter(|at| *at <= bytes.len())?;
        let source_key = (length > 0).then(|| bytes.slice(37..id_at));
        Some(Touched { action, written, id: bytes.slice(id_at..), source_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_and_no_cut_panics() {
        for source_key in [None, Some(Bytes::from_static(b"key"))] {
            let id = Bytes::from_static(b"\x05\0\0\0\0");
            let touched = Touched { action: Action::Merge, written: [7; 32], id, source_key };
            let bytes = Bytes::from(touched.encode());
            assert_eq!(Touched::decode(&bytes), Some(touched.clone()));
            for length in 0..bytes.len() {
                assert_ne!(Touched::decode(&bytes.slice(..length)), Some(touched.clone()));
            }
        }
    }
}

//! A collection's documents as a snapshot holds them.

use bytes::Bytes;

use super::Error;
use crate::{
    chunk::Cutter,
    limits::DOCUMENT_INLINE_MAX_BYTES,
    repo::{self, ReadBlobs, Session},
    tree::{self, KeyRange, Pieces, Root, Splitter, Value, content::ContentWriter},
    verbs::deployment::content,
};

/// Says of each document whether it is wanted.
pub type Matches = Box<dyn Fn(&[u8]) -> Result<bool, crate::document::Malformed> + Send + Sync>;

/// The documents of a tree in the order of their keys.
pub(super) struct Documents<'a, R> {
    reader: &'a R,
    iter: tree::Iter<'a, R>,
    matches: Option<&'a Matches>,
}

impl<'a, R: ReadBlobs<Error = repo::Error>> Documents<'a, R> {
    pub fn new(reader: &'a R, root: &Root, range: KeyRange, matches: Option<&'a Matches>) -> Self {
        Documents { reader, iter: tree::iter(reader, root, range), matches }
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        for entry in self.iter.by_ref() {
            let (key, value) = entry?;
            let document = content(self.reader, &value)?;
            let is_wanted = match self.matches {
                Some(matches) => matches(&document).map_err(Error::Malformed)?,
                None => true,
            };
            if is_wanted {
                return Ok(Some((key, document)));
            }
        }
        Ok(None)
    }

    /// Goes on at `key`, which is not below those given.
    pub fn seek(&mut self, key: &[u8]) {
        self.iter.seek(key);
    }
}

impl<R: ReadBlobs<Error = repo::Error>> Iterator for Documents<'_, R> {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// What stands for a document in a tree.
pub(super) fn value_of(
    session: &Session,
    (cutter, splitter): (&Cutter, &Splitter),
    document: &Bytes,
    id: Vec<u8>,
) -> Result<Value, Error> {
    if document.len() <= DOCUMENT_INLINE_MAX_BYTES {
        return Ok(Value { head: document.clone(), pieces: Pieces::None });
    }
    let mut writer = ContentWriter::new(session, cutter, *splitter);
    writer.write(document)?;
    Ok(Value { head: id.into(), pieces: writer.finish()? })
}

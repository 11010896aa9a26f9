//! A collection's documents as a snapshot holds them.

use bytes::Bytes;

use super::{
    Error,
    losses::{Losses, is_damage},
};
use crate::{
    chunk::Cutter,
    document::{Malformed, Writer, namespace::Namespace},
    limits::{DOCUMENT_INLINE_MAX_BYTES, VALUE_HEAD_MAX_BYTES},
    progress::Progress,
    repo::{self, ReadBlobs, Session},
    tree::{self, KeyRange, Pieces, Root, Splitter, Value, content::ContentWriter},
    verbs::deployment::{content, id_text},
};

/// Says of each document whether it is wanted.
pub type Matches = Box<dyn Fn(&[u8]) -> Result<bool, Malformed> + Send + Sync>;

/// The documents of a tree in the order of their keys, past those that can't be read.
pub(super) struct Documents<'a, R> {
    reader: &'a R,
    iter: tree::Iter<'a, R>,
    matches: Option<&'a Matches>,
    told: Told<'a>,
    /// The head and the key of the last one.
    last: Option<(Bytes, Bytes)>,
}

/// Who hears of what can't be read.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// The collection, in the snapshot.
    pub namespace: &'a Namespace,
    pub losses: &'a Losses,
    pub progress: &'a Progress,
}

impl<'a, R: ReadBlobs<Error = repo::Error>> Documents<'a, R> {
    pub fn new(
        (reader, root): (&'a R, &Root),
        range: KeyRange,
        matches: Option<&'a Matches>,
        told: Told<'a>,
    ) -> Self {
        let iter = tree::iter(reader, root, range).going_on();
        Documents { reader, iter, matches, told, last: None }
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        while let Some(entry) = self.iter.next() {
            let Some((key, document)) = self.read(entry)? else { continue };
            let is_wanted = match self.matches {
                Some(matches) => self.answer(matches(&document), &key),
                None => true,
            };
            if is_wanted {
                return Ok(Some((key, document)));
            }
        }
        Ok(None)
    }

    /// What a query says of the last document. Of one that can't be understood nobody knows.
    fn answer(&self, said: Result<bool, Malformed>, key: &[u8]) -> bool {
        let Told { namespace, losses, progress } = self.told;
        said.unwrap_or_else(|why| {
            let head = self.last.as_ref().map_or(&[][..], |(head, _)| head);
            let item = || format!("{namespace}/{}", id_text(head, key));
            losses.name((key, 1), item, &why, progress);
            false
        })
    }

    /// The one under `key`, which is above those given. `None`: it can't be read.
    pub fn at(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        if self.iter.lost().is_some_and(|keys| keys.holds(key)) {
            return Ok(None);
        }
        self.iter.seek(key);
        match self.iter.next() {
            Some(Ok((found, value))) if found == key => {
                Ok(self.read(Ok((found, value)))?.map(|(_, document)| document))
            }
            Some(Err(error)) => self.read(Err(error)).map(|_| None),
            _ => Err(Error::NoSuch { what: "document that was planned".into() }),
        }
    }

    /// What was found; `None`: it can't be read, and was named.
    fn read(&mut self, entry: Entry) -> Result<Option<(Bytes, Bytes)>, Error> {
        let Told { namespace, losses, progress } = self.told;
        let (key, value) = match entry {
            Ok(entry) => entry,
            Err(error) if is_damage(&error) => {
                let (from, _) = self.iter.lost().map(KeyRange::ends).unwrap_or_default();
                let item = || match &self.last {
                    Some((head, key)) => format!("what follows {namespace}/{}", id_text(head, key)),
                    None if from.is_empty() => format!("the beginning of {namespace}"),
                    None => format!("a part of {namespace}"),
                };
                losses.name((from, self.iter.lost_entries()), item, &error, progress);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let document = match content(self.reader, &value) {
            Ok(document) => document,
            Err(error) if error.is_damage(repo::Error::is_damage) => {
                let item = || format!("{namespace}/{}", id_text(&value.head, &key));
                losses.name((&key, 1), item, &error, progress);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.last = Some((value.head, key.clone()));
        Ok(Some((key, document)))
    }
}

type Entry = Result<(Bytes, Value), tree::Error<repo::Error>>;

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
    // As a backup does it: a longer id is in the content alone.
    let head = if id.len() <= VALUE_HEAD_MAX_BYTES { id } else { Writer::new().finish() };
    Ok(Value { head: head.into(), pieces: writer.finish()? })
}

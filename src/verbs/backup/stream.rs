//! One stream into a tree of one file.

use std::thread;

use super::{
    Counts, Error,
    content::{ContentWriter, Fault, Feed},
    files::Run,
    pool::Chunks,
};
use crate::{
    format::entry::Entry,
    repo::WriteBlobs,
    source::{self, files::Got, stream::Stream},
    tree::{Merger, Pieces, Root, Value},
};

impl Feed for Stream {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Got, source::Trouble> {
        match Stream::next(self, buffer) {
            Ok(0) => Ok(Got::End),
            Ok(filled) => Ok(Got::Data(filled)),
            Err(error) => Err(source::Trouble { path: self.key().to_vec(), during: "read", error }),
        }
    }
}

impl<W: WriteBlobs> Run<'_, W> {
    /// The tree of the stream's file and the directories above it.
    pub(super) fn merge_stream(
        &self,
        mut stream: Stream,
        old: Option<Root>,
    ) -> Result<(Root, Counts), Error<W::Error>> {
        let chunks = Chunks::new();
        let announced = chunks.announce_batch();
        let stored = thread::scope(|scope| {
            scope.spawn(|| chunks.help(self.writer));
            let (writer, splitter) = (self.writer, self.splitter);
            let mut content =
                ContentWriter::new(writer, &chunks, self.cutter, splitter, self.progress);
            let stored = content.store(&mut stream);
            drop(announced);
            stored
        });
        let pieces = stored.map_err(|fault| match fault {
            Fault::Source(trouble) => Error::Source(trouble.error),
            Fault::Run(error) => error,
        })?;
        let mut entries: Vec<_> =
            stream.parents().into_iter().map(|(key, entry)| (key, entry, Pieces::None)).collect();
        let key = stream.key().to_vec();
        entries.push((key, stream.finish().map_err(Error::Source)?, pieces));
        self.build_stream(old, entries)
    }

    fn build_stream(
        &self,
        old: Option<Root>,
        entries: Vec<(Vec<u8>, Entry, Pieces)>,
    ) -> Result<(Root, Counts), Error<W::Error>> {
        let mut merger = Merger::new(self.writer, self.splitter, old);
        let mut counts = Counts::default();
        for (key, entry, pieces) in entries {
            let head = entry.encode().map_err(Error::Unwritable)?.into();
            merger.put(&key, &Value { head, pieces })?;
            counts.fresh(entry.kind.file_type(), entry.size, old.is_some());
            self.progress.done(1, entry.size);
        }
        Ok((merger.finish()?, counts))
    }
}

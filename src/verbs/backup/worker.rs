//! One thread's work: entries in, changes of the tree out.

use super::{
    Counts, Error,
    content::{ContentWriter, Fault},
    files::Run,
    pool::Chunks,
};
use crate::{
    format::entry::{Entry, FileType, Time},
    limits,
    repo::WriteBlobs,
    source::{self, files::Found},
    tree::{Pieces, Value},
};

/// Some entries, side by side in key order.
#[derive(Default)]
pub(super) struct Batch {
    pub number: u64,
    pub items: Vec<Item>,
    /// What there is to read.
    pub bytes: u64,
}

impl Batch {
    pub(super) fn numbered(number: u64) -> Self {
        Batch { number, ..Batch::default() }
    }
}

pub(super) enum Item {
    /// The previous tree had it; it is there no more.
    Gone(Vec<u8>),
    Fresh {
        found: Box<Found>,
        is_known: bool,
    },
}

/// What a batch became.
pub(super) struct Done {
    pub number: u64,
    /// In key order; `None` deletes.
    pub changes: Vec<(Vec<u8>, Option<Value>)>,
    pub counts: Counts,
}

pub(super) struct Worker<'a, W: WriteBlobs> {
    run: &'a Run<'a, W>,
    content: ContentWriter<'a, W>,
}

impl<'a, W: WriteBlobs> Worker<'a, W> {
    pub(super) fn new(run: &'a Run<'a, W>, chunks: &'a Chunks<W::Error>) -> Self {
        let content =
            ContentWriter::new(run.writer, chunks, run.cutter, run.splitter, run.progress);
        Worker { run, content }
    }

    pub(super) fn store(&mut self, batch: Batch) -> Result<Done, Error<W::Error>> {
        let mut changes = Vec::with_capacity(batch.items.len());
        let mut counts = Counts::default();
        for item in batch.items {
            if self.run.has_failed() {
                return Err(Error::Stopped);
            }
            let (mut found, is_known) = match item {
                Item::Gone(key) => {
                    changes.push((key, None));
                    continue;
                }
                Item::Fresh { found, is_known } => (found, is_known),
            };
            self.run.progress.at(|| String::from_utf8_lossy(&found.path()).into_owned());
            let value = match self.value(&mut found) {
                Ok((entry, pieces)) => Some(self.finish(&entry, pieces, is_known, &mut counts)?),
                Err(Fault::Run(error)) => return Err(error),
                Err(Fault::Source(trouble)) => {
                    self.run.progress.trouble(trouble.into());
                    None
                }
            };
            if value.is_some() || is_known {
                changes.push((std::mem::take(&mut found.key), value));
            }
        }
        Ok(Done { number: batch.number, changes, counts })
    }

    fn finish(
        &self,
        entry: &Entry,
        pieces: Pieces,
        is_known: bool,
        counts: &mut Counts,
    ) -> Result<Value, Error<W::Error>> {
        let size = if entry.kind.file_type() == FileType::File { entry.size } else { 0 };
        counts.fresh(entry.kind.file_type(), size, is_known);
        self.run.progress.done(1, size);
        Ok(Value { head: entry.encode().map_err(Error::Unwritable)?.into(), pieces })
    }

    fn value(&mut self, found: &mut Found) -> Result<(Entry, Pieces), Fault<W::Error>> {
        if found.stat.file_type != FileType::File {
            let entry = self.complete(found, None)?;
            return Ok((entry, Pieces::None));
        }
        let mut content = found.open()?;
        let mut entry = self.complete(found, Some(&content))?;
        let is_sparse = found.stat.allocated < found.stat.size;
        let is_long = found.stat.size > limits::CHUNK_MIN_BYTES as u64;
        let pieces = if is_long || is_sparse || content.tells_no_size() {
            self.content.store(&mut content)?
        } else {
            let bytes = self.content.read_small(&mut content, found.stat.size as usize)?;
            if bytes.len() <= limits::INLINE_MAX_BYTES {
                entry.inline = bytes.to_vec();
                Pieces::None
            } else {
                self.content.store_small()?
            }
        };
        let (stat, changed) = content.finish()?;
        entry.size = stat.size;
        if let Some(trouble) = changed {
            self.run.progress.trouble(trouble.into());
        }
        Ok((entry, pieces))
    }

    fn complete(
        &self,
        found: &Found,
        content: Option<&source::files::Content>,
    ) -> Result<Entry, source::Trouble> {
        let (mut entry, lacking) = found.complete(&self.run.names, content)?;
        if let Some(trouble) = lacking {
            self.run.progress.trouble(trouble.into());
            // Not what it is: the next backup looks at it again.
            entry.ctime = Time::default();
        }
        Ok(entry)
    }
}

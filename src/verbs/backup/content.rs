//! A file's bytes on their way into the repository: read, cut, stored.

use super::{
    Error,
    pool::{Chunks, InOrder},
};
use crate::{
    buffers::Buffer,
    chunk::Cutter,
    id::BlobKind,
    limits,
    progress::Progress,
    repo::WriteBlobs,
    source::{self, files::Got},
    tree::{self, Piece, Pieces, Splitter, content::PiecesBuilder},
};

/// Whose fault it was: the item's (the run goes on without it) or the repository's (it stops).
pub(super) enum Fault<E: std::error::Error + 'static> {
    Source(source::Trouble),
    Run(Error<E>),
}

impl<E: std::error::Error + 'static> From<source::Trouble> for Fault<E> {
    fn from(trouble: source::Trouble) -> Self {
        Fault::Source(trouble)
    }
}

impl<E: std::error::Error + 'static> From<tree::Error<E>> for Fault<E> {
    fn from(error: tree::Error<E>) -> Self {
        Fault::Run(error.into())
    }
}

/// A content that is read once from its beginning to its end.
pub(super) trait Feed {
    /// Fills `buffer`, or tells of a hole or the end. A buffer that is not filled means that
    /// something else than data follows.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Got, source::Trouble>;
}

impl Feed for source::files::Content {
    fn next(&mut self, buffer: &mut [u8]) -> Result<Got, source::Trouble> {
        source::files::Content::next(self, buffer)
    }
}

/// What one thread keeps to store contents: a buffer that is used again and again.
pub(super) struct ContentWriter<'a, W: WriteBlobs> {
    writer: &'a W,
    chunks: &'a Chunks<W::Error>,
    cutter: &'a Cutter,
    splitter: Splitter,
    progress: &'a Progress,
    /// Never made shorter, so that its bytes are made zero once.
    buffer: Vec<u8>,
    /// So many of them `read_small` has read.
    small: usize,
}

impl<'a, W: WriteBlobs> ContentWriter<'a, W> {
    pub(super) fn new(
        writer: &'a W,
        chunks: &'a Chunks<W::Error>,
        cutter: &'a Cutter,
        splitter: Splitter,
        progress: &'a Progress,
    ) -> Self {
        ContentWriter { writer, chunks, cutter, splitter, progress, buffer: Vec::new(), small: 0 }
    }

    /// All of a content of at most `len` bytes of data that has no holes.
    pub(super) fn read_small(
        &mut self,
        from: &mut impl Feed,
        len: usize,
    ) -> Result<&[u8], source::Trouble> {
        self.make_room(len);
        self.small = match from.next(&mut self.buffer[..len])? {
            Got::Data(filled) => filled,
            Got::Hole(_) | Got::End => 0,
        };
        Ok(&self.buffer[..self.small])
    }

    /// What `read_small` gave, as one chunk.
    pub(super) fn store_small(&mut self) -> Result<Pieces, Fault<W::Error>> {
        let plain = &self.buffer[..self.small];
        if plain.is_empty() {
            return Ok(Pieces::None);
        }
        let written = self.writer.write(BlobKind::Chunk, plain, None).map_err(unwritten)?;
        Ok(Pieces::List(vec![Piece { id: Some(written.id), len: plain.len() as u64 }]))
    }

    fn make_room(&mut self, len: usize) {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
    }

    /// Stores a content of any length; other threads help with its chunks.
    pub(super) fn store(&mut self, from: &mut impl Feed) -> Result<Pieces, Fault<W::Error>> {
        let mut line = Line {
            order: InOrder::new(self.writer, self.chunks),
            pieces: PiecesBuilder::new(self.writer, self.splitter),
        };
        // What was read and not handed over.
        let (mut start, mut end) = (0, 0);
        loop {
            // One large file may take hours.
            if self.progress.is_cancelled() {
                return Err(Fault::Run(Error::Cancelled));
            }
            self.buffer.copy_within(start..end, 0);
            end -= start;
            let step = end..end + limits::CONTENT_STEP_BYTES;
            self.make_room(step.end);
            let got = from.next(&mut self.buffer[step])?;
            let filled = if let Got::Data(filled) = got { filled } else { 0 };
            end += filled;
            // A cut never depends on what lies behind a hole.
            start = self.cut(end, filled < limits::CONTENT_STEP_BYTES, &mut line)?;
            match got {
                Got::Data(_) => {}
                Got::Hole(len) => line.hole(len)?,
                Got::End => break,
            }
        }
        line.drain()?;
        Ok(line.pieces.finish()?)
    }

    /// Hands over the chunks that the first `end` bytes surely begin with; returns where they end.
    fn cut(
        &self,
        end: usize,
        at_end: bool,
        line: &mut Line<'_, W>,
    ) -> Result<usize, Fault<W::Error>> {
        let mut start = 0;
        while let Some(len) = self.cutter.cut(&self.buffer[start..end], at_end) {
            line.chunk(self.chunks.copy(&self.buffer[start..start + len.get()]))?;
            start += len.get();
        }
        Ok(start)
    }
}

/// The pieces of one content in the order of the content.
struct Line<'a, W: WriteBlobs> {
    order: InOrder<'a, W>,
    pieces: PiecesBuilder<'a, W>,
}

impl<W: WriteBlobs> Line<'_, W> {
    fn chunk(&mut self, plain: Buffer) -> Result<(), Fault<W::Error>> {
        self.order.push(plain).map_err(unwritten)?;
        while let Some((id, len)) = self.order.pop().map_err(unwritten)? {
            self.pieces.push(Piece { id: Some(id), len })?;
        }
        Ok(())
    }

    fn hole(&mut self, len: u64) -> Result<(), Fault<W::Error>> {
        self.drain()?;
        Ok(self.pieces.push(Piece { id: None, len })?)
    }

    fn drain(&mut self) -> Result<(), Fault<W::Error>> {
        while let Some((id, len)) = self.order.pop_waiting().map_err(unwritten)? {
            self.pieces.push(Piece { id: Some(id), len })?;
        }
        Ok(())
    }
}

fn unwritten<E: std::error::Error + 'static>(source: E) -> tree::Error<E> {
    tree::Error::Write { kind: BlobKind::Chunk, source }
}

//! Content in and out: bytes to pieces, pieces to bytes.

use std::ops::Range;

use bytes::Bytes;

use super::{
    error::{Error, Fault},
    iter::{Iter, floor, iter},
    merge::Merger,
    node::content_bytes,
    range::KeyRange,
    splitter::Splitter,
    value::{Piece, Pieces, Root, Value},
};
use crate::{
    chunk::Cutter,
    id::{BlobId, BlobKind},
    limits::{KIB, PIECES_INLINE_MAX},
    repo::{ReadBlobs, WriteBlobs},
};

/// Collects pieces in order, in bounded memory: a list that grows long becomes a tree as it comes.
pub struct PiecesBuilder<'a, W> {
    blobs: &'a W,
    splitter: Splitter,
    list: Vec<Piece>,
    /// From the first piece that the list could not hold.
    tree: Option<Merger<'a, W>>,
    offset: u64,
    /// A hole that may still grow.
    hole: u64,
}

impl<'a, W: WriteBlobs> PiecesBuilder<'a, W> {
    pub fn new(blobs: &'a W, splitter: Splitter) -> Self {
        PiecesBuilder { blobs, splitter, list: Vec::new(), tree: None, offset: 0, hole: 0 }
    }

    /// The next piece; its chunk is written by then, or will be before the tree's commit. Pieces
    /// of no length are nothing, and holes side by side are one.
    pub fn push(&mut self, piece: Piece) -> Result<(), Error<W::Error>> {
        if piece.id.is_none() {
            self.hole = self.hole.checked_add(piece.len).ok_or(Error::Piece)?;
            return Ok(());
        }
        self.end_hole()?;
        if piece.len > 0 { self.add(piece) } else { Ok(()) }
    }

    pub fn finish(mut self) -> Result<Pieces, Error<W::Error>> {
        self.end_hole()?;
        match self.tree {
            Some(tree) => Ok(Pieces::Tree(tree.finish()?)),
            None if self.list.is_empty() => Ok(Pieces::None),
            None => Ok(Pieces::List(self.list)),
        }
    }

    fn end_hole(&mut self) -> Result<(), Error<W::Error>> {
        match std::mem::take(&mut self.hole) {
            0 => Ok(()),
            len => self.add(Piece { id: None, len }),
        }
    }

    fn add(&mut self, piece: Piece) -> Result<(), Error<W::Error>> {
        if self.tree.is_none() && self.list.len() < PIECES_INLINE_MAX {
            self.offset = self.offset.checked_add(piece.len).ok_or(Error::Piece)?;
            self.list.push(piece);
            return Ok(());
        }
        if self.tree.is_none() {
            self.tree = Some(Merger::new(self.blobs, self.splitter, None));
            self.offset = 0;
            for piece in std::mem::take(&mut self.list) {
                self.add(piece)?;
            }
        }
        let value = Value { head: Bytes::new(), pieces: Pieces::List(vec![piece]) };
        let tree = self.tree.as_mut().expect("made above");
        tree.put(&self.offset.to_be_bytes(), &value)?;
        self.offset = self.offset.checked_add(piece.len).ok_or(Error::Piece)?;
        Ok(())
    }
}

/// Cuts bytes into chunks, writes them and collects their pieces, all on the caller's thread.
pub struct ContentWriter<'a, W> {
    blobs: &'a W,
    cutter: &'a Cutter,
    pieces: PiecesBuilder<'a, W>,
    buffer: Vec<u8>,
}

impl<'a, W: WriteBlobs> ContentWriter<'a, W> {
    pub fn new(blobs: &'a W, cutter: &'a Cutter, splitter: Splitter) -> Self {
        let pieces = PiecesBuilder::new(blobs, splitter);
        ContentWriter { blobs, cutter, pieces, buffer: Vec::new() }
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error<W::Error>> {
        let max = self.cutter.sizes().max;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(max));
            self.buffer.extend_from_slice(now);
            bytes = later;
            // Only a full buffer is looked at, so that no byte is looked at twice.
            if self.buffer.len() >= max {
                self.cut(false)?;
            }
        }
        Ok(())
    }

    /// A stretch of zeros. Content is cut anew behind it.
    pub fn hole(&mut self, len: u64) -> Result<(), Error<W::Error>> {
        self.cut(true)?;
        self.pieces.push(Piece { id: None, len })
    }

    pub fn finish(mut self) -> Result<Pieces, Error<W::Error>> {
        self.cut(true)?;
        self.pieces.finish()
    }

    fn cut(&mut self, at_end: bool) -> Result<(), Error<W::Error>> {
        let mut start = 0;
        let max = self.cutter.sizes().max;
        while at_end || self.buffer.len() - start >= max {
            let rest = &self.buffer[start..];
            let Some(length) = self.cutter.cut(rest, at_end) else { break };
            let chunk = &rest[..length.get()];
            let id = self
                .blobs
                .write(BlobKind::Chunk, chunk, None)
                .map_err(|source| Error::Write { kind: BlobKind::Chunk, source })?
                .id;
            self.pieces.push(Piece { id: Some(id), len: chunk.len() as u64 })?;
            start += length.get();
        }
        self.buffer.drain(..start);
        Ok(())
    }
}

/// How long content is. `None`: its parts contradict one another.
pub fn length(pieces: &Pieces) -> Option<u64> {
    content_bytes(pieces)
}

/// The pieces of some content that reach into a range of it, in order, with their offsets. A list
/// that is a tree is read as it is needed.
pub fn pieces<'a, R: ReadBlobs>(
    blobs: &'a R,
    content: &'a Pieces,
    range: Range<u64>,
) -> PiecesIter<'a, R> {
    let source = match content {
        // Another map is no content.
        Pieces::None | Pieces::Map(_) => Source::List(&[]),
        Pieces::List(list) => Source::List(list),
        Pieces::Tree(root) => Source::Ahead(blobs, *root),
    };
    PiecesIter { source, offset: 0, range }
}

/// See `pieces`. After an error it is at its end.
pub struct PiecesIter<'a, R> {
    source: Source<'a, R>,
    /// Where the next piece begins.
    offset: u64,
    range: Range<u64>,
}

enum Source<'a, R> {
    List(&'a [Piece]),
    /// A tree of which nothing was read yet.
    Ahead(&'a R, Root),
    Tree(BlobId, Box<Iter<'a, R>>),
}

impl<R: ReadBlobs> PiecesIter<'_, R> {
    fn step(&mut self) -> Result<Option<(u64, Piece)>, Error<R::Error>> {
        while self.offset < self.range.end {
            let Some(piece) = self.next_piece()? else { return Ok(None) };
            let start = self.offset;
            self.offset = start.checked_add(piece.len).ok_or(Error::Piece)?;
            if self.offset > self.range.start {
                return Ok(Some((start, piece)));
            }
        }
        Ok(None)
    }

    fn next_piece(&mut self) -> Result<Option<Piece>, Error<R::Error>> {
        if let Source::Ahead(blobs, root) = self.source {
            let start = floor(blobs, &root, &self.range.start.to_be_bytes())?;
            let start = start.unwrap_or_default();
            self.offset = offset_of(&start).unwrap_or_default();
            let iter = iter(blobs, &root, KeyRange::starting_at(&start));
            self.source = Source::Tree(root.id, Box::new(iter));
        }
        match &mut self.source {
            Source::List(list) => Ok(list.split_off_first().copied()),
            Source::Tree(root, iter) => {
                let Some((key, value)) = iter.next().transpose()? else { return Ok(None) };
                match value.pieces {
                    Pieces::List(list)
                        if list.len() == 1 && offset_of(&key) == Some(self.offset) =>
                    {
                        Ok(Some(list[0]))
                    }
                    _ => Err(Error::Damaged { id: *root, source: Fault::Pieces { row: 0 } }),
                }
            }
            Source::Ahead(..) => Ok(None),
        }
    }
}

fn offset_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

impl<R: ReadBlobs> Iterator for PiecesIter<'_, R> {
    type Item = Result<(u64, Piece), Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if !matches!(step, Some(Ok(_))) {
            self.source = Source::List(&[]);
        }
        step
    }
}

/// Reads a chunk and holds it against the length that its piece tells.
pub fn read_chunk<R: ReadBlobs>(
    blobs: &R,
    id: &BlobId,
    wanted_bytes: u64,
) -> Result<Bytes, Error<R::Error>> {
    let chunk = blobs.read(BlobKind::Chunk, id).map_err(|source| Error::Read {
        kind: BlobKind::Chunk,
        id: *id,
        source,
    })?;
    let found_bytes = chunk.len() as u64;
    if found_bytes != wanted_bytes {
        return Err(Error::ChunkLength { id: *id, wanted_bytes, found_bytes });
    }
    Ok(chunk)
}

/// Calls `take` with the bytes of `range`, in order and without a gap, as far as the content
/// goes. Holes come as pieces of a block of zeros.
pub fn read_range<R: ReadBlobs>(
    blobs: &R,
    content: &Pieces,
    range: Range<u64>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), Error<R::Error>> {
    for found in pieces(blobs, content, range.clone()) {
        let (offset, piece) = found?;
        let from = range.start.max(offset) - offset;
        let to = range.end.min(offset + piece.len) - offset;
        match &piece.id {
            Some(id) => {
                let chunk = read_chunk(blobs, id, piece.len)?;
                take(&chunk[from as usize..to as usize]);
            }
            None => {
                let mut left = to - from;
                while left > 0 {
                    let now = left.min(ZEROS.len() as u64);
                    take(&ZEROS[..now as usize]);
                    left -= now;
                }
            }
        }
    }
    Ok(())
}

static ZEROS: [u8; 64 * KIB] = [0; 64 * KIB];

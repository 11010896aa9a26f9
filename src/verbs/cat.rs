//! Cat: the bytes of one file.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{
    Error,
    entries::{self, Item, kind_name},
};
use crate::{
    format::entry::{self, FileType},
    id::BlobKind,
    repo::ReadBlobs,
    tree::{
        Piece, Pieces, Root,
        content::{pieces, read_chunk},
    },
};

/// So many chunks are announced to the repository at a time.
const AHEAD_PIECES: usize = 16;

/// The file at `path`, ready to be read.
pub fn open<R: ReadBlobs>(reader: &R, root: &Root, path: &[u8]) -> Result<Item, Error<R::Error>> {
    let text = || String::from_utf8_lossy(path).into_owned();
    let key = entry::key_of_path(path).map_err(|_| Error::NoPath { path: text() })?;
    let Some(item) = entries::one(reader, root, &key)? else {
        // A directory that only leads to what was backed up has no entry of its own.
        return Err(match entries::below(reader, root, path, entries::Depth::Children) {
            Ok(mut inside) => {
                inside.next().transpose()?;
                Error::NotAFile { path: text(), kind: kind_name(FileType::Dir) }
            }
            Err(error) => error,
        });
    };
    match item.entry.kind.file_type() {
        FileType::File => Ok(item),
        other => Err(Error::NotAFile { path: text(), kind: kind_name(other) }),
    }
}

/// Gives the file's bytes to `take`, in order, until it breaks.
pub fn read<R: ReadBlobs, B>(
    reader: &R,
    file: &Item,
    take: &mut dyn FnMut(Bytes) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error<R::Error>> {
    if file.pieces == Pieces::None {
        return Ok(take(Bytes::copy_from_slice(&file.entry.inline)));
    }
    let mut all = pieces(reader, &file.pieces, 0..u64::MAX);
    loop {
        let some: Vec<(u64, Piece)> = all.by_ref().take(AHEAD_PIECES).collect::<Result<_, _>>()?;
        if some.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let ids: Vec<_> = some.iter().filter_map(|(_, piece)| piece.id).collect();
        reader.expect(BlobKind::Chunk, &ids);
        for (_, piece) in some {
            let flow = match piece.id {
                Some(id) => take(read_chunk(reader, &id, piece.len)?),
                None => zeros(piece.len, take),
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
}

fn zeros<B>(len: u64, take: &mut dyn FnMut(Bytes) -> ControlFlow<B>) -> ControlFlow<B> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = len;
    while left > 0 {
        let now = left.min(ZEROS.len() as u64);
        take(Bytes::from_static(&ZEROS[..now as usize]))?;
        left -= now;
    }
    ControlFlow::Continue(())
}

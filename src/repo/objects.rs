//! Small objects, read whole.

use bytes::Bytes;

use super::layout;
use crate::{
    format,
    id::SegmentId,
    limits::{CONTROL_MAX_BYTES, MIB},
    seal,
    store::{self, ErrorKind, Name, Store},
};

/// The inner error: the object is there, and can't be what it is named for, whatever its bytes.
/// `None`: there is none.
pub(super) type Object = Option<Result<Bytes, format::Error>>;

/// An object that is `what`, and so has `max_bytes` at most.
pub(super) fn get_small(
    store: &dyn Store,
    name: &Name,
    what: &'static str,
    max_bytes: usize,
) -> Result<Object, store::Error> {
    match store::get_all(store, name, max_bytes) {
        Ok(object) => Ok(Some(Ok(object))),
        Err(error) => match error.kind {
            ErrorKind::NotFound => Ok(None),
            ErrorKind::TooLarge { size_bytes, max_bytes } => {
                let bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
                Ok(Some(Err(seal::Error::TooLarge { what, bytes, max_bytes }.into())))
            }
            _ => at_fault(what, error).map(|fault| Some(Err(fault))),
        },
    }
}

/// What is wrong with an object that is `what`, when reading it said that it is about the object
/// alone.
pub(super) fn at_fault(
    what: &'static str,
    error: store::Error,
) -> Result<format::Error, store::Error> {
    match error.kind {
        // Cut since its size was told.
        ErrorKind::ShortObject => Ok(format::Error::Truncated { what }),
        ErrorKind::Unreadable | ErrorKind::NotAFile => {
            Ok(format::Error::Unreadable { what, source: error.into() })
        }
        _ => Err(error),
    }
}

/// A segment of the index as it lies in the store: sealed, and so a little larger than it is.
pub(super) fn get_segment(store: &dyn Store, id: &SegmentId) -> Result<Object, store::Error> {
    get_small(store, &layout::segment(id), "an index segment", CONTROL_MAX_BYTES + MIB)
}

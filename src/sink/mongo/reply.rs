//! What a server answered to a batch of writes.

use super::command::{document_in, text_in};
use crate::document::{elements, get};

/// Counters and errors of one reply.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Documents inserted, matched or removed.
    pub n: u64,
    /// By place in the batch.
    pub errors: Vec<WriteError>,
}

#[derive(Debug)]
pub(super) struct WriteError {
    pub index: usize,
    pub code: i32,
    pub message: String,
}

/// A unique index has such a key already. Clustered collections say so in other words.
pub(super) const DUPLICATE_KEY: i32 = 11000;

impl Written {
    pub fn of(reply: &[u8]) -> Written {
        let number = |document: &[u8], name: &[u8]| {
            get(document, name).ok().flatten().and_then(|field| {
                field.as_i64().or_else(|| field.as_f64().map(|number| number as i64))
            })
        };
        let n = number(reply, b"n").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let list = document_in(reply, b"writeErrors").map(elements);
        let errors = list.into_iter().flatten().flatten().filter_map(|error| error.as_doc());
        let errors = errors.map(|error| WriteError {
            index: number(error, b"index").and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            code: number(error, b"code").and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            message: text_in(error, b"errmsg").unwrap_or_default(),
        });
        Written { n, errors: errors.collect() }
    }
}

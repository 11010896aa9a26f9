//! A pack on its way: filling, then closed and in upload, then in the store.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::{
    format::pack::{PackTable, PackWriter},
    repo::catalog::PackInfo,
    seal::{Keys, PackSalt, Row},
};

/// One pack of a session. Its blobs can be read at any time.
pub(super) struct PackCell {
    state: Mutex<State>,
}

enum State {
    Filling(PackWriter),
    Closed {
        salt: PackSalt,
        bytes: Bytes,
    },
    Stored(PackInfo),
    /// The upload failed, and with it the session.
    Lost,
}

/// Where the sealed bytes of a blob are.
pub(super) enum Sealed {
    Here(PackSalt, Bytes),
    InStore(PackInfo),
    Lost,
}

impl PackCell {
    pub fn new(writer: PackWriter) -> Self {
        PackCell { state: Mutex::new(State::Filling(writer)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics holding it")
    }

    /// Works on the pack while it is filling. `None`: it is not any more.
    pub fn fill<T>(&self, work: impl FnOnce(&mut PackWriter) -> T) -> Option<T> {
        match &mut *self.lock() {
            State::Filling(writer) => Some(work(writer)),
            _ => None,
        }
    }

    pub fn sealed(&self, row: &Row) -> Sealed {
        match &*self.lock() {
            State::Filling(writer) => match writer.sealed(row) {
                Some(sealed) => Sealed::Here(*writer.salt(), Bytes::copy_from_slice(sealed)),
                None => Sealed::Lost,
            },
            State::Closed { salt, bytes } => {
                let start = row.offset as usize;
                Sealed::Here(*salt, bytes.slice(start..start + row.stored_len as usize))
            }
            State::Stored(pack) => Sealed::InStore(*pack),
            State::Lost => Sealed::Lost,
        }
    }

    /// Nothing more comes into the pack. `None`: it is closed already.
    pub fn close(&self, keys: &Keys) -> Option<(PackTable, Bytes)> {
        let mut state = self.lock();
        let State::Filling(writer) = std::mem::replace(&mut *state, State::Lost) else {
            return None;
        };
        let (table, bytes) = writer.finish(keys);
        *state = State::Closed { salt: table.salt, bytes: bytes.clone() };
        Some((table, bytes))
    }

    pub fn stored(&self, pack: PackInfo) {
        *self.lock() = State::Stored(pack);
    }

    pub fn lost(&self) {
        *self.lock() = State::Lost;
    }
}

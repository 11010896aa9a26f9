//! Where sealed objects lie.

use std::{fmt, ops::Range};

use bytes::Bytes;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod limit;
pub mod local;
pub mod location;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod name;
pub mod object;
mod pace;
mod probe;
#[cfg(any(test, feature = "testing"))]
pub mod recorded;
pub mod retry;

pub use error::{Error, ErrorKind};
pub use name::Name;
pub use probe::probe;

/// Whether a `put_new` made the object or found one of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// An object of that name exists (whatever its bytes); nothing was written.
    Exists,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Name,
    pub size_bytes: u64,
}

/// What a store is known to do (PROTOCOL.md, "Assumptions"); probed at `init` and before a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// `put_new` is atomic: of two writers of one name exactly one gets `Created`.
    pub create_if_absent: bool,
    /// An object put at t is in every listing begun after t + this many seconds.
    pub visibility_delay_seconds: u64,
}

/// Five verbs, and two facts, over named, immutable objects of sealed bytes. Blocking; called from
/// many threads.
///
/// An implementation's retries, if any, are inside it: an error that comes out is final for the
/// caller. `contract::check` is what each implementation and wrapper must pass.
pub trait Store: Send + Sync + fmt::Debug {
    /// Creates the object, whole or not at all, durable on return. Never overwrites, if
    /// `creates_atomically`. After an error it may or may not be there.
    ///
    /// Over a network an answer can be lost and the put tried again: then `Created` means that the
    /// object holds these very bytes (`retry`), which two callers of equal bytes may both be told.
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error>;

    /// Exactly the bytes of `range`; a range that reaches beyond the end is an error
    /// (`ErrorKind::ShortObject`), a missing object is `ErrorKind::NotFound`.
    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error>;

    /// The object's length, or `ErrorKind::NotFound`.
    fn size(&self, name: &Name) -> Result<u64, Error>;

    /// Calls `each` for every object below `prefix` (a directory: "packs", "gc", "" for all), in
    /// no promised order. A listing that fails half-way is an error, never a short list. A prefix
    /// that nobody wrote below lists nothing. An error of `each` ends the listing and is returned.
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Removes the object, durable on return; removing what is not there is success.
    fn remove(&self, name: &Name) -> Result<(), Error>;

    /// What is known of `put_new` and a probe finds by chance only: false when it looks for the
    /// name first and writes later, so that it may overwrite what came between.
    fn creates_atomically(&self) -> bool;

    /// What is known of the medium and no probe from one host can see: an object put at t is in
    /// every listing, of any host, begun after t + this. 0 for local disks and S3.
    fn visibility_delay_seconds(&self) -> u64;
}

/// The whole listing below `prefix`, sorted by name.
pub fn list_all(store: &dyn Store, prefix: &str) -> Result<Vec<Listed>, Error> {
    let mut all = Vec::new();
    store.list(prefix, &mut |listed| {
        all.push(listed);
        Ok(())
    })?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The whole object, refused when it is larger than `max_bytes`.
pub fn get_all(store: &dyn Store, name: &Name, max_bytes: usize) -> Result<Bytes, Error> {
    let size_bytes = store.size(name)?;
    if size_bytes > max_bytes as u64 {
        return Err(Error::new(
            ErrorKind::TooLarge { size_bytes, max_bytes },
            "get",
            name.as_str(),
        ));
    }
    store.get(name, 0..size_bytes)
}

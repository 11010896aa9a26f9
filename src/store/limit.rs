//! A bound on bytes a second, up and down, for stores that have no line of their own to pace.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{Error, Listed, Name, Put, Store, pace::Pace};
use crate::{ambient::Ambient, limits::MIB};

/// Waits before each put and after each read, so that averages stay below the bounds. A put goes
/// in one piece; a long read is taken in pieces of about a second each.
pub struct Limit {
    inner: Arc<dyn Store>,
    up: Option<Pace>,
    down: Option<Pace>,
    ambient: Ambient,
}

impl Limit {
    /// In KiB a second; `None` is no bound.
    pub fn new(
        inner: Arc<dyn Store>,
        up_kib: Option<u64>,
        down_kib: Option<u64>,
        ambient: Ambient,
    ) -> Self {
        Limit { inner, up: up_kib.map(Pace::new), down: down_kib.map(Pace::new), ambient }
    }

    fn wait(&self, pace: &Pace, bytes: usize) {
        let clock = &self.ambient.clock;
        clock.sleep(pace.send(bytes, clock.monotonic()));
    }
}

impl std::fmt::Debug for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limit({:?})", self.inner)
    }
}

impl Store for Limit {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        if let Some(up) = &self.up {
            self.wait(up, bytes.len());
        }
        self.inner.put_new(name, bytes)
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let Some(down) = &self.down else { return self.inner.get(name, range) };
        let piece = down.piece_bytes(MIB) as u64;
        let mut pieces = BytesMut::new();
        let mut at = range.start;
        loop {
            let end = range.end.min(at.saturating_add(piece));
            let bytes = self.inner.get(name, at..end)?;
            self.wait(down, bytes.len());
            if end == range.end && at == range.start {
                return Ok(bytes);
            }
            pieces.extend_from_slice(&bytes);
            if end == range.end {
                return Ok(pieces.freeze());
            }
            at = end;
        }
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        self.inner.size(name)
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.inner.list(prefix, each)
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        self.inner.remove(name)
    }

    fn creates_atomically(&self) -> bool {
        self.inner.creates_atomically()
    }

    fn visibility_delay_seconds(&self) -> u64 {
        self.inner.visibility_delay_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ambient::Clock,
        store::{contract, memory::MemoryStore},
    };

    #[test]
    fn keeps_the_contract_with_and_without_bounds() {
        for bound in [None, Some(100)] {
            let (ambient, _) = Ambient::fixed(1);
            let inner = Arc::new(MemoryStore::new());
            contract::check(&Limit::new(inner, bound, bound, ambient));
        }
    }

    #[test]
    fn bytes_take_their_time() {
        let (ambient, clock) = Ambient::fixed(1);
        let store = Limit::new(Arc::new(MemoryStore::new()), Some(100), Some(400), ambient);
        let name = Name::parse("x").unwrap();
        let bytes = Bytes::from(vec![7; 2000 << 10]);
        store.put_new(&name, bytes.clone()).unwrap();
        assert_eq!(clock.monotonic().as_secs(), 20);
        assert_eq!(store.get(&name, 0..2000 << 10).unwrap(), bytes);
        assert_eq!(clock.monotonic().as_secs(), 25);
        store.size(&name).unwrap();
        assert_eq!(clock.monotonic().as_secs(), 25, "questions are free");
    }
}

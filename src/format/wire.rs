//! Reading little-endian fields from bytes that may end anywhere.

use super::Error;

/// What is left to read of a record that is called `what` in errors.
pub(super) struct Wire<'a> {
    pub what: &'static str,
    left: &'a [u8],
}

impl<'a> Wire<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Wire { what, left: bytes }
    }

    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (field, left) =
            self.left.split_first_chunk().ok_or(Error::Truncated { what: self.what })?;
        self.left = left;
        Ok(*field)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        self.take().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_le_bytes)
    }

    /// A count of things of which each takes `min_bytes` at least: one that can't be met by what
    /// is left is refused here, before anybody makes room for it.
    pub fn count(&mut self, max: usize, min_bytes: usize) -> Result<usize, Error> {
        let count = self.u32()? as usize;
        if count > max {
            return Err(self.impossible("a count", count as u64));
        }
        if count > self.left.len() / min_bytes {
            return Err(Error::Truncated { what: self.what });
        }
        Ok(count)
    }

    pub fn end(self) -> Result<(), Error> {
        if self.left.is_empty() {
            return Ok(());
        }
        Err(Error::Trailing { what: self.what, bytes: self.left.len() })
    }

    pub fn impossible(&self, field: &'static str, found: u64) -> Error {
        Error::Impossible { what: self.what, field, found }
    }
}

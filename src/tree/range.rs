//! A stretch of keys.

use std::ops::Bound;

use bytes::Bytes;

/// The keys from one bound up to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    from: Bound<Bytes>,
    to: Bound<Bytes>,
}

impl KeyRange {
    pub fn all() -> Self {
        KeyRange { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    pub fn new(from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        KeyRange { from: from.map(Bytes::copy_from_slice), to: to.map(Bytes::copy_from_slice) }
    }

    /// `key` and all above.
    pub fn starting_at(key: &[u8]) -> Self {
        KeyRange::new(Bound::Included(key), Bound::Unbounded)
    }

    /// From `from` to before `to`.
    pub fn between(from: &[u8], to: &[u8]) -> Self {
        KeyRange::new(Bound::Included(from), Bound::Excluded(to))
    }

    /// The keys that begin so.
    pub fn with_prefix(prefix: &[u8]) -> Self {
        // The keys after are those of the next prefix: its last byte that can grow, grown.
        let next = prefix.iter().rposition(|&byte| byte < u8::MAX).map(|at| {
            let mut next = prefix[..=at].to_vec();
            next[at] += 1;
            Bytes::from(next)
        });
        KeyRange {
            from: Bound::Included(Bytes::copy_from_slice(prefix)),
            to: next.map_or(Bound::Unbounded, Bound::Excluded),
        }
    }

    /// Where it begins, and the key that it does not reach, if there is one.
    pub fn ends(&self) -> (&[u8], Option<&[u8]>) {
        let to = match &self.to {
            Bound::Included(key) | Bound::Excluded(key) => Some(&key[..]),
            Bound::Unbounded => None,
        };
        (self.lowest().unwrap_or_default(), to)
    }

    /// Whether a key may lie in both.
    pub fn meets(&self, other: &KeyRange) -> bool {
        let (from, to) = other.ends();
        !self.misses(from, to)
    }

    pub fn holds(&self, key: &[u8]) -> bool {
        !self.starts_after(key) && !self.ends_before(key)
    }

    /// The same end, with a start no lower than `key`.
    pub(super) fn move_start(&mut self, key: &[u8]) {
        if self.lowest().is_none_or(|from| from < key) {
            self.from = Bound::Included(Bytes::copy_from_slice(key));
        }
    }

    pub(super) fn lowest(&self) -> Option<&[u8]> {
        match &self.from {
            Bound::Included(key) | Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        }
    }

    pub(super) fn starts_after(&self, key: &[u8]) -> bool {
        match &self.from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        }
    }

    pub fn ends_before(&self, key: &[u8]) -> bool {
        match &self.to {
            Bound::Included(to) => key > to,
            Bound::Excluded(to) => key >= to,
            Bound::Unbounded => false,
        }
    }

    /// Whether no key from `low` up to below `high` lies in it.
    pub(super) fn misses(&self, low: &[u8], high: Option<&[u8]>) -> bool {
        let all_before = high.zip(self.lowest()).is_some_and(|(high, from)| high <= from);
        all_before || self.ends_before(low)
    }

    /// Whether every key from `low` up to below `high` lies in it.
    pub(super) fn covers(&self, low: &[u8], high: Option<&[u8]>) -> bool {
        let to_covers = match (&self.to, high) {
            (Bound::Unbounded, _) => true,
            (Bound::Included(to) | Bound::Excluded(to), Some(high)) => high <= to,
            (_, None) => false,
        };
        to_covers && !self.starts_after(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        let range = KeyRange::with_prefix(b"a\xff");
        assert_eq!(range, KeyRange::between(b"a\xff", b"b"));
        assert_eq!(KeyRange::with_prefix(b"\xff\xff"), KeyRange::starting_at(b"\xff\xff"));
        assert!(!KeyRange::with_prefix(b"").ends_before(b"\xff"));
    }

    #[test]
    fn bounds_hold_as_they_say() {
        let range = KeyRange::new(Bound::Excluded(b"b"), Bound::Included(b"d"));
        assert!(range.starts_after(b"b") && !range.starts_after(b"b0"));
        assert!(range.ends_before(b"d0") && !range.ends_before(b"d"));
        assert!(range.misses(b"a", Some(b"b")) && range.misses(b"d0", None));
        assert!(range.covers(b"b0", Some(b"d")) && !range.covers(b"b", Some(b"d")));
        assert!(!range.covers(b"c", Some(b"e")));
    }
}

//! Orders what comes nearly in order, without a sort of the whole.

use std::collections::VecDeque;

use bytes::Bytes;

use super::held::{Held, InOrder};
use crate::buffers::Buffers;

/// A pair is late that comes this share of the window behind a greater one, and pairs are in
/// disorder when more than one in so many is late.
const LATE_PARTS: usize = 4;
const LATE_ONE_IN: u64 = 64;
/// The greatest key is noted so many times while a window fills.
const NOTES: usize = 16;

/// Holds pairs up to a bound and gives the lower half of them, again and again. What was given
/// ascends; a pair that comes too late for that is the caller's to keep elsewhere.
pub struct Window {
    bytes_max: usize,
    pub(super) held: Held,
    /// The last key given.
    given: Option<Bytes>,
    greatest: Vec<u8>,
    /// What the greatest key was when so many bytes had come, the oldest first.
    notes: VecDeque<(usize, Vec<u8>)>,
    bytes_come: usize,
    /// The greatest key of a while ago.
    was_greatest: Vec<u8>,
    pairs: u64,
    late: u64,
}

impl Window {
    pub fn new(bytes_max: usize) -> Self {
        Window {
            bytes_max,
            // What was given away comes back while as much again is filled.
            held: Held::new(Buffers::new(bytes_max / 2)),
            given: None,
            greatest: Vec::new(),
            notes: VecDeque::new(),
            bytes_come: 0,
            was_greatest: Vec::new(),
            pairs: 0,
            late: 0,
        }
    }

    /// Whether pairs above this key, or of it, were given already.
    pub fn is_too_late(&self, key: &[u8]) -> bool {
        self.given.as_ref().is_some_and(|given| key <= &given[..])
    }

    /// Takes a pair that is not too late.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.held.push(key, value);
        self.note(key, key.len() + value.len());
    }

    /// Whether `take_lower_half` should be called before the next push.
    pub fn is_full(&self) -> bool {
        self.held.bytes() >= self.bytes_max
    }

    /// Whether so many pairs came late that a window can't order them.
    pub fn is_in_disorder(&self) -> bool {
        self.late * LATE_ONE_IN > self.pairs
    }

    /// The lower half of what is held, in order. Pairs of one key stay together, and in the order
    /// in which they came.
    pub fn take_lower_half(&mut self) -> Vec<(Bytes, Bytes)> {
        let mut all = self.held.take().into_sorted();
        let (mut taken, mut bytes, wanted) = (Vec::<(Bytes, Bytes)>::new(), 0, all.bytes() / 2);
        while let Some(next) = all.peek_key() {
            if bytes > wanted && taken.last().is_some_and(|(last, _)| last != next) {
                break;
            }
            taken.extend(all.next());
            bytes += taken.last().map_or(0, |(key, value)| key.len() + value.len());
        }
        self.held.put_back(all);
        // Copied: it must not hold on to what is given away.
        self.given = taken.last().map(|(key, _)| Bytes::copy_from_slice(key)).or(self.given.take());
        taken
    }

    /// All that is held, in order.
    pub fn take_all(&mut self) -> InOrder {
        self.held.take().into_sorted()
    }

    fn note(&mut self, key: &[u8], bytes: usize) {
        self.pairs += 1;
        self.late += u64::from(key < &self.was_greatest[..]);
        self.bytes_come += bytes;
        if key > &self.greatest[..] {
            self.greatest.clear();
            self.greatest.extend_from_slice(key);
        }
        let noted = self.notes.back().map_or(0, |note| note.0);
        if self.bytes_come - noted >= self.bytes_max / NOTES {
            self.notes.push_back((self.bytes_come, self.greatest.clone()));
        }
        while self
            .notes
            .front()
            .is_some_and(|note| self.bytes_come - note.0 >= self.bytes_max / LATE_PARTS)
        {
            self.was_greatest = self.notes.pop_front().map(|note| note.1).unwrap_or_default();
        }
    }
}

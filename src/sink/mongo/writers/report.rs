//! What was written, and what the server did not take.

use bytes::Bytes;

use super::Op;
use crate::{
    document::{Writer, get},
    limits::RESTORE_FAILURES_TOLD,
};

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub inserted: u64,
    pub replaced: u64,
    pub removed: u64,
    pub bytes: u64,
    pub failures: Failures,
}

/// A document that the server did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A document that holds its `_id` alone.
    pub id: Bytes,
    /// The server's words, or ours.
    pub why: String,
}

/// All are counted, the first of them told: there may be as many as documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub inserts: u64,
    pub replaces: u64,
    pub removes: u64,
    pub told: Vec<Failure>,
}

impl Failures {
    pub fn count(&self) -> u64 {
        self.inserts + self.replaces + self.removes
    }

    /// Those that were counted alone.
    pub fn untold(&self) -> u64 {
        self.count() - self.told.len() as u64
    }

    pub(super) fn note(&mut self, op: &Op, why: &str) {
        match op {
            Op::Insert { .. } => self.inserts += 1,
            Op::Replace { .. } => self.replaces += 1,
            Op::Remove { .. } => self.removes += 1,
        }
        if self.told.len() < RESTORE_FAILURES_TOLD {
            let mut writer = Writer::new();
            if let Ok(Some(id)) = get(op.document(), b"_id") {
                writer.push(&id);
            }
            self.told.push(Failure { id: writer.finish().into(), why: why.to_owned() });
        }
    }
}

/// Operations that a unique key of another document stood against, as far as they fit into
/// memory.
pub(super) struct Again {
    pub ops: Vec<(Op, String)>,
    bytes: usize,
    bytes_max: usize,
}

impl Again {
    pub fn new(bytes_max: usize) -> Again {
        Again { ops: Vec::new(), bytes: 0, bytes_max }
    }

    /// Takes one, if it fits.
    pub fn take_in(&mut self, op: &Op, why: &str) -> bool {
        let bytes = self.bytes + op.bytes() + why.len();
        if bytes > self.bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.ops.push((op.copied(), why.to_owned()));
        true
    }

    /// All of them, to be tried.
    pub fn take(&mut self) -> Vec<(Op, String)> {
        self.bytes = 0;
        std::mem::take(&mut self.ops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(id: i32) -> Op {
        let mut writer = Writer::new();
        writer.push_i32(b"_id", id);
        writer.push_str(b"text", "x".repeat(1000));
        Op::Insert { document: writer.finish().into() }
    }

    #[test]
    fn failures_are_counted_and_some_of_them_told_by_their_ids() {
        let mut failures = Failures::default();
        for id in 0..1000 {
            failures.note(&insert(id), "refused");
        }
        let Op::Insert { document } = insert(7) else { unreachable!() };
        failures.note(&Op::Replace { document: document.clone(), was: document.clone() }, "");
        failures.note(&Op::Remove { was: document }, "");
        assert_eq!((failures.inserts, failures.replaces, failures.removes), (1000, 1, 1));
        assert_eq!(failures.told.len(), RESTORE_FAILURES_TOLD);
        assert_eq!(failures.untold(), 1002 - RESTORE_FAILURES_TOLD as u64);
        let last = failures.told.last().unwrap();
        assert_eq!(last.id.len(), 14, "an `_id` alone");
        assert_eq!(last.why, "refused");
    }

    #[test]
    fn what_is_tried_again_is_bounded_by_its_bytes() {
        let mut again = Again::new(10_000);
        for _ in 0..2 {
            let fit = (0..100).filter(|id| again.take_in(&insert(*id), "duplicate")).count();
            assert_eq!((fit, again.ops.len()), (9, 9));
            assert_eq!(again.take().len(), 9);
        }
    }
}

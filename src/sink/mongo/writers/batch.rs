//! Operations of one kind that go to the server in one command.

use super::Op;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Insert = 0,
    Replace = 1,
    Remove = 2,
}

impl Kind {
    pub fn of(op: &Op) -> Kind {
        match op {
            Op::Insert { .. } => Kind::Insert,
            Op::Replace { .. } => Kind::Replace,
            Op::Remove { .. } => Kind::Remove,
        }
    }
}

#[derive(Debug)]
pub struct Batch {
    pub kind: Kind,
    pub ops: Vec<Op>,
    pub bytes: usize,
}

impl Batch {
    pub fn new(kind: Kind) -> Batch {
        Batch { kind, ops: Vec::new(), bytes: 0 }
    }
}

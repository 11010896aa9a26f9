//! How the process ends: every exit code, with what it means to a script.

use std::process::ExitCode;

/// The codes of restic where the fact is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// The command line, or a value from the environment, can't be understood.
    Usage = 2,
    /// Done, but something was left out: an item could not be read, a snapshot not removed.
    Troubles = 3,
    NoRepository = 10,
    WrongPassword = 12,
    Damaged = 13,
    /// What the store shows is older than what was seen, or was tampered with.
    Rollback = 14,
    /// A restore met what it may not replace.
    Conflicts = 21,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

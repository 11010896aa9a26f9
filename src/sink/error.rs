//! What can go wrong on the way back to a disk.

use rustix::io::Errno;

/// One item's misfortune, or (see `is_final`) the whole target's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("cannot open the target directory {dir}")]
    Open { dir: String, source: Errno },
    #[error("another restore is writing into {dir}")]
    Busy { dir: String },
    #[error("no name for a file: {name:?}")]
    BadName { name: String },
    #[error("no space is left on the target")]
    Full { source: Errno },
    #[error("the target does not take writes any more")]
    Lost { source: Errno },
    #[error("not followed: a symbolic link, or no directory, stands in the way")]
    NotBeneath { source: Errno },
    #[error("a directory with something in it stands in the way")]
    DirectoryInTheWay,
    #[error("something of that name appeared meanwhile (or differs only in upper and lower case)")]
    Appeared,
    #[error("what was found there was changed by someone else meanwhile")]
    Changed,
    #[error("cannot {during}")]
    Item { during: &'static str, source: Errno },
}

impl Error {
    /// What `errno` means for the run, met while doing `during` with one item.
    pub(super) fn of(during: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::Full { source: errno },
            Errno::ROFS | Errno::NODEV | Errno::STALE | Errno::MFILE | Errno::NFILE => {
                Error::Lost { source: errno }
            }
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Error::NotBeneath { source: errno },
            _ => Error::Item { during, source: errno },
        }
    }

    /// Nothing more can be written to this target: the run must stop.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Error::Open { .. } | Error::Busy { .. } | Error::Full { .. } | Error::Lost { .. }
        )
    }
}

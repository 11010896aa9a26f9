//! What a source could not give, and of which item.

use std::process::ExitStatus;

use rustix::io::Errno;

use crate::{format, progress};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    System(#[from] Errno),
    #[error("it was replaced by something else meanwhile")]
    Swapped,
    #[error(
        "it changed while it was read: {bytes_before} bytes before, {bytes_after} after, \
         {bytes_read} read"
    )]
    Changed { bytes_before: u64, bytes_after: u64, bytes_read: u64 },
    #[error("its path is longer than {bytes_max} bytes")]
    PathTooLong { bytes_max: usize },
    #[error("its extended attributes are larger than {bytes_max} bytes; some were left out")]
    AttributesTooLarge { bytes_max: usize },
    #[error("its sort is unknown: mode {mode:o}")]
    UnknownSort { mode: u32 },
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error("the pattern {pattern:?} can't be used")]
    Pattern { pattern: String, source: ignore::Error },
    #[error("all patterns together can't be used")]
    Patterns(#[source] ignore::Error),
    #[error("{name:?} can't be the name of a file")]
    NoFileName { name: String },
    #[error("the input can't be read")]
    Input(#[source] std::io::Error),
    #[error("there is no command to run")]
    NoCommand,
    #[error("cannot run {program}")]
    Spawn { program: String, source: std::io::Error },
    #[error("{program} failed: {status}")]
    CommandFailed { program: String, status: ExitStatus },
}

/// One item that could not be had, or not whole. The run goes on.
#[derive(Debug)]
pub struct Trouble {
    /// Absolute, any bytes.
    pub path: Vec<u8>,
    /// `stat`, `open`, `list`, `read`, `read attributes`
    pub during: &'static str,
    pub error: Error,
}

impl From<Trouble> for progress::Trouble {
    fn from(trouble: Trouble) -> Self {
        let mut error = trouble.error.to_string();
        let mut cause = std::error::Error::source(&trouble.error);
        while let Some(source) = cause {
            error.push_str(": ");
            error.push_str(&source.to_string());
            cause = source.source();
        }
        progress::Trouble {
            item: String::from_utf8_lossy(&trouble.path).into_owned(),
            during: trouble.during,
            error,
        }
    }
}

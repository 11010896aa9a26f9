//! What can go wrong with a store, and what a caller may conclude from it.

/// Which kind of failure it was; the facts a caller acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    #[error("no such object")]
    NotFound,
    #[error("the object ends before the range asked for")]
    ShortObject,
    #[error("the object has {size_bytes} bytes, more than the {max_bytes} allowed here")]
    TooLarge { size_bytes: u64, max_bytes: usize },
    #[error("something that is no regular file stands in its place")]
    NotAFile,
    #[error("its medium can't read it")]
    Unreadable,
    #[error("no space left")]
    Full,
    #[error("access denied")]
    Denied,
    #[error("the store can't be reached, or answers with failures")]
    Unavailable,
    #[error("the store answered what it must not: {what}")]
    Misbehaved { what: &'static str },
    #[error("input or output failed")]
    Io,
    #[error("not the name of a repository: {why}")]
    BadLocation { why: &'static str },
    #[error("no credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")]
    NoCredentials,
    #[error("no store has an option of this name")]
    UnknownOption,
    #[error("not a good value: {why}")]
    BadOption { why: &'static str },
}

/// A store's failure: what kind, during which verb, on which object, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {object}: {kind}")]
pub struct Error {
    pub kind: ErrorKind,
    pub verb: &'static str,
    pub object: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, verb: &'static str, object: impl Into<String>) -> Self {
        Error { kind, verb, object: object.into(), source: None }
    }

    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound)
    }

    /// It is about this object alone, and not about the store: others may well be had.
    pub fn is_of_object(&self) -> bool {
        use ErrorKind::*;
        matches!(self.kind, NotFound | ShortObject | TooLarge { .. } | NotAFile | Unreadable)
    }
}

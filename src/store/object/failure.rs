//! How a request to an object store can fail, and what that means for the caller.

use std::{error::Error as StdError, sync::Arc};

use crate::store::ErrorKind;

/// What went wrong between a request and its answer. Travels as a source inside the errors of
/// `object_store`, and is found there again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    #[error("the server answers {status} {code}: {message}")]
    Status { status: u16, code: String, message: String },
    #[error("no connection to the server")]
    Connect(#[source] Arc<reqwest::Error>),
    #[error("the connection broke off")]
    Broken(#[source] Arc<reqwest::Error>),
    #[error("nothing moved for {seconds} s")]
    Stalled { seconds: u64 },
    #[error("the request makes no URL")]
    BadUrl,
    #[error("the answer is longer than asked for")]
    TooLong,
    #[error("the answer to a listing is none")]
    NotAListing,
    #[error("the answer to a listing is cut off")]
    CutListing,
}

impl Failure {
    /// The failure inside an error of `object_store`; `None` when it is about something else.
    pub fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Failure> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(failure) = error.downcast_ref() {
                return Some(failure);
            }
            at = error.source();
        }
        None
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Failure::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Failure::Status { status, code, .. } => kind_of_answer(*status, code),
            Failure::Connect(error) if speaks_of_certificates(error) => {
                ErrorKind::Misbehaved { what: "a certificate that is not trusted here" }
            }
            Failure::Connect(_)
            | Failure::Broken(_)
            | Failure::Stalled { .. }
            | Failure::CutListing => ErrorKind::Unavailable,
            Failure::BadUrl => ErrorKind::BadLocation { why: "it makes no URL" },
            Failure::TooLong => ErrorKind::Misbehaved { what: "more bytes than were asked for" },
            Failure::NotAListing => {
                ErrorKind::Misbehaved { what: "something that is no listing; is this S3?" }
            }
        }
    }
}

fn kind_of_answer(status: u16, code: &str) -> ErrorKind {
    match (status, code) {
        (_, "QuotaExceeded" | "XMinioStorageFull" | "StorageFull") | (507, _) => ErrorKind::Full,
        (_, "ExpiredToken" | "InvalidToken") | (401 | 403, _) => ErrorKind::Denied,
        (404, _) => ErrorKind::NotFound,
        (416, _) => ErrorKind::ShortObject,
        (_, "RequestTimeout") | (408 | 409 | 425 | 429, _) => ErrorKind::Unavailable,
        (300..=399, _) => {
            ErrorKind::Misbehaved { what: "go elsewhere; is the region or the endpoint wrong?" }
        }
        (501, _) => ErrorKind::Misbehaved { what: "it has no such call" },
        (500.., _) => ErrorKind::Unavailable,
        _ => ErrorKind::Misbehaved { what: "a request that was in order is refused" },
    }
}

fn speaks_of_certificates(error: &reqwest::Error) -> bool {
    let mut at: Option<&dyn StdError> = Some(error);
    while let Some(error) = at {
        if error.to_string().contains("certificate") {
            return true;
        }
        at = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_a_caller_can_do() {
        for (status, code, kind) in [
            (404, "NoSuchKey", ErrorKind::NotFound),
            (403, "AccessDenied", ErrorKind::Denied),
            (400, "ExpiredToken", ErrorKind::Denied),
            (400, "RequestTimeout", ErrorKind::Unavailable),
            (416, "InvalidRange", ErrorKind::ShortObject),
            (503, "SlowDown", ErrorKind::Unavailable),
            (500, "", ErrorKind::Unavailable),
            (429, "", ErrorKind::Unavailable),
            (507, "", ErrorKind::Full),
            (403, "QuotaExceeded", ErrorKind::Full),
        ] {
            assert_eq!(kind_of_answer(status, code), kind, "{status} {code}");
        }
        for status in [301, 307, 400, 405, 501] {
            assert!(matches!(kind_of_answer(status, ""), ErrorKind::Misbehaved { .. }), "{status}");
        }
    }
}

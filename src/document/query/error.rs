//! Why a query can't be asked.

use crate::document::Malformed;

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the operator `{operator}` is not supported")]
    Unsupported { operator: String },
    #[error("`{operator}` wants {wanted}")]
    Operand { operator: String, wanted: &'static str },
    #[error("the pattern `{pattern}` has what is not supported: {what}")]
    Pattern { pattern: String, what: &'static str },
    #[error("the pattern `{pattern}` can't be understood")]
    Regex { pattern: String, source: Box<regex::Error> },
    #[error("the query is no document")]
    Malformed(#[from] Malformed),
}

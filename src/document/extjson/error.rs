//! Why a text is no Extended JSON.

use crate::limits::DOCUMENT_DEPTH_MAX;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("at character {at}: wanted {wanted}")]
    Syntax {
        /// From 1.
        at: usize,
        wanted: &'static str,
    },
    #[error("it is nested more than {DOCUMENT_DEPTH_MAX} deep")]
    TooDeep,
    #[error("wanted a document: `{{...}}`")]
    NotADocument,
    #[error("`{wrapper}` wants {wanted}")]
    Wrapper { wrapper: String, wanted: &'static str },
    #[error("the number {text} is too large")]
    Number { text: String },
    #[error("a field's name, a pattern or its options hold a zero character")]
    Zero,
}

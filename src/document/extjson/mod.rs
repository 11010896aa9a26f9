//! MongoDB Extended JSON v2: raw documents to text, and text to raw documents.
//!
//! What the text can't say: bytes that are no UTF-8 (shown as U+FFFD, and told by `Fidelity`), and
//! a document that looks like one of the format's own wrappers, such as `{"$oid": "..."}`, which
//! reads back as what it looks like. `dump --format bson` says everything.

mod base64;
mod date;
mod error;
mod json;
mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use error::ParseError;
pub use parse::{moment_value, parse, parse_value};
pub use write::{Fidelity, Flavour, Layout, to_text, value_to_text, write};

/// The 16 bytes of `00112233-4455-6677-8899-aabbccddeeff`.
pub fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    let is_uuid = parts.len() == 5 && parts.iter().zip(lengths).all(|(p, len)| p.len() == len);
    let mut bytes = [0; 16];
    (is_uuid && hex::decode_to_slice(parts.concat(), &mut bytes).is_ok()).then_some(bytes)
}

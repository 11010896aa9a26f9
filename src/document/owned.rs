//! A value on its own, out of any document.

use super::{Element, kind};

/// What an `Element` borrows, without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedValue {
    /// One of [`kind`].
    pub kind: u8,
    /// As it lies in a document.
    pub bytes: Vec<u8>,
}

impl OwnedValue {
    pub fn string(text: &str) -> Self {
        let length = (text.len() as u32 + 1).to_le_bytes();
        OwnedValue { kind: kind::STRING, bytes: [&length[..], text.as_bytes(), &[0]].concat() }
    }

    pub fn element(&self) -> Element<'_> {
        Element { kind: self.kind, name: b"", value: &self.bytes }
    }
}

impl From<Element<'_>> for OwnedValue {
    fn from(element: Element<'_>) -> Self {
        OwnedValue { kind: element.kind, bytes: element.value.to_vec() }
    }
}

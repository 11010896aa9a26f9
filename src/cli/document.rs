//! A document as a person or a program wants to see it.

use icecore::{
    document::{
        extjson::{self, Fidelity, Flavour, Layout},
        query::Query,
    },
    verbs::{Error, deployment::catalogue_root},
};
use icecore::{
    repo::{self, Kept},
    tree::Root,
};

use super::{
    failure::Failure,
    screen::{self, Screen},
};

/// In which form documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Extended JSON for people, indented
    Relaxed,
    /// Extended JSON that tells every type, indented
    Canonical,
    /// Relaxed Extended JSON, a document a line
    Jsonl,
    /// The bytes as the server gave them
    Bson,
}

/// Writes documents, and remembers whether any could not be shown as it is.
pub struct Documents {
    format: Format,
    lossy: u64,
}

impl Documents {
    pub fn new(format: Format) -> Self {
        Documents { format, lossy: 0 }
    }

    pub fn show(&mut self, doc: &[u8], screen: &mut Screen) -> Result<(), Failure> {
        let (flavour, layout) = match self.format {
            Format::Bson => return screen.bytes(doc),
            Format::Relaxed => (Flavour::Relaxed, Layout::Indented),
            Format::Canonical => (Flavour::Canonical, Layout::Indented),
            Format::Jsonl => (Flavour::Relaxed, Layout::Line),
        };
        let mut text = String::new();
        let fidelity = extjson::write(&mut text, doc, flavour, layout)?;
        self.lossy += u64::from(fidelity == Fidelity::Lossy);
        screen.line(&text)
    }

    /// Says what the text could not.
    pub fn finish(self) {
        if self.lossy > 0 {
            screen::warn(&format!(
                "warning: text that is no UTF-8 in {} is shown with U+FFFD; `--format bson` has it",
                super::units::counted(self.lossy, "document", "documents")
            ));
        }
    }
}

/// The catalogue of a snapshot's collections.
pub fn catalogue(kept: &Kept) -> Result<Root, Failure> {
    let none = Error::<repo::Error>::NoCollections;
    catalogue_root(&kept.snapshot).ok_or_else(|| none.into())
}

/// A query as it is typed.
pub fn query(text: &str) -> Result<Query, Failure> {
    let document = extjson::parse(text)
        .map_err(|error| Failure::Usage(format!("the query can't be read: {error}")))?;
    Query::parse(&document).map_err(Failure::usage)
}

/// `["_id"]` as JSON: the value itself in relaxed Extended JSON.
pub fn id_json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

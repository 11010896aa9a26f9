//! A document as a person or a program wants to see it.

use std::collections::BTreeMap;

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

use serde::de::IgnoredAny;
use serde_json::Value;

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

/// An `_id` as JSON text: what it is shown as is relaxed Extended JSON, or else a string.
pub fn id_json(text: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => text.to_owned(),
        Err(_) => Value::from(text).to_string(),
    }
}

/// A JSON object with more members, of which the text is there. A `Value` knows no order of fields
/// and no two of one name, and documents have both.
pub fn object_text(object: &Value, more: Vec<(&'static str, String)>) -> String {
    let plain = object.as_object().into_iter().flatten();
    let plain = plain.map(|(name, value)| (name.as_str(), value.to_string()));
    let members: BTreeMap<&str, String> = plain.chain(more).collect();
    let member = |(name, text): (&str, String)| format!("{}:{text}", Value::from(name));
    let members: Vec<String> = members.into_iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// The same of a list.
pub fn list_text(members: &[String]) -> String {
    format!("[{}]", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_all_of_one_name() {
        let id = id_json(r#"{"b":1,"a":2,"b":3}"#);
        let list = list_text(&[id.clone(), id_json("no json"), id_json("1.0")]);
        let text = object_text(&serde_json::json!({ "z": null, "c": 1 }), vec![("list", list)]);
        assert_eq!(text, r#"{"c":1,"list":[{"b":1,"a":2,"b":3},"no json",1.0],"z":null}"#);
    }
}

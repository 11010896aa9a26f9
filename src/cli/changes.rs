//! What changed in collections and documents, as lines for people and for programs.

use icecore::{
    document::{
        OwnedValue,
        extjson::{Flavour, value_to_text},
        fields::{self, FieldChange, FieldFate},
    },
    repo::Reader,
    verbs::deployment::{
        self, Collection,
        diff::{Change, DocumentChange, Facet},
    },
};
use serde_json::json;

use super::{
    document::{id_json, list_text, object_text},
    failure::Failure,
    screen::{Screen, printable},
    units,
};

/// Changes, counted.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Counts {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
}

impl Counts {
    fn count(&mut self, letter: char) {
        match letter {
            '+' => self.added += 1,
            '-' => self.removed += 1,
            _ => self.changed += 1,
        }
    }

    fn text(&self) -> String {
        let [added, removed, changed] = [self.added, self.removed, self.changed].map(units::count);
        format!("{added} new, {removed} removed, {changed} changed")
    }
}

/// Shows changes one by one.
pub struct Changes<'a> {
    reader: &'a Reader,
    /// Down to the fields of documents.
    with_fields: bool,
    pub collections: Counts,
    pub documents: Counts,
}

impl<'a> Changes<'a> {
    pub fn new(reader: &'a Reader, with_fields: bool) -> Self {
        let (collections, documents) = Default::default();
        Changes { reader, with_fields, collections, documents }
    }

    pub fn show(&mut self, change: &Change, screen: &mut Screen) -> Result<(), Failure> {
        match change {
            Change::Collection { old, new, facets } => {
                let letter = letter(old.is_some(), new.is_some());
                self.collections.count(letter);
                let one = new.as_deref().or(old.as_deref()).expect("a change has a side");
                show_collection(letter, one, facets, screen)
            }
            Change::Document(change) => self.show_document(change, screen),
        }
    }

    fn show_document(
        &mut self,
        change: &DocumentChange,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        let letter = letter(change.old.is_some(), change.new.is_some());
        self.documents.count(letter);
        let value = change.new.as_ref().or(change.old.as_ref()).expect("a change has a side");
        let id = deployment::id_text(&value.head, &change.key);
        let fields = match (&change.old, &change.new) {
            (Some(old), Some(new)) if self.with_fields => {
                let old = deployment::content(self.reader, old)?;
                fields::changes(&old, &deployment::content(self.reader, new)?)?
            }
            _ => Vec::new(),
        };
        let path = format!("{}/{id}", change.namespace);
        if screen.json {
            let document = json!({
                "message_type": "change",
                "path": path,
                "namespace": change.namespace.to_string(),
                "modifier": letter,
            });
            let mut more = vec![("_id", id_json(&id))];
            if self.with_fields {
                more.push(("fields", fields_json(&fields)?));
            }
            return screen.line(&object_text(&document, more));
        }
        screen.line(&format!("{letter}    {}", printable(path.as_bytes())))?;
        for field in &fields {
            screen.line(&format!("       {}", field_text(field)?))?;
        }
        Ok(())
    }

    /// Nothing, where no collections were compared.
    pub fn sum_up(&self, screen: &mut Screen) -> Result<(), Failure> {
        screen.chat(&format!("collections: {}", self.collections.text()))?;
        screen.chat(&format!("documents:   {}", self.documents.text()))
    }
}

fn letter(is_old: bool, is_new: bool) -> char {
    match (is_old, is_new) {
        (false, _) => '+',
        (true, false) => '-',
        (true, true) => 'M',
    }
}

fn show_collection(
    letter: char,
    one: &Collection,
    facets: &[Facet],
    screen: &mut Screen,
) -> Result<(), Failure> {
    let name = one.namespace.to_string();
    if screen.json {
        return screen.document(&json!({
            "message_type": "change",
            "path": name,
            "namespace": name,
            "modifier": letter,
            "type": one.kind_name(),
            "documents": one.record.count,
            "facets": facets.iter().map(facet_text).collect::<Vec<_>>(),
        }));
    }
    let what = match letter {
        'M' => facets.iter().map(facet_text).collect::<Vec<_>>().join(", "),
        _ => {
            let count = units::counted(one.record.count, "document", "documents");
            format!("{}, {count}", one.kind_name())
        }
    };
    screen.line(&format!(
        "{letter}    {} ({})",
        printable(name.as_bytes()),
        printable(what.as_bytes())
    ))
}

fn facet_text(facet: &Facet) -> String {
    match facet {
        Facet::Kind => "another kind of collection".into(),
        Facet::Uuid => "made anew".into(),
        Facet::Options => "options".into(),
        Facet::IndexAdded(name) => format!("index + {name}"),
        Facet::IndexRemoved(name) => format!("index - {name}"),
        Facet::IndexChanged(name) => format!("index M {name}"),
        Facet::IndexOrder => "order of indexes".into(),
    }
}

/// `n: 2 -> 3`.
pub fn field_text(change: &FieldChange) -> Result<String, Failure> {
    let path = change.path.as_ref().map(|path| printable(path.as_bytes()));
    let path = path.unwrap_or_else(|| "(top level)".to_owned());
    let text = |value: &OwnedValue| value_to_text(&value.element(), Flavour::Relaxed);
    Ok(match &change.what {
        FieldFate::Added(value) => format!("+ {path}: {}", text(value)?),
        FieldFate::Removed(value) => format!("- {path}: {}", text(value)?),
        FieldFate::Changed(old, new) => {
            let (mut was, mut is) = (text(old)?, text(new)?);
            if was == is {
                // Only the type of a number tells them apart.
                was = value_to_text(&old.element(), Flavour::Canonical)?;
                is = value_to_text(&new.element(), Flavour::Canonical)?;
            }
            format!("{path}: {was} -> {is}")
        }
        FieldFate::Reordered => format!("{path}: fields in another order"),
    })
}

/// A list as JSON text, with values in canonical Extended JSON.
pub fn fields_json(changes: &[FieldChange]) -> Result<String, Failure> {
    let value = |value: &OwnedValue| value_to_text(&value.element(), Flavour::Canonical);
    let field = |change: &FieldChange| -> Result<String, Failure> {
        let more = match &change.what {
            FieldFate::Added(new) => vec![("new", value(new)?)],
            FieldFate::Removed(old) => vec![("old", value(old)?)],
            FieldFate::Changed(old, new) => vec![("old", value(old)?), ("new", value(new)?)],
            FieldFate::Reordered => vec![("reordered", "true".to_owned())],
        };
        Ok(object_text(&json!({ "path": change.path }), more))
    };
    Ok(list_text(&changes.iter().map(field).collect::<Result<Vec<_>, _>>()?))
}

//! Which collections and documents what is damaged touches.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::{
    check::{NAMED_MAX, is_damage, needs_bad},
    deployment::{Collection, id_text},
    prune::Error,
};
use crate::{
    id::BlobId,
    repo::{self, Reader},
    tree::{self, KeyRange, Root},
};

/// What of a deployment is not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentDamage {
    /// As `db.collection/ID`: the first of them, in order.
    pub documents: Vec<String>,
    /// How many in all, without those in gaps.
    pub count: u64,
    pub gaps: Vec<DocumentGap>,
    /// After these collections something is missing from the catalogue itself.
    pub catalogue_gaps_after: Vec<String>,
}

/// Documents that are missing from a collection's tree: all between two that are there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DocumentGap {
    pub namespace: String,
    /// The `_id` before; none: from the first document on.
    pub after: Option<String>,
    /// The `_id` behind; none: up to the last.
    pub before: Option<String>,
}

impl DeploymentDamage {
    pub fn is_none(&self) -> bool {
        self.count == 0 && self.gaps.is_empty() && self.catalogue_gaps_after.is_empty()
    }

    fn add(&mut self, other: &DeploymentDamage) {
        let room = NAMED_MAX - self.documents.len().min(NAMED_MAX);
        self.documents.extend(other.documents.iter().take(room).cloned());
        self.count += other.count;
        self.gaps.extend(other.gaps.iter().cloned());
    }
}

/// Walks collections, each tree once however many snapshots have it.
pub(super) struct Collections<'a> {
    reader: &'a Reader,
    bad: &'a BTreeSet<BlobId>,
    known: HashMap<(String, BlobId), DeploymentDamage>,
}

impl<'a> Collections<'a> {
    pub fn new(reader: &'a Reader, bad: &'a BTreeSet<BlobId>) -> Self {
        Collections { reader, bad, known: HashMap::new() }
    }

    pub fn of_catalogue(&mut self, root: &Root) -> Result<DeploymentDamage, Error> {
        let mut found = DeploymentDamage::default();
        let mut last = "the first".to_owned();
        for entry in tree::iter(self.reader, root, KeyRange::all()).going_on() {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    is_damage(error)?;
                    found.catalogue_gaps_after.push(last.clone());
                    continue;
                }
            };
            last = String::from_utf8_lossy(&key).replacen('\0', ".", 1);
            match Collection::of::<repo::Error>(&key, &value) {
                // Its record says nothing that could be used.
                Err(_) => found.catalogue_gaps_after.push(last.clone()),
                Ok(Collection { root: None, .. }) => {}
                Ok(Collection { root: Some(root), .. }) => {
                    found.add(self.of_collection(&last, &root)?);
                }
            }
        }
        Ok(found)
    }

    fn of_collection(&mut self, namespace: &str, root: &Root) -> Result<&DeploymentDamage, Error> {
        let name = (namespace.to_owned(), root.id);
        if !self.known.contains_key(&name) {
            let damage = self.walk(namespace, root)?;
            self.known.insert(name.clone(), damage);
        }
        Ok(&self.known[&name])
    }

    fn walk(&self, namespace: &str, root: &Root) -> Result<DeploymentDamage, Error> {
        let mut found = DeploymentDamage::default();
        // The head and the key of the document before.
        let mut last: Option<(Bytes, Bytes)> = None;
        let mut is_in_gap = false;
        for entry in tree::iter(self.reader, root, KeyRange::all()).going_on() {
            match entry {
                Ok((key, value)) => {
                    if std::mem::take(&mut is_in_gap) {
                        let gap = found.gaps.last_mut().expect("it was pushed when it began");
                        gap.before = Some(id_text(&value.head, &key));
                    }
                    if needs_bad(self.reader, &value, self.bad) {
                        found.count += 1;
                        if found.documents.len() < NAMED_MAX {
                            let id = id_text(&value.head, &key);
                            found.documents.push(format!("{namespace}/{id}"));
                        }
                    }
                    last = Some((value.head, key));
                }
                Err(error) => {
                    is_damage(error)?;
                    if !is_in_gap {
                        let after = last.as_ref().map(|(head, key)| id_text(head, key));
                        let namespace = namespace.to_owned();
                        found.gaps.push(DocumentGap { namespace, after, before: None });
                    }
                    is_in_gap = true;
                }
            }
        }
        Ok(found)
    }
}

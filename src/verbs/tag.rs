//! Tag: other tags on snapshots, by new records of the same trees.

use super::reach::Trees;
use crate::{
    format::snapshot::Snapshot,
    id::Sid,
    repo::{Kept, Repository, collect},
};

/// What becomes of the tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Set(Vec<String>),
    Edit { add: Vec<String>, remove: Vec<String> },
}

impl Change {
    /// The tags afterwards: each once, those that were there first.
    fn apply(&self, old: &[String]) -> Vec<String> {
        let none = Vec::new();
        let (mut tags, add, remove) = match self {
            Change::Set(tags) => (Vec::new(), tags, &none),
            Change::Edit { add, remove } => (old.to_vec(), add, remove),
        };
        for tag in add {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags.retain(|tag| !remove.contains(tag));
        tags
    }
}

/// A snapshot that gets other tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub kept: Kept,
    pub tags: Vec<String>,
}

/// The snapshots whose tags differ afterwards.
pub fn plan(chosen: &[&Kept], change: &Change) -> Vec<Step> {
    let step = |kept: &&Kept| {
        let tags = change.apply(&kept.snapshot.tags);
        (tags != kept.snapshot.tags).then(|| Step { kept: (*kept).clone(), tags })
    };
    chosen.iter().filter_map(step).collect()
}

/// Commits the new record, then forgets the old: whenever this stops, one of them is there.
pub fn carry_out(repository: &Repository, step: &Step) -> Result<Sid, collect::Error> {
    let reader = repository.reader()?;
    let Step { kept: Kept { sid, snapshot, .. }, tags } = step;
    let changed = Snapshot { tags: tags.clone(), ..snapshot.clone() };
    collect::replace(repository, &Trees(&reader), *sid, &changed, "it has other tags now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_set_added_and_removed() {
        let list =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let edit = |add, remove| Change::Edit { add: list(add), remove: list(remove) };
        assert_eq!(edit("c a", "").apply(&list("a b")), list("a b c"));
        assert_eq!(edit("", "a x").apply(&list("a b")), list("b"));
        assert_eq!(edit("a", "a").apply(&list("a b")), list("b"), "what goes, goes");
        assert_eq!(Change::Set(list("z z")).apply(&list("a b")), list("z"));
        assert_eq!(Change::Set(Vec::new()).apply(&list("a b")), list(""));
    }
}

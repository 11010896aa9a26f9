//! What a restore would do, does and did, in numbers and with some examples.

use bytes::Bytes;
use siphasher::sip128::SipHasher13;

use crate::{document::namespace::Namespace, id::Sid};

/// So many examples are kept of each kind.
const SAMPLES_MAX: usize = 5;

/// The documents of the snapshot, by what is to become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub insert: u64,
    pub overwrite: u64,
    pub merge: u64,
    pub skip: u64,
    pub equal: u64,
    pub conflict: u64,
    /// They can't be read, as far as they were tried.
    pub damaged: u64,
    /// Of documents to be written.
    pub bytes: u64,
}

impl Counts {
    /// Documents of the server that will not be what they were.
    pub fn changing(&self) -> u64 {
        self.overwrite + self.merge
    }

    pub fn writing(&self) -> u64 {
        self.insert + self.changing()
    }

    /// All that were compared.
    pub fn documents(&self) -> u64 {
        self.writing() + self.skip + self.equal + self.conflict
    }

    pub(super) fn add(&mut self, other: &Counts) {
        let Counts { insert, overwrite, merge, skip, equal, conflict, damaged, bytes } = other;
        self.insert += insert;
        self.overwrite += overwrite;
        self.merge += merge;
        self.skip += skip;
        self.equal += equal;
        self.conflict += conflict;
        self.damaged += damaged;
        self.bytes += bytes;
    }
}

/// One document, and what is to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// `overwrite`, `merge`, `skip`, `conflict`.
    pub what: &'static str,
    /// A document that holds its `_id` alone.
    pub id: Bytes,
    /// Of a conflict.
    pub why: Option<String>,
}

/// Adds an example, if there are not enough of its kind.
pub(super) fn sample(samples: &mut Vec<Sample>, sample: Sample) {
    if samples.iter().filter(|other| other.what == sample.what).count() < SAMPLES_MAX {
        samples.push(sample);
    }
}

/// What becomes of a collection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not there.
    Create,
    /// It is there, and makes room.
    Replace,
    /// It is there, and stays.
    Keep,
    /// What is there can't take it, or the server can't have it; the notes say which.
    Blocked,
}

/// What a restore would do to one collection or view.
#[derive(Debug, Clone)]
pub struct CollectionPlan {
    /// In the snapshot.
    pub from: Namespace,
    /// On the server.
    pub to: Namespace,
    /// `collection`, `view`, `timeseries`.
    pub kind: &'static str,
    pub fate: Fate,
    pub counts: Counts,
    pub samples: Vec<Sample>,
    /// Names of indexes to be built.
    pub indexes: Vec<String>,
    /// Of the snapshot's indexes those that a collection is made without, as it gets only some of
    /// the documents.
    pub indexes_left_out: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What a restore would do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub collections: Vec<CollectionPlan>,
    /// Of the snapshot's users and roles, how many will come, or take the place of others.
    pub users: u64,
    pub roles: u64,
    /// Parts of the list of collections, users and roles that can't be read.
    pub others_damaged: u64,
    /// What a person should know of those, and of what was asked for in vain.
    pub notes: Vec<String>,
}

impl Plan {
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.collections.iter().for_each(|collection| totals.add(&collection.counts));
        totals
    }

    /// All that the repository could not give, as far as it was asked.
    pub fn damaged(&self) -> u64 {
        self.totals().damaged + self.others_damaged
    }

    /// Whether something that is on the server will not be afterwards, or not be what it was.
    pub fn takes_something_away(&self) -> bool {
        self.totals().changing() > 0
            || self.users + self.roles > 0
            || self.collections.iter().any(|collection| collection.fate == Fate::Replace)
    }

    /// Whether anything is to be written at all.
    pub fn writes(&self) -> bool {
        let some = |collection: &CollectionPlan| {
            matches!(collection.fate, Fate::Create | Fate::Replace)
                || collection.counts.writing() > 0
                || !collection.indexes.is_empty()
        };
        self.users + self.roles > 0 || self.collections.iter().any(some)
    }
}

/// How many documents, and a hash of them all that does not hang on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    pub documents: u64,
    pub bytes: u64,
    /// The sum of the documents' SipHash-1-3 hashes of 128 bits, of the key 0. It tells faults
    /// from what is right, not what somebody made to look alike; BLAKE3 takes four times as long
    /// for documents, which are short.
    sum: u128,
}

impl Digest {
    pub(super) fn add(&mut self, document: &[u8]) {
        self.documents += 1;
        self.bytes += document.len() as u64;
        let hash = SipHasher13::new().hash(document);
        self.sum = self.sum.wrapping_add(hash.as_u128());
    }

    /// In hexadecimal.
    pub fn hash(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// What was found when the collection was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It was made by this restore: both sides whole.
    Whole { snapshot: Digest, live: Digest },
    /// It was there: so many documents of the snapshot stand as they should, and so many do not.
    Beside { right: u64, wrong: u64 },
    /// A view, or something that was not touched.
    Nothing,
}

impl Check {
    pub fn is_right(&self) -> bool {
        match self {
            Check::Whole { snapshot, live } => snapshot == live,
            Check::Beside { wrong, .. } => *wrong == 0,
            Check::Nothing => true,
        }
    }
}

/// What a restore did to one collection or view.
#[derive(Debug, Clone)]
pub struct CollectionOutcome {
    pub from: Namespace,
    pub to: Namespace,
    pub kind: &'static str,
    pub fate: Fate,
    pub inserted: u64,
    pub overwritten: u64,
    pub merged: u64,
    pub skipped: u64,
    pub equal: u64,
    /// As planned, and what came in between.
    pub conflicts: u64,
    /// Documents of the snapshot that can't be read.
    pub damaged: u64,
    pub bytes: u64,
    pub conflict_samples: Vec<Sample>,
    pub indexes: Vec<String>,
    /// Indexes, options and such that could not be had.
    pub troubles: Vec<String>,
    pub check: Check,
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub collections: Vec<CollectionOutcome>,
    pub users: u64,
    pub roles: u64,
    /// Parts of the list of collections, users and roles that can't be read.
    pub others_damaged: u64,
    /// Why some users stay as they are there.
    pub unmerged: Vec<String>,
    /// The snapshot that brings back what was there.
    pub undo: Option<Sid>,
    /// Nobody knows whether a majority of the set has it all.
    pub unconfirmed: Option<String>,
}

impl Outcome {
    pub fn conflicts(&self) -> u64 {
        self.collections.iter().map(|collection| collection.conflicts).sum()
    }

    /// Whether there is anything to be taken back.
    pub fn wrote(&self) -> bool {
        let some = |one: &CollectionOutcome| {
            matches!(one.fate, Fate::Create | Fate::Replace)
                || one.inserted + one.overwritten + one.merged > 0
                || !one.indexes.is_empty()
        };
        self.users + self.roles > 0 || self.collections.iter().any(some)
    }

    /// All that the repository could not give.
    pub fn damaged(&self) -> u64 {
        let documents = self.collections.iter().map(|collection| collection.damaged).sum::<u64>();
        documents + self.others_damaged
    }

    pub fn troubles(&self) -> u64 {
        let troubles: usize = self.collections.iter().map(|one| one.troubles.len()).sum();
        (troubles + self.unmerged.len()) as u64 + u64::from(self.unconfirmed.is_some())
    }

    /// Whether everything that was read again is as it should be.
    pub fn is_right(&self) -> bool {
        self.collections.iter().all(|collection| collection.check.is_right())
    }
}

//! What mongodump wrote, into the tree of a catalogue, as if it were a deployment.

use std::{cmp::Reverse, path::PathBuf};

use super::{
    Captured, Error, Ground, PlannedCollection,
    catalogue::{Catalogue, Previous, document_keys},
    scan::{Documents, Subject, plant},
    sum,
};
use crate::{
    document::namespace::Namespace,
    format::snapshot::{Consistency, Mongodb},
    progress::{Progress, Trouble},
    repo::{self, WriteBlobs},
    source::dump::{Dump, DumpBatch, Dumped},
    tree::{Compared, Root},
};

/// A dump, and what of it is wanted.
pub struct DumpSource {
    pub dump: Dump,
    /// As it is shown: absolute.
    pub path: String,
    /// Where documents are sorted that do not fit in memory.
    pub spill_dir: PathBuf,
    pub wanted: Box<dyn Fn(&Namespace) -> bool>,
}

impl DumpSource {
    /// What stands for the deployment among a snapshot's paths.
    pub fn shown(&self) -> String {
        format!("mongodump:{}", self.path)
    }
}

impl Documents for DumpBatch {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.documents()
    }

    fn count(&self) -> u64 {
        self.len()
    }

    fn bytes(&self) -> u64 {
        DumpBatch::bytes(self)
    }
}

/// The wanted collections with documents, the largest first. Reads them all: what is damaged is an
/// error, as it would be when the dump is taken in.
pub fn plan_dump(
    source: &DumpSource,
    progress: &Progress,
) -> Result<Vec<PlannedCollection>, Error<repo::Error>> {
    progress.phase("plan");
    tell_of_oplog(source, progress);
    let wanted = wanted(source);
    if wanted.is_empty() {
        return Err(Error::NoCollections);
    }
    progress.expect(0, wanted.iter().map(|dumped| dumped.bytes).sum());
    let mut planned = Vec::new();
    for dumped in wanted.iter().filter(|dumped| dumped.collection.has_documents()) {
        let namespace = dumped.collection.namespace.clone();
        let mut one = PlannedCollection { namespace, documents: 0, bytes: 0 };
        for batch in source.dump.scan(dumped)? {
            let batch = batch?;
            one.documents += batch.len();
            one.bytes += DumpBatch::bytes(&batch);
            progress.done(batch.len(), DumpBatch::bytes(&batch));
        }
        planned.push(one);
    }
    planned.sort_by_key(|one| Reverse((one.bytes, one.documents)));
    Ok(planned)
}

fn wanted(source: &DumpSource) -> Vec<&Dumped> {
    let dumped = source.dump.collections().iter();
    dumped.filter(|dumped| (source.wanted)(&dumped.collection.namespace)).collect()
}

fn tell_of_oplog(source: &DumpSource, progress: &Progress) {
    if source.dump.has_oplog {
        let error = "its oplog is not taken in: collections stand as they were dumped".to_owned();
        progress.trouble(Trouble { item: source.path.clone(), during: "read", error });
    }
}

/// Takes the dump in beside `old`, the previous catalogue, collection by collection.
pub(in crate::verbs::backup) fn take_in<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    source: &DumpSource,
    old: Option<Root>,
) -> Result<Captured, Error<W::Error>> {
    ground.progress.phase("documents");
    tell_of_oplog(source, ground.progress);
    let wanted = wanted(source);
    if wanted.is_empty() {
        return Err(Error::NoCollections);
    }
    ground.progress.expect(0, wanted.iter().map(|dumped| dumped.bytes).sum());
    let previous = Previous::read(ground.writer, old)?;
    let catalogue: Vec<_> = wanted.iter().map(|dumped| dumped.collection.clone()).collect();
    let gone = previous.documents_gone(&catalogue);
    let mut documents = Compared { deleted: gone, ..Compared::default() };
    let (mut written, mut bytes) = (Catalogue::new(ground, old), 0);
    for dumped in &wanted {
        let collection = &dumped.collection;
        if !collection.has_documents() {
            written.put(collection, None)?;
            continue;
        }
        let namespace = collection.namespace.to_string();
        let subject = Subject {
            namespace: &namespace,
            keys: document_keys(collection.keys),
            old: previous.tree_of(collection),
        };
        let planted = plant(ground, subject, source.dump.scan(dumped)?)?;
        written.put(collection, Some(&planted))?;
        documents = sum(documents, planted.compared);
        bytes += planted.bytes;
    }
    let deployment = Mongodb {
        uri: source.shown(),
        version: source.dump.server_version.clone().unwrap_or_else(|| "unknown".to_owned()),
        set_name: None,
        member: String::new(),
        consistency: Consistency::None,
        cluster_time: None,
        term: None,
        rollback_id: None,
    };
    let (root, collections) = (written.finish()?, catalogue.len() as u64);
    Ok(Captured { root, deployment, documents, collections, bytes })
}

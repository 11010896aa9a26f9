//! A MongoDB deployment into the tree of its catalogue: every collection scanned, ordered and built
//! beside its tree in the previous snapshot.

mod catalogue;
mod change;
mod dump;
mod ground;
mod lanes;
mod order;
mod pair;
mod plan;
mod plant;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::Error;
use crate::{
    document::Element,
    format::snapshot::{Mongodb, Summary},
    limits,
    mongo::Link,
    repo::WriteBlobs,
    source::{
        self,
        mongo::{Capture, Options, Point, Settled},
    },
    tree::{Compared, Root},
};
use catalogue::{Catalogue, Previous, identity};
use change::{Changed, change};
use plant::Planted;

pub use dump::{DumpSource, plan_dump};
pub use plan::{PlannedCollection, plan_mongodb};

pub(super) use dump::take_in;
pub(super) use ground::Ground;

/// What to capture of a deployment that answers.
pub struct Deployment {
    pub link: Link,
    pub options: Options,
}

/// What became of it.
pub(super) struct Captured {
    /// Of the catalogue.
    pub root: Root,
    pub deployment: Mongodb,
    documents: Compared,
    collections: u64,
    bytes: u64,
}

impl Captured {
    pub fn count_into(&self, summary: &mut Summary) {
        let Compared { new, changed, deleted, unmodified } = self.documents;
        summary.docs_new += new;
        summary.docs_changed += changed;
        summary.docs_deleted += deleted;
        summary.docs_unmodified += unmodified;
        summary.collections += self.collections;
        summary.total_bytes_processed += self.bytes;
    }
}

/// Captures the deployment beside `old`, the previous catalogue. Collections that are created,
/// dropped or renamed meanwhile may make it begin again, a bounded number of times; what was
/// stored by then is found again.
pub(super) fn capture<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    deployment: &Deployment,
    old: Option<Root>,
) -> Result<Captured, Error<W::Error>> {
    let previous = Previous::read(ground.writer, old)?;
    let mut tries = 0;
    loop {
        tries += 1;
        match capture_once(ground, deployment, old, &previous) {
            Err(Error::Mongodb(error))
                if error.is_start_again() && tries < limits::CAPTURE_TRIES => {}
            other => return other,
        }
    }
}

fn capture_once<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    deployment: &Deployment,
    old: Option<Root>,
    previous: &Previous,
) -> Result<Captured, Error<W::Error>> {
    let Deployment { link, options } = deployment;
    ground.progress.phase("documents");
    let mut capture = Capture::begin(link, options.clone(), ground.progress)?;
    let collections: Vec<_> = capture.collections().collect();
    let mut scanned = lanes::scan_all(ground, &capture, &collections, previous)?;
    let settled = settle(ground, &mut capture, &mut scanned, previous)?;
    let Settled { point, catalogue, mut changes } = settled;
    if catalogue.is_empty() {
        return Err(Error::NoCollections);
    }
    let mut written = Catalogue::new(ground, old);
    let mut documents =
        Compared { deleted: previous.documents_gone(&catalogue), ..Compared::default() };
    let mut bytes = 0;
    for collection in &catalogue {
        if !collection.has_documents() {
            written.put(collection, None)?;
            continue;
        }
        let namespace = collection.namespace.to_string();
        let planted = scanned.remove(&identity(collection.uuid, &collection.namespace));
        let tree = previous.tree_of(collection);
        let ask = |id: &Element<'_>| {
            let at = point.cluster_time.expect("where there are changes, there is a moment");
            capture.document_at(collection, id, at)
        };
        let subject = Changed { namespace: &namespace, old: tree, ask: &ask };
        let planted = match &collection.uuid {
            Some(uuid) => change(ground, subject, planted, changes.of(uuid))?,
            None => change(ground, subject, planted, std::iter::empty())?,
        };
        written.put(collection, Some(&planted))?;
        documents = sum(documents, planted.compared);
        bytes += planted.bytes;
    }
    let root = written.finish()?;
    let collections = catalogue.len() as u64;
    let deployment = record(link, point);
    Ok(Captured { root, deployment, documents, collections, bytes })
}

/// Fixes the moment; what must be scanned again for that is.
fn settle<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    capture: &mut Capture,
    scanned: &mut HashMap<Vec<u8>, Planted>,
    previous: &Previous,
) -> Result<Settled, Error<W::Error>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match capture.settle(ground.progress) {
            Err(source::mongo::Error::ScanAgain { collections })
                if tries < limits::CAPTURE_TRIES =>
            {
                let again: Vec<_> = collections.iter().collect();
                scanned.extend(lanes::scan_all(ground, capture, &again, previous)?);
            }
            settled => return Ok(settled?),
        }
    }
}

fn record(link: &Link, point: Point) -> Mongodb {
    let facts = link.facts();
    let Point { consistency, cluster_time, term, rollback_id } = point;
    Mongodb {
        uri: facts.uri.clone(),
        version: facts.version_text(),
        set_name: facts.set_name.clone(),
        member: facts.member.clone(),
        consistency,
        cluster_time,
        term,
        rollback_id,
    }
}

fn sum(a: Compared, b: Compared) -> Compared {
    Compared {
        new: a.new + b.new,
        changed: a.changed + b.changed,
        deleted: a.deleted + b.deleted,
        unmodified: a.unmodified + b.unmodified,
    }
}

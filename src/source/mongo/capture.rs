//! A capture from its beginning, where the moment is chosen, to its end, where it is made exact.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bson::rawdoc;

use super::{Changes, Collection, Error, Namespace, Point, Scan, Settled, Uuid, listing};
use crate::{
    ambient::Ambient,
    format::snapshot::{ClusterTime, Consistency},
    limits,
    mongo::{Link, operation_time},
    progress::Progress,
};

/// How the collections are to belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// One moment, by whichever way fits; no moment only for a standalone.
    #[default]
    Auto,
    /// Only by reads as of one moment.
    Snapshot,
    /// Only by a scan that the oplog makes exact.
    Oplog,
    /// Each document as it is when it is read.
    Plain,
}

/// Whether a collection is wanted.
pub type Wish = Arc<dyn Fn(&Namespace) -> bool + Send + Sync>;

/// What to capture.
#[derive(Clone)]
pub struct Options {
    /// Only this database.
    pub db: Option<String>,
    pub wanted: Wish,
    /// `admin.system.users` and `admin.system.roles` too.
    pub users_and_roles: bool,
    pub consistency: Wanted,
    /// What the oplog has of each document is sorted in so much memory, and beyond that in here.
    pub memory_bytes: usize,
    pub spill_dir: PathBuf,
    pub ambient: Ambient,
}

impl Options {
    /// All of a deployment, at one moment if there is such a thing.
    pub fn all(ambient: Ambient, memory_bytes: usize, spill_dir: PathBuf) -> Options {
        Options {
            db: None,
            wanted: Arc::new(|_| true),
            users_and_roles: false,
            consistency: Wanted::Auto,
            memory_bytes,
            spill_dir,
            ambient,
        }
    }
}

/// How documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As they are.
    Plain,
    /// As of this moment.
    Snapshot { at: ClusterTime },
}

/// What a capture and its scans know together.
pub(super) struct Shared {
    pub link: Link,
    mode: Mutex<Mode>,
    vanished: Mutex<BTreeSet<Uuid>>,
}

impl Shared {
    pub fn mode(&self) -> Mode {
        *self.mode.lock().expect("no code panics while it holds this")
    }

    /// A collection was dropped under its scan.
    pub fn vanished(&self, uuid: Uuid) {
        self.vanished.lock().expect("no code panics while it holds this").insert(uuid);
    }

    pub fn has_vanished(&self, uuid: &Uuid) -> bool {
        self.vanished.lock().expect("no code panics while it holds this").contains(uuid)
    }
}

/// A deployment that is being read. Scan all of [`Capture::collections`], in any order and at the
/// same time if wanted, then [`Capture::settle`].
pub struct Capture {
    shared: Arc<Shared>,
    catalogue: Vec<Collection>,
}

impl Capture {
    /// Chooses the moment, or the beginning of the stretch that leads to it, and reads the
    /// catalogue.
    pub fn begin(link: &Link, options: Options, progress: &Progress) -> Result<Capture, Error> {
        progress.at(|| format!("the catalogue of {}", link.facts().member));
        let facts = link.facts();
        if facts.is_mongos {
            return Err(Error::Sharded { uri: facts.uri.clone() });
        }
        let plain = options.consistency == Wanted::Plain
            || (options.consistency == Wanted::Auto && !facts.is_replica_set());
        let (mode, catalogue) = if plain {
            (Mode::Plain, listing::read(link, &options)?)
        } else if facts.is_replica_set() {
            let (at, catalogue) = steady_catalogue(link, &options)?;
            (Mode::Snapshot { at }, catalogue)
        } else {
            let asked = match options.consistency {
                Wanted::Oplog => "oplog",
                _ => "history",
            };
            return Err(Error::Standalone { member: facts.member.clone(), asked });
        };
        let shared = Arc::new(Shared {
            link: link.clone(),
            mode: Mutex::new(mode),
            vanished: Mutex::default(),
        });
        Ok(Capture { shared, catalogue })
    }

    /// The collections that have documents to be scanned.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.catalogue.iter().filter(|collection| collection.has_documents())
    }

    /// How many documents and bytes a collection has, about; 0 if the server won't say.
    pub fn size_of(&self, collection: &Collection) -> (u64, u64) {
        listing::size(&self.shared.link, collection).unwrap_or((0, 0))
    }

    /// All documents of `collection`. Unless the whole is read as of one moment, a document may
    /// come twice: the later one counts.
    pub fn scan(&self, collection: &Collection) -> Scan {
        Scan::new(Arc::clone(&self.shared), collection)
    }

    /// After all scans: fixes the moment and says what has to be changed to get there. After
    /// [`Error::ScanAgain`] it may be called again, once that was done.
    pub fn settle(&mut self, progress: &Progress) -> Result<Settled, Error> {
        progress.at(|| format!("the end of the capture of {}", self.shared.link.facts().member));
        let (shared, mut catalogue) = (&self.shared, self.catalogue.clone());
        let (consistency, cluster_time) = match shared.mode() {
            Mode::Plain => (Consistency::None, None),
            Mode::Snapshot { at } => (Consistency::Snapshot, Some(at)),
        };
        catalogue
            .retain(|collection| !collection.uuid.is_some_and(|uuid| shared.has_vanished(&uuid)));
        let rollback_id = shared.link.facts().set_name.as_ref().and(rollback_id(&shared.link));
        let point = Point { consistency, cluster_time, term: None, rollback_id };
        Ok(Settled { point, catalogue, changes: Changes::none() })
    }
}

/// A moment, and the catalogue that was the same before and after it.
fn steady_catalogue(
    link: &Link,
    options: &Options,
) -> Result<(ClusterTime, Vec<Collection>), Error> {
    let mut before = listing::read(link, options)?;
    for round in 0..limits::CATALOGUE_TRIES {
        let at = now(link)?;
        let after = listing::read(link, options)?;
        if before == after {
            return Ok((at, after));
        }
        before = after;
        link.sleep(Duration::from_millis(50 << round));
    }
    let member = link.facts().member.clone();
    Err(Error::Restless { member, tries: limits::CATALOGUE_TRIES })
}

/// How far the member is.
fn now(link: &Link) -> Result<ClusterTime, Error> {
    let reply = link.run("admin", rawdoc! { "ping": 1 }.as_bytes())?;
    operation_time(&reply).ok_or_else(|| Error::Malformed {
        what: "the time",
        namespace: link.facts().member.clone(),
        why: "its replies have no operationTime".to_owned(),
    })
}

/// Not everybody may ask.
fn rollback_id(link: &Link) -> Option<i32> {
    let reply = link.run("admin", rawdoc! { "replSetGetRBID": 1 }.as_bytes()).ok()?;
    bson::RawDocument::from_bytes(&reply).ok()?.get_i32("rbid").ok()
}

//! Users and roles of a snapshot: which would be merged in, and what stands in their place.

use bytes::Bytes;

use super::{
    Error, Options,
    documents::{Documents, Told},
    live,
    losses::Losses,
    pairs::Ground,
    record::{Before, Recorded, RecordedCollection, Recorder, UndoRecord},
    strategy::{Conflict, Strategy},
    touched::{Action, Touched},
    weigh::Step,
};
use crate::{
    document::{Writer, get, namespace::Namespace},
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    limits::RESTORE_LOOKUP_DOCUMENTS,
    mongo::Link,
    progress::Progress,
    repo::Reader,
    sink::mongo::{self as sink, Authority},
    tree::{KeyRange, Root},
    verbs::deployment::{self, Collection},
};

/// Where a server keeps them. Users come first: a role that goes is taken from all who have it.
const PLACES: [&str; 2] = ["system.users", "system.roles"];

fn is_authority(namespace: &Namespace) -> bool {
    namespace.db == "admin" && PLACES.contains(&namespace.collection.as_str())
}

/// Whether documents of a collection are written by no other commands than those for roles.
pub(super) fn are_roles(namespace: &Namespace) -> bool {
    is_authority(namespace) && namespace.collection == PLACES[1]
}

/// When its undoing comes: after that of all collections, users first.
pub(super) fn turn(namespace: &Namespace) -> usize {
    match PLACES.iter().position(|name| *name == namespace.collection) {
        Some(at) if is_authority(namespace) => 1 + at,
        _ => 0,
    }
}

/// What is to be merged in, and the record of what that will change.
#[derive(Default)]
pub(super) struct Merged {
    pub all: Authority,
    pub recorded: Vec<(Namespace, Recorded)>,
    /// What has the same name and differs is replaced.
    pub replaces: bool,
    /// How many users and roles will not be what they were, or that there are; all, where that
    /// can't be told.
    pub changing: [u64; 2],
    /// Of the snapshot's that can't be read.
    pub damaged: u64,
    /// What a person should know before.
    pub notes: Vec<String>,
}

impl Merged {
    /// Where some of it is written to.
    pub fn place(&self) -> Option<Namespace> {
        let [users, roles] = PLACES.map(|name| Namespace::new("admin", name));
        match (self.all.users.is_empty(), self.all.roles.is_empty()) {
            (false, _) => Some(users),
            (true, false) => Some(roles),
            (true, true) => None,
        }
    }

    /// The snapshot's. An error, if it has none. Whoever restores is not replaced: the server
    /// would not listen to them any more.
    pub fn of(
        (reader, root): (&Reader, &Root),
        options: &Options,
        link: &Link,
        (list, progress): (&Losses, &Progress),
    ) -> Result<Merged, Error> {
        let replaces = options.strategy.conflict == Conflict::Overwrite;
        let mut merged = Merged { replaces, ..Merged::default() };
        let mut is_there = false;
        for found in deployment::collections(reader, root, Some("admin")) {
            let Some(found) = list.pass(found, progress)? else { continue };
            let Collection { namespace, root, .. } = found;
            if !is_authority(&namespace) {
                continue;
            }
            is_there = true;
            let losses = Losses::default();
            let told = Told { namespace: &namespace, losses: &losses, progress };
            if let Some(root) = root {
                for entry in Documents::new((reader, &root), KeyRange::all(), None, told) {
                    merged.list(&namespace).push(entry?.1);
                }
            }
            merged.damaged += losses.count();
        }
        if !is_there && list.count() > 0 {
            return Err(Error::ListDamaged);
        }
        if !is_there {
            return Err(Error::NoAuthority);
        }
        if let Some(own) = link.user().filter(|_| replaces) {
            let is_own = |user: &Bytes| {
                let says = |name: &[u8], text: &str| {
                    let field = get(user, name).ok().flatten();
                    field.and_then(|field| field.as_str()) == Some(text.as_bytes())
                };
                says(b"user", &own.name) && says(b"db", &own.database)
            };
            let before = merged.all.users.len();
            merged.all.users.retain(|user| !is_own(user));
            if merged.all.users.len() < before {
                merged.notes.push(format!("{} restores, and stays as on the server", own.name));
            }
        }
        Ok(merged)
    }

    fn list(&mut self, namespace: &Namespace) -> &mut Vec<Bytes> {
        match namespace.collection == PLACES[0] {
            true => &mut self.all.users,
            false => &mut self.all.roles,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.users.is_empty() && self.all.roles.is_empty()
    }

    /// Looks at what stands under the same names, and records it, if that is wanted. Who may not
    /// read that can't take it back.
    pub fn compare(
        &mut self,
        ground: &Ground<'_>,
        recorder: Option<&Recorder<'_>>,
    ) -> Result<(), Error> {
        for (which, name) in PLACES.into_iter().enumerate() {
            let place = Namespace::new("admin", name);
            let ours = std::mem::take(self.list(&place));
            let ground = Ground { place: &place, ..*ground };
            match compared(&ground, recorder, &ours, self.replaces) {
                Ok(found) => {
                    if found.staying > 0 {
                        self.notes.push(format!(
                            "other ones of the same name stay in {place}: {}; `--conflict \
                             overwrite` replaces them",
                            found.staying
                        ));
                    }
                    if !found.replaced.is_empty() {
                        let names = found.replaced.join(", ");
                        self.notes.push(format!("replaced in {place}: {names}"));
                    }
                    self.changing[which] = found.changing;
                    self.recorded.extend(found.recorded.map(|recorded| (place.clone(), recorded)));
                }
                Err(Error::Sink(error)) if error.cause().is_unauthorized() => {
                    let why = error.cause();
                    self.notes.push(format!("what comes into {place} can't be taken back: {why}"));
                    self.changing[which] = ours.len() as u64;
                }
                Err(error) => return Err(error),
            }
            *self.list(&place) = ours;
        }
        Ok(())
    }

    /// Parts of the record that undoes the restore.
    pub fn records(&self) -> impl Iterator<Item = RecordedCollection> + '_ {
        self.recorded.iter().filter(|(_, recorded)| recorded.touched.entries > 0).map(
            |(namespace, recorded)| {
                let (count, bytes) = (recorded.old.entries, recorded.old_bytes);
                let record = CollectionRecord {
                    kind: CollectionKind::Collection,
                    uuid: None,
                    options: Writer::new().finish(),
                    id_index: None,
                    indexes: Vec::new(),
                    keys: DocumentKeys::Id,
                    count,
                    bytes,
                };
                RecordedCollection {
                    namespace: namespace.clone(),
                    undo: UndoRecord {
                        before: Before::Kept,
                        kind: "collection".into(),
                        indexes: Vec::new(),
                        options: None,
                        holds_documents: false,
                        deployment: None,
                        // A deployment has no second collection of those.
                        uuid: None,
                    },
                    written: Some(recorded.touched),
                    old: (count > 0).then_some((record, Some(recorded.old))),
                }
            },
        )
    }
}

/// What becomes of the users, or of the roles.
#[derive(Default)]
struct Compared {
    /// How many come, or are replaced.
    changing: u64,
    /// So many others of the same name stay as they are.
    staying: u64,
    replaced: Vec<String>,
    recorded: Option<Recorded>,
}

/// `ours` are in the order of their keys, as a tree gives them.
fn compared(
    ground: &Ground<'_>,
    recorder: Option<&Recorder<'_>>,
    ours: &[Bytes],
    replaces: bool,
) -> Result<Compared, Error> {
    let mut found = Compared::default();
    let by_id = Strategy::default();
    let mut recording = recorder.map(|recorder| recorder.begin(ground));
    for some in ours.chunks(RESTORE_LOOKUP_DOCUMENTS) {
        let keyed = some.iter().map(|document| {
            let key = by_id.key(document).map_err(Error::Malformed)?;
            Ok((Bytes::from(key), document.clone()))
        });
        let keyed = keyed.collect::<Result<Vec<_>, Error>>()?;
        let there = live::looked_up(ground.link, ground.place, &keyed)?;
        for (key, document) in keyed {
            let was = there.get(&key[..]).cloned();
            if was.as_ref().is_some_and(|was| was.is(&document)) {
                continue;
            }
            if was.is_some() && !replaces {
                found.staying += 1;
                continue;
            }
            found.changing += 1;
            found.replaced.extend(was.as_ref().map(|_| id_text(&document)));
            let Some(recording) = &mut recording else { continue };
            let action = if was.is_some() { Action::Overwrite } else { Action::Insert };
            let written = *blake3::hash(&document).as_bytes();
            let id = live::id_of(&document)?.into();
            let touched = Touched { action, written, id, source_key: None };
            recording.step(&key, &Step { touched, was })?;
        }
    }
    found.recorded = recording.map(|recording| recording.finish()).transpose()?;
    Ok(found)
}

/// As `shop.ann`: the database, and the name in it.
fn id_text(document: &[u8]) -> String {
    let id = get(document, b"_id").ok().flatten();
    let text = id.and_then(|id| id.as_str());
    text.map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned())
}

/// Brings old roles back, and takes away those that came.
pub(super) fn take_back_roles(link: &Link, back: Vec<Bytes>, gone: &[Bytes]) -> Result<(), Error> {
    if !back.is_empty() {
        sink::merge_authority(link, &Authority { users: Vec::new(), roles: back }, true)?;
    }
    Ok(gone.iter().try_for_each(|role| sink::drop_role(link, role))?)
}

//! Finding out what a restore would do, and recording what it will touch.

use std::{collections::HashMap, sync::Mutex};

use super::{
    Error, Options,
    authority::Merged,
    capped,
    choose::{self, Chosen, choose},
    documents::Documents,
    job::{Job, Written, kind_name, kind_of, place_of},
    live::Spill,
    losses::Losses,
    pairs::{Ground, How, Ours, pairs},
    record::{Recorder, key_of},
    steps::{Keeper, Steps, StepsIn},
    strategy::{Conflict, Strategy},
    tally::{CollectionPlan, Counts, Fate, Plan},
    touched::{Action, Touched},
    weigh::{Step, Weighed, weigh},
};
use crate::{
    chunk::Cutter,
    document::{get, namespace::Namespace},
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    id::Sid,
    mongo::Link,
    progress::Progress,
    repo::{Kept, Reader, Repository, Session, SessionOptions},
    sink::mongo::{self as sink, Existing},
    tree::{Pieces, Root, Splitter, Value},
    verbs::{backup, deployment::catalogue_root},
};

const EXPIRES: &str = "is not built: by this index the server would remove documents that are \
                       there; if it shall, create it there";

/// A restore that is known in all its parts. Dropped, it leaves nothing behind.
pub struct Prepared<'a> {
    pub(super) repo: &'a Repository,
    pub(super) link: &'a Link,
    pub(super) reader: Reader,
    pub(super) options: Options,
    pub(super) source: Sid,
    pub(super) jobs: Vec<Job>,
    pub(super) authority: Merged,
    /// Of the list of collections.
    pub(super) losses: Losses,
    /// Of what was asked for in vain.
    pub(super) notes: Vec<String>,
    pub(super) session: Option<Session>,
    /// What is written beside other documents, where nothing is recorded.
    pub(super) steps: Option<Steps>,
    pub(super) splitter: Splitter,
}

impl Prepared<'_> {
    pub fn plan(&self) -> Plan {
        Plan {
            collections: self.jobs.iter().map(|job| job.plan.clone()).collect(),
            users: self.authority.changing[0],
            roles: self.authority.changing[1],
            others_damaged: self.losses.count() + self.authority.damaged,
            notes: [&self.notes[..], &self.authority.notes].concat(),
        }
    }
}

/// Compares the snapshot's collections with those of the server. Writes nothing to it; what is to
/// be recorded goes into a session that nobody sees before `carry_out`.
pub fn prepare<'a>(
    repo: &'a Repository,
    link: &'a Link,
    kept: &Kept,
    options: Options,
    progress: &Progress,
) -> Result<Prepared<'a>, Error> {
    let strategy = &options.strategy;
    if strategy.conflict == Conflict::Newest && strategy.newest_by.is_empty() {
        return Err(Error::NoNewestBy);
    }
    let reader = repo.reader()?;
    let root = catalogue_root(&kept.snapshot).ok_or(Error::NoMongodb)?;
    let losses = Losses::default();
    let (chosen, notes) = choose((&reader, &root), &options, (&losses, progress))?;
    let mut authority = match options.users_and_roles {
        true => Merged::of((&reader, &root), &options, link, (&losses, progress))?,
        false => Merged::default(),
    };
    if chosen.is_empty() && authority.is_empty() {
        return Err(nothing(losses.count() + authority.damaged));
    }
    let existing = existing(link, &chosen)?;
    let begun = || repo.begin(SessionOptions { parents: vec![kept.sid] });
    let session = (options.undo && !options.dry_run).then(begun).transpose()?;
    let spill = Spill { dir: &options.spill_dir, ambient: repo.ambient() };
    let steps = (!options.undo && !options.dry_run).then(|| StepsIn::new(&spill));
    let cutter = backup::cutter(repo).map_err(|_| Error::Sizes)?;
    let splitter = backup::splitter(repo).map_err(|_| Error::Sizes)?;
    begin(&chosen, progress);
    let mut jobs = Vec::with_capacity(chosen.len());
    {
        let planner = Planner {
            link,
            reader: &reader,
            options: &options,
            spill: &spill,
            recorder: session.as_ref().map(|session| (session, &cutter, &splitter)),
            steps: steps.as_ref(),
            progress,
        };
        for (number, one) in (0..).zip(chosen) {
            super::go_on(progress)?;
            let there = existing.get(&one.to);
            jobs.push(planner.job(number, one, there)?);
        }
        if !authority.is_empty() {
            let (by_id, place) = (Strategy::default(), Namespace::new("admin", ""));
            let recorder = planner.recorder();
            authority.compare(&planner.ground(&place, &by_id), recorder.as_ref())?;
        }
    }
    let steps = steps.map(|steps| steps.finish(&spill)).transpose()?;
    let source = kept.sid;
    Ok(Prepared {
        repo,
        link,
        reader,
        options,
        source,
        jobs,
        authority,
        losses,
        notes,
        session,
        steps,
        splitter,
    })
}

/// Why there is nothing to restore, where so much can't be read.
fn nothing(damaged: u64) -> Error {
    if damaged > 0 { Error::ListDamaged } else { Error::NothingChosen }
}

fn begin(chosen: &[Chosen], progress: &Progress) {
    progress.phase("plan");
    let entries = chosen.iter().filter_map(|one| one.root);
    let (documents, bytes) =
        entries.fold((0, 0), |sum, root| (sum.0 + root.entries, sum.1 + root.bytes));
    progress.expect(documents, bytes);
}

/// What stands on the server under the names that are wanted.
fn existing(link: &Link, chosen: &[Chosen]) -> Result<HashMap<Namespace, Existing>, Error> {
    let mut databases: Vec<&str> = chosen.iter().map(|one| one.to.db.as_str()).collect();
    databases.sort_unstable();
    databases.dedup();
    let mut all = HashMap::new();
    for db in databases {
        for existing in sink::collections(link, db)? {
            all.insert(Namespace::new(db, existing.name.clone()), existing);
        }
    }
    Ok(all)
}

struct Planner<'a> {
    link: &'a Link,
    reader: &'a Reader,
    options: &'a Options,
    spill: &'a Spill<'a>,
    recorder: Option<(&'a Session, &'a Cutter, &'a Splitter)>,
    steps: Option<&'a StepsIn>,
    progress: &'a Progress,
}

impl Planner<'_> {
    fn job(&self, number: u32, chosen: Chosen, there: Option<&Existing>) -> Result<Job, Error> {
        let record = &chosen.record;
        let place = place_of(record.kind, &chosen.to);
        let beyond = self.beyond(record);
        let fate = match there {
            None => Fate::Create,
            Some(_) if self.options.drop && !sink::is_fixed(&chosen.to) => Fate::Replace,
            Some(there) if there.kind == kind_name(record.kind) => Fate::Keep,
            Some(_) => Fate::Blocked,
        };
        let fate = if beyond.is_some() && fate != Fate::Keep { Fate::Blocked } else { fate };
        let range = choose::range(self.reader, &chosen, &self.options.scope)?;
        let plan = CollectionPlan {
            from: chosen.from.clone(),
            to: chosen.to.clone(),
            kind: kind_name(record.kind),
            fate,
            counts: Counts::default(),
            samples: Vec::new(),
            indexes: Vec::new(),
            indexes_left_out: Vec::new(),
            notes: Vec::new(),
        };
        let mut job = Job {
            number,
            build: sink::wanted(&record.indexes, &record.options),
            plan,
            chosen,
            place,
            range,
            losses: Losses::default(),
            there: 0,
            recorded: None,
            written: None,
            dropped: None,
            kept: None,
            done: Mutex::default(),
        };
        if self.options.drop && fate == Fate::Keep {
            job.plan.notes.push("a server does not let it be dropped: it stays".into());
        }
        match (fate, there) {
            (Fate::Blocked, _) if beyond.is_some() => {
                job.build.clear();
                job.plan.notes.extend(beyond);
            }
            (Fate::Create, _) | (_, None) => {
                self.create(&mut job)?;
                if self.options.is_part() {
                    let left_out = job.build.drain(..).map(|spec| sink::name_of(&spec));
                    job.plan.indexes_left_out = left_out.collect();
                }
            }
            (Fate::Replace, Some(there)) => {
                self.create(&mut job)?;
                match job.losses.count() {
                    0 => self.drop(&mut job, there)?,
                    _ => stays(&mut job),
                }
            }
            (Fate::Keep, Some(there)) => self.keep(&mut job, there)?,
            (Fate::Blocked, Some(there)) => blocked(&mut job, there),
        }
        job.plan.indexes = job.build.iter().map(|spec| sink::name_of(spec)).collect();
        job.plan.counts.damaged = job.losses.count();
        Ok(job)
    }

    fn recorder(&self) -> Option<Recorder<'_>> {
        self.recorder.map(|(session, cutter, splitter)| Recorder { session, cutter, splitter })
    }

    /// Why the server can't have such a collection, if it can't.
    fn beyond(&self, record: &CollectionRecord) -> Option<String> {
        let facts = self.link.facts();
        let (what, since) = sink::beyond(facts.version, &record.options)?;
        let version = facts.version_text();
        let note = format!("{what}, which servers have since {since}, and not this {version}");
        Some(match record.kind {
            CollectionKind::TimeSeries => note,
            _ => format!("{note}; one without that, made there first, takes its documents"),
        })
    }

    fn documents<'a>(&'a self, job: &'a Job, root: &Root) -> Documents<'a, Reader> {
        job.documents((self.reader, root), self.options.matches.as_ref(), self.progress)
    }

    /// All of the collection is new.
    fn create(&self, job: &mut Job) -> Result<(), Error> {
        let Some(root) = job.chosen.root else { return Ok(()) };
        let whole = !self.options.is_part();
        let may_name = |session: &Session| matches!(backup::may_reuse(session, &root), Ok(true));
        if whole && self.recorder.is_none_or(|(session, ..)| may_name(session)) {
            if job.plan.fate == Fate::Replace {
                self.read(job, &root)?;
            }
            let counts = &mut job.plan.counts;
            (counts.insert, counts.bytes) = (root.entries, job.chosen.record.bytes);
            job.written = Some(Written { root, holds_documents: true });
            return Ok(());
        }
        let mut tree = self
            .recorder
            .map(|(session, cutter, splitter)| Recorder { session, cutter, splitter }.merger());
        let (mut insert, mut bytes) = (0, 0);
        for entry in self.documents(job, &root) {
            super::go_on(self.progress)?;
            let (key, document) = entry?;
            (insert, bytes) = (insert + 1, bytes + document.len() as u64);
            if let Some(tree) = &mut tree {
                let written = *blake3::hash(&document).as_bytes();
                let id = super::live::id_of(&document)?.into();
                let action = Action::Insert;
                let touched = Touched { action, written, id, source_key: None };
                let head = touched.encode().into();
                tree.put(&key, &Value { head, pieces: Pieces::None })?;
            }
        }
        (job.plan.counts.insert, job.plan.counts.bytes) = (insert, bytes);
        if let Some(tree) = tree {
            let root = tree.finish()?;
            job.written = Some(Written { root, holds_documents: false });
        }
        Ok(())
    }

    /// Reads all of it: what is there is not to go for a part of what it was.
    fn read(&self, job: &Job, root: &Root) -> Result<(), Error> {
        for entry in self.documents(job, root) {
            super::go_on(self.progress)?;
            self.progress.done(1, entry?.1.len() as u64);
        }
        Ok(())
    }

    /// What is there goes, and is recorded whole.
    fn drop(&self, job: &mut Job, there: &Existing) -> Result<(), Error> {
        let mut record = self.record_of(&job.plan.to, there)?;
        let mut recorded = None;
        if let Some((session, cutter, splitter)) = self.recorder
            && record.kind != CollectionKind::View
        {
            let place = place_of(record.kind, &job.plan.to);
            let strategy = Strategy::default();
            let ground = self.ground(&place, &strategy);
            let recorder = Recorder { session, cutter, splitter };
            let whole = recorder.whole(&ground, record.keys == DocumentKeys::Ordinal)?;
            (record.count, record.bytes) = (whole.1.documents, whole.1.bytes);
            recorded = Some(whole);
        }
        job.dropped = Some((record, recorded));
        Ok(())
    }

    fn ground<'g>(&'g self, place: &'g Namespace, strategy: &'g Strategy) -> Ground<'g> {
        Ground { link: self.link, place, strategy, spill: self.spill, progress: self.progress }
    }

    /// A live collection, as a catalogue records it.
    fn record_of(&self, to: &Namespace, there: &Existing) -> Result<CollectionRecord, Error> {
        let kind = kind_of(&there.kind);
        let options = there.options();
        let indexes = match kind {
            CollectionKind::View => Vec::new(),
            _ => sink::indexes(self.link, to)?,
        };
        let keys = match sink::is_capped(&options) {
            true => DocumentKeys::Ordinal,
            false => DocumentKeys::Id,
        };
        let id_index = get(&there.record, b"idIndex").map_err(Error::Malformed)?;
        let id_index = id_index.and_then(|index| index.as_doc()).map(<[u8]>::to_vec);
        let uuid = match kind {
            CollectionKind::TimeSeries => sink::uuid_at(self.link, &sink::buckets_of(to))?,
            _ => there.uuid(),
        };
        let (count, bytes) = (0, 0);
        Ok(CollectionRecord { kind, uuid, options, id_index, indexes, keys, count, bytes })
    }

    /// The documents go beside those that are there.
    fn keep(&self, job: &mut Job, there: &Existing) -> Result<(), Error> {
        let live = self.record_of(&job.plan.to, there)?;
        if live.options != job.chosen.record.options {
            if job.is_view() {
                job.plan.fate = Fate::Blocked;
                job.plan.counts.conflict = 1;
                job.plan.notes.push("another view is there; --drop replaces it".into());
                return Ok(());
            }
            job.plan.notes.push("the options of the collection there differ, and stay".into());
        }
        self.missing_indexes(job, &live);
        if let Some(root) = job.chosen.root {
            self.compare(job, &root, &live)?;
        }
        job.kept = Some(live);
        Ok(())
    }

    /// Of the indexes only those that are not there are built, and of those none that lets the
    /// server remove what is there. Who wants some documents back wants no index.
    fn missing_indexes(&self, job: &mut Job, live: &CollectionRecord) {
        if self.options.is_part() {
            job.build.clear();
            return;
        }
        let there = sink::wanted(&live.indexes, &live.options);
        let (build, notes) = (&mut job.build, &mut job.plan.notes);
        build.retain(|spec| {
            let name = sink::name_of(spec);
            let same = there.iter().find(|other| sink::name_of(other) == name);
            if same.is_some_and(|other| other != spec) {
                notes.push(format!("the index {name} there is another, and stays"));
            }
            let expires = same.is_none() && sink::is_ttl(spec);
            if expires {
                notes.push(format!("{name} {EXPIRES}"));
            }
            same.is_none() && !expires
        });
    }

    fn compare(&self, job: &mut Job, root: &Root, live: &CollectionRecord) -> Result<(), Error> {
        // How many are chosen is not known yet: few, mostly.
        let documents = if self.options.is_part() { 0 } else { root.entries };
        let how = How::best_for(documents, &live.options);
        let natural = job.in_order() || live.keys == DocumentKeys::Ordinal;
        let by_id = Strategy { match_on: Vec::new(), ..self.options.strategy.clone() };
        let strategy = if natural { &by_id } else { &self.options.strategy };
        let place = job.place.clone();
        let ground = self.ground(&place, strategy);
        let ours: Ours<'_> = Box::new(self.documents(job, root));
        let recorder = self.recorder();
        let mut keeper = match (&recorder, self.steps) {
            (Some(recorder), _) => Keeper::Recorded(Box::new(recorder.begin(&ground))),
            // What is in order is read again as it lies.
            (None, Some(steps)) if !job.in_order() => Keeper::Kept(steps, job.number),
            (None, _) => Keeper::Dropped,
        };
        let is_unsorted = keeper.keeps() && (natural || !strategy.match_on.is_empty());
        let mut unsorted = is_unsorted.then(|| self.spill.sorter());
        let mut take = |step: Step| -> Result<(), Error> {
            let key = key_of(&step.touched)?;
            match &mut unsorted {
                Some(sorter) => Ok(sorter.push(&key, &step.encode()?)?),
                None => keeper.step(&key, &step),
            }
        };
        let mut weighed: Weighed = match natural {
            true => capped::weigh(&ground, ours, &mut take)?,
            false => weigh(&ground, pairs(&ground, ours, how)?, &mut take)?,
        };
        let has_room = capped::has_room(&weighed, &live.options);
        if !has_room {
            job.plan.notes.push(capped::FULL.into());
            weighed = capped::left(weighed, strategy.conflict);
        }
        if let Some(sorter) = unsorted.filter(|_| has_room) {
            for entry in sorter.finish()? {
                let (key, step) = entry?;
                let step = Step::decode(&step).expect("it was written above");
                keeper.step(&key, &step)?;
            }
        }
        job.recorded = keeper.finish()?;
        job.there = if natural { weighed.counts.equal } else { 0 };
        (job.plan.counts, job.plan.samples) = (weighed.counts, weighed.samples);
        Ok(())
    }
}

/// It is not dropped: what is to come in its place can't be read whole.
fn stays(job: &mut Job) {
    job.build.clear();
    (job.plan.fate, job.plan.counts, job.written) = (Fate::Blocked, Counts::default(), None);
    let count = job.losses.count();
    let note = format!(
        "of the snapshot's documents {count} can't be read: it is not dropped for the others; \
         without --drop they go beside those that are there"
    );
    job.plan.notes.push(note);
}

fn blocked(job: &mut Job, there: &Existing) {
    job.build.clear();
    job.plan.counts.conflict = job.chosen.root.map_or(1, |root| root.entries.max(1));
    let note = format!("a {} of that name is there; --drop replaces it", there.kind);
    job.plan.notes.push(note);
}

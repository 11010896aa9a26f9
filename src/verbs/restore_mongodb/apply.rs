//! Carrying a restore out: what was planned, and nothing else.

use std::sync::mpsc;

use super::{
    Error,
    data::Work,
    job::Job,
    prepare::Prepared,
    record::{self, RecordedCollection, UNDO_TAG},
    tally::{Check, CollectionOutcome, Fate, Outcome},
};
use crate::{
    document::namespace::Namespace,
    format::catalogue::CollectionKind,
    format::snapshot::{Consistency, Mongodb, Snapshot, Summary},
    id::Sid,
    limits::RESTORE_AGAIN_MAX,
    progress::Progress,
    repo::{self, PROGRAM, ReadBlobs, collect},
    sink::mongo as sink,
    verbs::reach::Trees,
};

const HOLES: &str = "what follows documents that can't be read follows at once there";

impl Prepared<'_> {
    /// Restores. What a document or an index stands against is counted and told, and stops
    /// nothing; an error does, and the same restore, prepared again, goes on from there. An error
    /// after the record was made is [`Error::Unfinished`].
    pub fn carry_out(mut self, progress: &Progress) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        if !self.plan().writes() {
            outcome.collections = self.jobs.iter().map(start).collect();
            outcome.others_damaged = self.plan().others_damaged;
            return Ok(outcome);
        }
        let session = self.session.take();
        match session {
            Some(session) => {
                let (undo, snapshot) = self.record(session)?;
                let reader = self.repo.reader()?;
                let written = self.write(&reader, &mut outcome, progress);
                // Whoever takes it back without that knows as much as the record did before.
                let undo = self.complete(undo, snapshot).unwrap_or(undo);
                written.map_err(|source| Error::Unfinished { undo, source: Box::new(source) })?;
                let ground = collect::Ground::of(self.repo);
                let is_needless = !outcome.wrote()
                    && collect::forget(&ground, &[undo], "the restore wrote nothing").is_ok();
                outcome.undo = (!is_needless).then_some(undo);
            }
            None => {
                let reader = self.repo.reader()?;
                self.write(&reader, &mut outcome, progress)?;
            }
        }
        Ok(outcome)
    }

    /// Commits the record that undoes what follows.
    fn record(&self, session: repo::Session) -> Result<(Sid, Snapshot), Error> {
        let collections = self.recorded();
        let mut snapshot = self.snapshot(collections.len() as u64);
        let deployment = sink::deployment_id(self.link)?;
        let (splitter, deployment) = (&self.splitter, deployment.as_deref());
        let undo = record::commit(session, splitter, deployment, collections, &mut snapshot)?;
        Ok((undo, snapshot))
    }

    /// Commits the record again with what nobody knew before (the UUIDs of what was made, what was
    /// left alone, which indexes could be built), and forgets the first: whenever this stops, one
    /// of them is there.
    fn complete(&self, first: Sid, mut snapshot: Snapshot) -> Result<Sid, Error> {
        if !self.jobs.iter().any(Job::is_otherwise) {
            return Ok(first);
        }
        let reader = self.repo.reader()?;
        let deployment = sink::deployment_id(self.link)?;
        let (splitter, deployment) = (&self.splitter, deployment.as_deref());
        let session = collect::begin_from(self.repo, &Trees(&reader), first, &snapshot.roots);
        let session = session.map_err(|source| Error::Record { source })?;
        snapshot.original = Some(first);
        let collections = self.recorded();
        let second = record::commit(session, splitter, deployment, collections, &mut snapshot)?;
        // If it stays, it is the older one, and told beside the other.
        let ground = collect::Ground::of(self.repo);
        let _ = collect::forget(&ground, &[first], "the record of the restore was completed");
        Ok(second)
    }

    fn recorded(&self) -> Vec<RecordedCollection> {
        self.jobs.iter().filter_map(Job::recorded).chain(self.authority.records()).collect()
    }

    /// The record's, of so many collections, but for its trees.
    fn snapshot(&self, collections: u64) -> Snapshot {
        let facts = self.link.facts();
        let ambient = self.repo.ambient();
        let now = ambient.clock.now();
        let summary =
            Summary { collections, backup_start: now, backup_end: now, ..Summary::default() };
        Snapshot {
            time: now,
            host: ambient.host.clone(),
            user: ambient.user.clone(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            tags: vec![UNDO_TAG.into()],
            paths: vec![facts.uri.clone()],
            roots: Vec::new(),
            parent: Some(self.source),
            original: None,
            program: PROGRAM.into(),
            excludes: Vec::new(),
            troubles: 0,
            summary,
            mongodb: Some(Mongodb {
                uri: facts.uri.clone(),
                version: facts.version_text(),
                set_name: facts.set_name.clone(),
                member: facts.member.clone(),
                consistency: Consistency::None,
                cluster_time: None,
                term: None,
                rollback_id: None,
            }),
        }
    }

    fn write<R: ReadBlobs<Error = repo::Error>>(
        &self,
        recorded: &R,
        outcome: &mut Outcome,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.phase("restore");
        let totals = self.plan().totals();
        // Everything is written, and read again.
        progress.expect(2 * totals.writing(), 2 * totals.bytes);
        let mut process = self.link.process()?;
        let mut works = self.data_and_all(recorded, progress)?;
        outcome.unconfirmed = works.first().and_then(|_| self.unconfirmed(&works));
        for _ in 0..RESTORE_AGAIN_MAX {
            let now = self.link.process()?;
            if now == process {
                break;
            }
            process = now;
            progress.phase("again");
            if let Some(steps) = &self.steps {
                steps.rewind(&self.spill())?;
            }
            for (job, work) in self.jobs.iter().zip(&mut works) {
                self.again(job, work, recorded, progress)?;
                self.finish(job, work, progress)?;
            }
            outcome.unconfirmed = works.first().and_then(|_| self.unconfirmed(&works));
        }
        // From here on documents may expire.
        for (job, work) in self.jobs.iter().zip(&mut works) {
            if job.has_ttl() && !work.stays {
                work.outcome.add(self.indexes(job)?);
            }
            if work.expires {
                let options = &job.chosen.record.options;
                sink::expire_after(self.link, &job.plan.to, options)?;
            }
        }
        self.tell_of_others(&mut works);
        if !self.authority.is_empty() {
            let all = &self.authority.all;
            outcome.unmerged = sink::merge_authority(self.link, all, self.authority.replaces)?;
            [outcome.users, outcome.roles] = self.authority.changing;
            outcome.unconfirmed = self.unconfirmed(&works);
        }
        for (job, work) in self.jobs.iter().zip(&mut works) {
            work.outcome.damaged = job.losses.count();
            if job.in_order() && work.outcome.damaged > 0 {
                work.outcome.troubles.push(HOLES.into());
            }
        }
        outcome.others_damaged = self.plan().others_damaged;
        outcome.collections = works.into_iter().map(|work| work.outcome).collect();
        Ok(())
    }

    /// While one collection is written, the one before it is finished: a server builds an index
    /// with one of its threads, and one that reads seldom waits for one that writes.
    fn data_and_all<R: ReadBlobs<Error = repo::Error>>(
        &self,
        recorded: &R,
        progress: &Progress,
    ) -> Result<Vec<Work>, Error> {
        std::thread::scope(|threads| {
            let (send, written) = mpsc::channel::<(&Job, Work)>();
            let follower = threads.spawn(move || {
                let finished = written.into_iter().map(|(job, mut work)| {
                    self.finish(job, &mut work, progress)?;
                    Ok(work)
                });
                let finished = finished.collect::<Result<Vec<Work>, Error>>();
                finished.inspect_err(|_| progress.cancel())
            });
            let fed = self.jobs.iter().try_for_each(|job| {
                super::go_on(progress)?;
                let work = self.data(job, recorded, progress)?;
                send.send((job, work)).map_err(|_| Error::Cancelled)
            });
            let fed = fed.inspect_err(|_| progress.cancel());
            drop(send);
            let finished = follower.join().expect("it returns its errors");
            // The first to fail stops the other, which says no more than that.
            match (fed, finished) {
                (Ok(()), finished) => finished,
                (Err(Error::Cancelled), Err(error)) | (Err(error), _) => Err(error),
            }
        })
    }

    /// Builds the indexes and reads again what was written, both at once.
    fn finish(&self, job: &Job, work: &mut Work, progress: &Progress) -> Result<(), Error> {
        if work.stays {
            work.outcome.troubles.clone_from(&work.troubles);
            return Ok(());
        }
        let (built, checked) = std::thread::scope(|threads| {
            let built = threads.spawn(|| match job.has_ttl() {
                true => Ok(Indexes::default()),
                false => self.indexes(job),
            });
            let checked = self.verify(job, work, progress);
            (built.join().expect("it returns its errors"), checked)
        });
        work.outcome.troubles.clone_from(&work.troubles);
        work.outcome.add(built?);
        let (check, trouble) = checked?;
        work.outcome.check = check;
        work.outcome.troubles.extend(trouble);
        Ok(())
    }

    fn indexes(&self, job: &Job) -> Result<Indexes, Error> {
        if job.build.is_empty() || job.plan.fate == Fate::Blocked {
            return Ok(Indexes::default());
        }
        let built = sink::build(self.link, &job.plan.to, &job.build)?;
        job.done().built = Some(self.standing(job, &built.built));
        let failed = built.failed.into_iter();
        let mut troubles: Vec<String> =
            failed.map(|(name, why)| format!("the index {name} was not built: {why}")).collect();
        if built.options_left_out {
            troubles.push("the server does not know an option of an index: it was left out".into());
        }
        Ok(Indexes { built: built.built, troubles })
    }

    /// The indexes of these names as they stand there. Who may not list them knows what was asked
    /// for.
    fn standing(&self, job: &Job, names: &[String]) -> Vec<Vec<u8>> {
        let there = sink::indexes(self.link, &job.plan.to);
        let there = there.map(|all| sink::wanted(&all, job.options_there()));
        let mut specs = there.unwrap_or_else(|_| job.build.clone());
        specs.retain(|spec| names.contains(&sink::name_of(spec)));
        specs
    }

    /// Tells which collections somebody dropped meanwhile: what is not there any more, or only in
    /// part, is not missing for any other reason.
    fn tell_of_others(&self, works: &mut [Work]) {
        for (job, work) in self.jobs.iter().zip(works) {
            let is_written = job.makes_it() || job.plan.counts.writing() > 0;
            let known = job.uuid().filter(|_| is_written && !work.stays);
            let Some(known) = known else { continue };
            if sink::uuid_at(self.link, &job.place).is_ok_and(|now| now != Some(known)) {
                let what = "it was dropped since the restore was planned: what is there now, if \
                            anything, is another collection";
                work.outcome.troubles.push(what.to_owned());
            }
        }
    }

    /// Waits for a majority; why nobody knows whether it has everything.
    fn unconfirmed(&self, works: &[Work]) -> Option<String> {
        if works.iter().all(|work| work.stays) && self.authority.place().is_none() {
            return None;
        }
        let Some(place) = self.place_to_ask(works) else {
            return Some("only views were made: a majority was not waited for".to_owned());
        };
        let waited = sink::wait_for_majority(self.link, &place);
        waited.err().map(|error| format!("{error}: {}", error.cause()))
    }

    /// A collection that is there, to be asked for the index that it has. A server before 6.0
    /// refuses that to the buckets of a time series, so they come last.
    fn place_to_ask(&self, works: &[Work]) -> Option<Namespace> {
        let there = self
            .jobs
            .iter()
            .zip(works)
            .filter(|(job, work)| job.plan.fate != Fate::Blocked && !work.refused);
        let of_kind = |kind| {
            let mut of_kind = there.clone().filter(|(job, _)| job.chosen.record.kind == kind);
            of_kind.next().map(|(job, _)| job.place.clone())
        };
        let place = of_kind(CollectionKind::Collection).or_else(|| self.authority.place());
        place.or_else(|| of_kind(CollectionKind::TimeSeries))
    }
}

/// What came of building a collection's indexes.
#[derive(Default)]
struct Indexes {
    built: Vec<String>,
    troubles: Vec<String>,
}

impl CollectionOutcome {
    fn add(&mut self, indexes: Indexes) {
        self.indexes = indexes.built;
        self.troubles.extend(indexes.troubles);
    }
}

/// Before anything of it was done.
pub(super) fn start(job: &Job) -> CollectionOutcome {
    let counts = &job.plan.counts;
    let conflicts = job.plan.samples.iter().filter(|sample| sample.what == "conflict");
    let left_out = job.plan.fate == Fate::Blocked && counts.conflict == 0;
    let why = job.plan.notes.iter().filter(|_| left_out);
    CollectionOutcome {
        from: job.plan.from.clone(),
        to: job.plan.to.clone(),
        kind: job.plan.kind,
        fate: job.plan.fate,
        inserted: 0,
        overwritten: 0,
        merged: 0,
        skipped: counts.skip,
        equal: counts.equal,
        conflicts: counts.conflict,
        damaged: counts.damaged,
        bytes: 0,
        conflict_samples: conflicts.cloned().collect(),
        indexes: Vec::new(),
        troubles: why.map(|why| format!("it was not restored: {why}")).collect(),
        check: Check::Nothing,
    }
}

//! Carrying a restore out: what was planned, and nothing else.

use bytes::Bytes;

use super::{
    Error,
    documents::{Documents, whole},
    job::Job,
    live,
    pairs::{Ground, How, Ours, pairs},
    prepare::Prepared,
    record::{self, UNDO_TAG},
    strategy::{Conflict, Verdict},
    tally::{Check, CollectionOutcome, Digest, Fate, Outcome, Sample, sample},
    touched::{Action, Touched},
    weigh::weigh,
};
use crate::{
    document::get,
    format::catalogue::CollectionKind,
    format::snapshot::{Consistency, Mongodb, Snapshot, Summary},
    id::Sid,
    progress::Progress,
    repo::{self, PROGRAM, ReadBlobs},
    sink::mongo::{self as sink, Op, Order, Report, Writers},
    tree::{self, KeyRange},
};

impl Prepared<'_> {
    /// Restores. What a document or an index stands against is counted and told, and stops
    /// nothing; an error does, and the same restore, prepared again, goes on from there.
    pub fn carry_out(mut self, progress: &Progress) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        if !self.plan().writes() {
            outcome.collections = self.jobs.iter().map(start).collect();
            return Ok(outcome);
        }
        let session = self.session.take();
        match session {
            Some(session) if self.options.undo => {
                outcome.undo = Some(self.record(session)?);
                let reader = self.repo.reader()?;
                self.write(&reader, &mut outcome, progress)?;
            }
            Some(session) => self.write(&session, &mut outcome, progress)?,
            None => {
                let reader = self.repo.reader()?;
                self.write(&reader, &mut outcome, progress)?;
            }
        }
        Ok(outcome)
    }

    /// Commits the record that undoes what follows.
    fn record(&self, session: repo::Session) -> Result<Sid, Error> {
        let facts = self.link.facts();
        let ambient = self.repo.ambient();
        let now = ambient.clock.now();
        let collections: Vec<_> = self.jobs.iter().filter_map(Job::recorded).collect();
        let summary = Summary {
            collections: collections.len() as u64,
            backup_start: now,
            backup_end: now,
            ..Summary::default()
        };
        let snapshot = Snapshot {
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
        };
        record::commit(session, &self.splitter, collections, snapshot)
    }

    fn write<R: ReadBlobs<Error = repo::Error>>(
        &self,
        recorded: &R,
        outcome: &mut Outcome,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.phase("restore");
        let totals = self.plan().totals();
        progress.expect(totals.writing(), totals.bytes);
        let mut works = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            super::go_on(progress)?;
            works.push(self.data(job, recorded, progress)?);
        }
        progress.phase("indexes");
        self.each(&mut works, &|job, work| match job.has_ttl() {
            true => Ok(()),
            false => self.indexes(job, work),
        })?;
        progress.phase("verify");
        progress.expect(totals.writing(), totals.bytes);
        self.each(&mut works, &|job, work| self.verify(job, work, progress))?;
        // From here on documents may expire.
        self.each(&mut works, &|job, work| match job.has_ttl() {
            true => self.indexes(job, work),
            false => Ok(()),
        })?;
        self.each(&mut works, &|job, work| {
            let options = &job.chosen.record.options;
            if work.expires {
                sink::expire_after(self.link, &job.plan.to, options)?;
            }
            Ok(())
        })?;
        if !self.authority.users.is_empty() || !self.authority.roles.is_empty() {
            sink::merge_authority(self.link, &self.authority, false)?;
            outcome.users = self.authority.users.len() as u64;
            outcome.roles = self.authority.roles.len() as u64;
        }
        outcome.unconfirmed = self.unconfirmed();
        outcome.collections = works.into_iter().map(|work| work.outcome).collect();
        Ok(())
    }

    fn each(
        &self,
        works: &mut [Work],
        go: &dyn Fn(&Job, &mut Work) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.jobs.iter().zip(works).try_for_each(|(job, work)| go(job, work))
    }

    /// Makes the collection, if that is to be, and writes its documents.
    fn data<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        recorded: &R,
        progress: &Progress,
    ) -> Result<Work, Error> {
        progress.at(|| job.plan.to.to_string());
        let mut work = Work { outcome: start(job), expires: false, written: Digest::default() };
        if job.plan.fate == Fate::Replace {
            sink::drop(self.link, &job.plan.to)?;
        }
        if job.makes_it() {
            let record = &job.chosen.record;
            let id_index = record.id_index.as_deref();
            let created = sink::create(self.link, &job.plan.to, &record.options, id_index)?;
            work.expires = created.expires;
            let left_out = created.options_left_out.into_iter();
            work.outcome.troubles.extend(left_out.map(|option| {
                format!("the server does not know the option {option}: it was left out")
            }));
        }
        let Some(root) = job.chosen.root.filter(|_| job.plan.counts.writing() > 0) else {
            return Ok(work);
        };
        let order = if job.in_order() { Order::Kept } else { Order::Any };
        let mut writers = Writers::start(self.link, &job.place, order, self.options.threads);
        let matches = self.options.matches.as_ref();
        let mut ours = Documents::new(&self.reader, &root, job.range.clone(), matches);
        if job.makes_it() || job.in_order() {
            for (number, entry) in ours.enumerate().skip(job.there as usize) {
                if number % 256 == 0 {
                    super::go_on(progress)?;
                }
                let (_, document) = entry?;
                work.written.add(&document);
                progress.done(1, document.len() as u64);
                writers.push(Op::Insert { document })?;
            }
        } else if let Some(trees) = &job.recorded {
            let mut old = tree::iter(recorded, &trees.old, KeyRange::all());
            for entry in tree::iter(recorded, &trees.touched, KeyRange::all()) {
                super::go_on(progress)?;
                let (key, value) = entry?;
                let touched = Touched::decode(&value.head).ok_or(Error::NoUndo)?;
                let ours = self.ours(&root, &mut ours, &key, &touched)?;
                let was = match touched.action.changes() {
                    true => old.next().transpose()?.map(|entry| whole(recorded, &entry.1)),
                    false => None,
                };
                progress.done(1, ours.len() as u64);
                writers.push(self.op(&touched, ours, was.transpose()?)?)?;
            }
        }
        self.settle(&mut work.outcome, writers.finish()?);
        Ok(work)
    }

    /// The snapshot's document of an entry of the record.
    fn ours(
        &self,
        root: &tree::Root,
        ours: &mut Documents<'_, repo::Reader>,
        key: &[u8],
        touched: &Touched,
    ) -> Result<Bytes, Error> {
        let lost = || Error::NoSuch { what: "document that was planned".into() };
        if let Some(source_key) = &touched.source_key {
            let value = tree::get(&self.reader, root, source_key)?.ok_or_else(lost)?;
            return whole(&self.reader, &value);
        }
        ours.seek(key);
        Ok(ours.next().ok_or_else(lost)??.1)
    }

    fn op(&self, touched: &Touched, ours: Bytes, was: Option<Bytes>) -> Result<Op, Error> {
        let Some(was) = was else { return Ok(Op::Insert { document: ours }) };
        let verdict = self.options.strategy.judge(&ours, &was).map_err(Error::Malformed)?;
        let document = match (verdict, touched.action) {
            (Verdict::Overwrite(new), Action::Overwrite) | (Verdict::Merge(new), Action::Merge) => {
                new
            }
            _ => return Err(Error::NoUndo),
        };
        Ok(Op::Replace { document, was })
    }

    fn settle(&self, outcome: &mut CollectionOutcome, report: Report) {
        outcome.inserted += report.inserted;
        match self.options.strategy.conflict {
            Conflict::Merge => outcome.merged += report.replaced,
            _ => outcome.overwritten += report.replaced,
        }
        outcome.bytes += report.bytes;
        outcome.conflicts += report.failures.len() as u64;
        for failure in report.failures {
            let id = live::id_of(failure.op.document()).unwrap_or_default().into();
            let why = Some(failure.why);
            sample(&mut outcome.conflict_samples, Sample { what: "conflict", id, why });
        }
    }

    fn indexes(&self, job: &Job, work: &mut Work) -> Result<(), Error> {
        if job.build.is_empty() || job.plan.fate == Fate::Blocked {
            return Ok(());
        }
        let built = sink::build(self.link, &job.plan.to, &job.build)?;
        work.outcome.indexes = built.built;
        let troubles = &mut work.outcome.troubles;
        let failed = built.failed.into_iter();
        troubles.extend(failed.map(|(name, why)| format!("the index {name} was not built: {why}")));
        if built.options_left_out {
            troubles.push("the server does not know an option of an index: it was left out".into());
        }
        Ok(())
    }

    /// Reads again what was written, and holds it against the snapshot.
    fn verify(&self, job: &Job, work: &mut Work, progress: &Progress) -> Result<(), Error> {
        if job.is_view() || job.plan.counts.writing() == 0 {
            return Ok(());
        }
        let check = match job.makes_it() {
            true => live::digest(self.link, &job.place, progress)
                .map(|live| Check::Whole { snapshot: work.written, live }),
            false => self.verify_beside(job, work, progress),
        };
        match check {
            Ok(check) => work.outcome.check = check,
            // Who may only restore may not read.
            Err(Error::Sink(error)) if error.cause().is_unauthorized() => {
                let why = error.cause();
                work.outcome.troubles.push(format!("what was written was not read again: {why}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn verify_beside(&self, job: &Job, work: &Work, progress: &Progress) -> Result<Check, Error> {
        let Some(root) = job.chosen.root else { return Ok(Check::Nothing) };
        let spill = live::Spill { dir: &self.options.spill_dir, ambient: self.repo.ambient() };
        let ground = Ground {
            link: self.link,
            place: &job.place,
            strategy: &self.options.strategy,
            spill: &spill,
            progress,
        };
        let matches = self.options.matches.as_ref();
        let ours = Documents::new(&self.reader, &root, job.range.clone(), matches);
        let ours: Ours<'_> = Box::new(ours);
        let weighed = if job.in_order() {
            super::capped::weigh(&ground, ours, &mut |_| Ok(()))?
        } else {
            let few = job.plan.counts.writing() <= crate::limits::RESTORE_LOOKUP_MAX;
            let how = if few { How::LookUp } else { How::Scan };
            weigh(&ground, pairs(&ground, ours, how)?, &mut |_| Ok(()))?
        };
        let counts = weighed.counts;
        let wrong = counts.writing().saturating_sub(work.outcome.conflicts);
        Ok(Check::Beside { right: counts.equal + counts.skip, wrong })
    }

    /// Waits for a majority; why nobody knows whether it has everything.
    fn unconfirmed(&self) -> Option<String> {
        let is_plain = |job: &&Job| {
            let record = &job.chosen.record;
            record.kind == CollectionKind::Collection
                && job.plan.fate != Fate::Blocked
                && matches!(get(&record.options, b"collation"), Ok(None))
        };
        let job = self.jobs.iter().find(is_plain)?;
        let waited = sink::wait_for_majority(self.link, &job.plan.to);
        waited.err().map(|error| format!("{error}: {}", error.cause()))
    }
}

/// A collection's work while it goes on.
struct Work {
    outcome: CollectionOutcome,
    /// It was made without its time to live.
    expires: bool,
    written: Digest,
}

fn start(job: &Job) -> CollectionOutcome {
    let counts = &job.plan.counts;
    let conflicts = job.plan.samples.iter().filter(|sample| sample.what == "conflict");
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
        bytes: 0,
        conflict_samples: conflicts.cloned().collect(),
        indexes: Vec::new(),
        troubles: Vec::new(),
        check: Check::Nothing,
    }
}

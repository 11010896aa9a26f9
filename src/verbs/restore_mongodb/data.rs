//! Making a collection and writing its documents: as planned, and again what a server lost.

use bytes::Bytes;
use hashbrown::HashMap;

use super::{
    Error,
    apply::start,
    capped,
    documents::Documents,
    job::Job,
    live::{self, Spill},
    pairs::{Ground, Ours},
    prepare::Prepared,
    strategy::{Conflict, Strategy, Verdict},
    tally::{CollectionOutcome, Digest, Fate, Sample, sample},
    touched::{Action, Touched},
};
use crate::{
    limits::RESTORE_LOOKUP_DOCUMENTS,
    progress::Progress,
    repo::{self, ReadBlobs},
    sink::mongo::{self as sink, Op, Order, Report, Writers},
    tree::{self, KeyRange, Root},
    verbs::deployment::content,
};

/// A collection's work while it goes on.
pub(super) struct Work {
    pub outcome: CollectionOutcome,
    /// It was made without its time to live.
    pub expires: bool,
    pub written: Digest,
    /// What could not be had when it was made.
    pub troubles: Vec<String>,
}

/// Takes what is to be written to one collection.
type Take<'t> = &'t mut dyn FnMut(Op) -> Result<(), Error>;

impl Prepared<'_> {
    /// Makes the collection, if that is to be, and writes its documents.
    pub(super) fn data<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        recorded: &R,
        progress: &Progress,
    ) -> Result<Work, Error> {
        progress.at(|| job.plan.to.to_string());
        let (outcome, written) = (start(job), Digest::default());
        let mut work = Work { outcome, expires: false, written, troubles: Vec::new() };
        if job.plan.fate == Fate::Replace {
            sink::drop(self.link, &job.plan.to)?;
        }
        if job.makes_it() {
            self.create(job, &mut work)?;
        }
        if job.plan.counts.writing() == 0 {
            return Ok(work);
        }
        let mut writers = self.writers(job);
        let whole = job.makes_it();
        let written = &mut work.written;
        self.ops(job, recorded, job.there, progress, &mut |op| {
            let document = op.document();
            if whole {
                written.add(document);
            }
            progress.done(1, document.len() as u64);
            Ok(writers.push(op)?)
        })?;
        self.settle(&mut work.outcome, writers.finish()?);
        Ok(work)
    }

    /// Writes what is not there as it was written once: the server was another one meanwhile, and
    /// what it had not in its journal is lost. What somebody else wrote there stays.
    pub(super) fn again<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        work: &mut Work,
        recorded: &R,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.at(|| job.plan.to.to_string());
        if job.makes_it() {
            let there = sink::collections(self.link, &job.plan.to.db)?;
            if !there.iter().any(|one| one.name == job.plan.to.collection) {
                self.create(job, work)?;
            }
        }
        if job.plan.counts.writing() == 0 {
            return Ok(());
        }
        let mut writers = self.writers(job);
        if job.in_order() {
            let there = self.in_order_there(job, progress)?;
            self.ops(job, recorded, there, progress, &mut |op| Ok(writers.push(op)?))?;
        } else {
            let mut batch = Vec::new();
            let mut push = |batch: &mut Vec<Op>| -> Result<(), Error> {
                let missing = self.missing(job, std::mem::take(batch))?;
                missing.into_iter().try_for_each(|op| Ok(writers.push(op)?))
            };
            self.ops(job, recorded, 0, progress, &mut |op| {
                batch.push(op);
                if batch.len() < RESTORE_LOOKUP_DOCUMENTS { Ok(()) } else { push(&mut batch) }
            })?;
            push(&mut batch)?;
        }
        // What fails now is found when it is read again.
        writers.finish()?;
        Ok(())
    }

    fn create(&self, job: &Job, work: &mut Work) -> Result<(), Error> {
        let record = &job.chosen.record;
        let id_index = record.id_index.as_deref();
        let created = sink::create(self.link, &job.plan.to, &record.options, id_index)?;
        work.expires = created.expires;
        let left_out = created
            .options_left_out
            .into_iter()
            .map(|option| format!("the server does not know the option {option}: it was left out"));
        work.troubles = left_out.collect();
        Ok(())
    }

    fn writers(&self, job: &Job) -> Writers {
        let order = if job.in_order() { Order::Kept } else { Order::Any };
        Writers::start(self.link, &job.place, order, self.options.threads)
    }

    /// All that is planned for the documents of one collection, in the order of their keys; of one
    /// that is written from its beginning, without so many that are `there`.
    fn ops<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        recorded: &R,
        there: u64,
        progress: &Progress,
        take: Take<'_>,
    ) -> Result<(), Error> {
        let Some(root) = job.chosen.root else { return Ok(()) };
        let matches = self.options.matches.as_ref();
        let mut ours = Documents::new(&self.reader, &root, job.range.clone(), matches);
        if job.makes_it() || job.in_order() {
            for (number, entry) in ours.enumerate().skip(there as usize) {
                if number % 256 == 0 {
                    super::go_on(progress)?;
                }
                take(Op::Insert { document: entry?.1 })?;
            }
        } else if let Some(trees) = &job.recorded {
            let mut old = tree::iter(recorded, &trees.old, KeyRange::all());
            for entry in tree::iter(recorded, &trees.touched, KeyRange::all()) {
                super::go_on(progress)?;
                let (key, value) = entry?;
                let touched = Touched::decode(&value.head).ok_or(Error::NoUndo)?;
                let ours = self.ours(&root, &mut ours, &key, &touched)?;
                let was = match touched.action.changes() {
                    true => old.next().transpose()?.map(|entry| content(recorded, &entry.1)),
                    false => None,
                };
                take(self.op(&touched, ours, was.transpose()?)?)?;
            }
        }
        Ok(())
    }

    /// The snapshot's document of an entry of the record.
    fn ours(
        &self,
        root: &Root,
        ours: &mut Documents<'_, repo::Reader>,
        key: &[u8],
        touched: &Touched,
    ) -> Result<Bytes, Error> {
        let lost = || Error::NoSuch { what: "document that was planned".into() };
        if let Some(source_key) = &touched.source_key {
            let value = tree::get(&self.reader, root, source_key)?.ok_or_else(lost)?;
            return Ok(content(&self.reader, &value)?);
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

    /// Of these the ones before which the collection stands as it stood when they were planned.
    fn missing(&self, job: &Job, ops: Vec<Op>) -> Result<Vec<Op>, Error> {
        let by_id = Strategy::default();
        let keyed = |op: Op| {
            let key = by_id.key(op.document()).map_err(Error::Malformed)?;
            Ok((Bytes::from(key), op))
        };
        let keyed = ops.into_iter().map(keyed).collect::<Result<Vec<_>, Error>>()?;
        let ids: Vec<(Bytes, Bytes)> =
            keyed.iter().map(|(key, op)| (key.clone(), op.document().clone())).collect();
        let there: HashMap<Vec<u8>, Bytes> = live::looked_up(self.link, &job.place, &ids)?;
        let is_missing = |(key, op): &(Bytes, Op)| match (op, there.get(&key[..])) {
            (Op::Insert { .. }, live) => live.is_none(),
            (Op::Replace { was, .. }, live) => live == Some(was),
            (Op::Remove { .. }, _) => false,
        };
        Ok(keyed.into_iter().filter(is_missing).map(|(_, op)| op).collect())
    }

    /// How many documents of a collection that keeps its order are there, from its beginning on.
    fn in_order_there(&self, job: &Job, progress: &Progress) -> Result<u64, Error> {
        let Some(root) = job.chosen.root else { return Ok(0) };
        let matches = self.options.matches.as_ref();
        let ours = Documents::new(&self.reader, &root, job.range.clone(), matches);
        let ours: Ours<'_> = Box::new(ours);
        let spill = Spill { dir: &self.options.spill_dir, ambient: self.repo.ambient() };
        let ground = Ground {
            link: self.link,
            place: &job.place,
            strategy: &self.options.strategy,
            spill: &spill,
            progress,
        };
        let counts = capped::weigh(&ground, ours, &mut |_| Ok(()))?.counts;
        // Where they differ, nothing may be appended.
        let differs = counts.skip + counts.conflict;
        Ok(counts.equal + differs)
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
}

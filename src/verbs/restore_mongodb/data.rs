//! Making a collection and writing its documents: as planned, and again what a server lost.

use bytes::Bytes;
use hashbrown::HashMap;

use super::{
    Error,
    apply::start,
    capped,
    documents::Documents,
    job::{Job, place_of},
    known::{Known, Side},
    live::{self, Live, Spill},
    pairs::{Ground, Ours},
    prepare::Prepared,
    record::OldVersions,
    strategy::{Conflict, Strategy, Verdict},
    tally::{CollectionOutcome, Digest, Fate, Sample, sample},
    touched::{Action, Touched},
    weigh::Step,
};
use crate::{
    progress::Progress,
    repo::{self, ReadBlobs, Reader},
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
    /// It was to be dropped, and holds what nobody recorded: it stays. Or it was refused.
    pub stays: bool,
    /// The server would not make it: it is not there.
    pub refused: bool,
    /// What could not be had when it was made.
    pub troubles: Vec<String>,
}

/// Takes what is to be written to one collection; says whether more is wanted.
type Take<'t> = &'t mut dyn FnMut(Op) -> Result<bool, Error>;

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
        let troubles = outcome.troubles.clone();
        let (stays, refused, expires) = (false, false, false);
        let mut work = Work { outcome, expires, written, stays, refused, troubles };
        if job.plan.fate == Fate::Replace {
            let came = self.came_since(job, recorded, progress)?;
            if came > 0 {
                work.stay(came);
                job.done().stays = true;
                return Ok(work);
            }
            sink::drop(self.link, &job.plan.to)?;
        }
        if job.makes_it() {
            match self.create(job, &mut work) {
                // What was dropped for it is missed: that is no little trouble.
                Err(Error::Sink(error)) if job.plan.fate == Fate::Create && error.is_refusal() => {
                    work.refuse(&error);
                    job.done().stays = true;
                    return Ok(work);
                }
                created => created?,
            }
        }
        if job.plan.counts.writing() == 0 {
            return Ok(work);
        }
        let mut writers = self.writers(job);
        let whole = job.makes_it();
        let (written, mut pushed) = (&mut work.written, 0);
        let known = job.losses.count();
        let lost = self.ops(job, recorded, job.there, progress, &mut |op| {
            let document = op.document();
            if whole {
                written.add(document);
            }
            progress.done(1, document.len() as u64);
            pushed += 1;
            writers.push(op)?;
            Ok(!writers.is_broken())
        })?;
        self.settle(&mut work.outcome, writers.finish()?);
        // Where the order broke, the rest was not read any more.
        let done = pushed + lost.len() as u64 + (job.losses.count() - known);
        let unread = job.plan.counts.writing().saturating_sub(done);
        work.outcome.conflicts += unread;
        work.written.documents += if whole { unread } else { 0 };
        for id in lost {
            let why = "it was changed or removed while the restore was planned".to_owned();
            work.outcome.conflict(id, why);
        }
        Ok(work)
    }

    /// How many documents a collection that is to be dropped holds now that are not recorded:
    /// they came, or were changed, after the plan was made.
    fn came_since<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        recorded: &R,
        progress: &Progress,
    ) -> Result<u64, Error> {
        let Some((record, Some((root, then)))) = &job.dropped else { return Ok(0) };
        let place = place_of(record.kind, &job.plan.to);
        let mut now = Digest::default();
        live::each(self.link, &place, progress, &mut |document| {
            now.add(document);
            Ok(())
        })?;
        if now == *then {
            return Ok(0);
        }
        // What is merely gone is no loss.
        let spill = self.spill();
        let mut known = Known::new(&spill);
        known.documents(recorded, root, Side::Old, progress)?;
        Ok(known.meet((self.link, &place), progress, &mut |_, _| Ok(()))?.foreign)
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
        if work.stays {
            return Ok(());
        }
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
            self.ops(job, recorded, there, progress, &mut |op| {
                writers.push(op)?;
                Ok(!writers.is_broken())
            })?;
        } else {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let mut push = |batch: &mut Vec<Op>| -> Result<(), Error> {
                let missing = self.missing(job, std::mem::take(batch))?;
                missing.into_iter().try_for_each(|op| Ok(writers.push(op)?))
            };
            self.ops(job, recorded, 0, progress, &mut |op| {
                bytes += op.bytes();
                batch.push(op);
                if !live::is_full(batch.len(), bytes) {
                    return Ok(true);
                }
                bytes = 0;
                push(&mut batch).map(|()| true)
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
        // Who can't be asked ends no restore: the record says less then.
        job.done().made = sink::uuid_at(self.link, &job.place).ok().flatten();
        Ok(())
    }

    fn writers(&self, job: &Job) -> Writers {
        let order = if job.in_order() { Order::Kept } else { Order::Any };
        Writers::start(self.link, &job.place, order, self.options.threads)
    }

    /// All that is planned for the documents of one collection, in the order of their keys; of one
    /// that is written from its beginning, without so many that are `there`. Returns the `_id`s of
    /// those that can't be done: what stood there was gone before it was recorded.
    fn ops<R: ReadBlobs<Error = repo::Error>>(
        &self,
        job: &Job,
        recorded: &R,
        there: u64,
        progress: &Progress,
        take: Take<'_>,
    ) -> Result<Vec<Bytes>, Error> {
        let mut lost = Vec::new();
        let Some(root) = job.chosen.root else { return Ok(lost) };
        let known = job.losses.count();
        let matches = self.options.matches.as_ref();
        let mut ours = job.documents((&self.reader, &root), matches, progress);
        let ours_of =
            |key: &Bytes, touched: &Touched, ours: &mut Documents<'_, Reader>| match &touched
                .source_key
            {
                Some(key) => self.ours(job, &root, key, progress),
                None => ours.at(key),
            };
        if job.makes_it() || job.in_order() {
            for (number, entry) in ours.enumerate() {
                if number % 256 == 0 {
                    super::go_on(progress)?;
                }
                let (_, document) = entry?;
                // Those that are there include what was read then, and can't be any more.
                let there = there.saturating_sub(job.losses.count() - known);
                if number as u64 >= there && !take(Op::Insert { document })? {
                    break;
                }
            }
        } else if let Some(trees) = &job.recorded {
            let mut old = OldVersions::new(recorded, &trees.old);
            for entry in tree::iter(recorded, &trees.touched, KeyRange::all()) {
                super::go_on(progress)?;
                let (key, value) = entry?;
                let touched = Touched::read(recorded, &value)?;
                let (found, was) = (ours_of(&key, &touched, &mut ours)?, old.under(&key)?);
                self.step(touched, found, was, (take, &mut lost))?;
            }
        } else if let Some(steps) = &self.steps {
            steps.of(job.number, &mut |key, Step { touched, was }| {
                super::go_on(progress)?;
                let found = ours_of(&key, &touched, &mut ours)?;
                let stands = was.map(|was| (was.whole(self.link, &job.place), was));
                let was = match stands {
                    Some((now, was)) => now?.filter(|now| was.is(now)),
                    None => None,
                };
                self.step(touched, found, was, (take, &mut lost))
            })?;
        }
        Ok(lost)
    }

    /// Hands on what is to be done with one document, which stands there as it `was`.
    fn step(
        &self,
        touched: Touched,
        ours: Option<Bytes>,
        was: Option<Bytes>,
        (take, lost): (Take<'_>, &mut Vec<Bytes>),
    ) -> Result<(), Error> {
        let Some(ours) = ours else { return Ok(()) };
        match op(&self.options.strategy, &touched, ours, was)? {
            Some(op) => take(op).map(drop),
            None => {
                lost.push(touched.id);
                Ok(())
            }
        }
    }

    pub(super) fn spill(&self) -> Spill<'_> {
        Spill { dir: &self.options.spill_dir, ambient: self.repo.ambient() }
    }

    /// The snapshot's document under a key. `None`: it can't be read, and was named.
    fn ours(
        &self,
        job: &Job,
        root: &Root,
        key: &[u8],
        progress: &Progress,
    ) -> Result<Option<Bytes>, Error> {
        if let Ok(Some(value)) = tree::get(&self.reader, root, key)
            && let Ok(document) = content(&self.reader, &value)
        {
            return Ok(Some(document));
        }
        // An iterator reads ahead, and says what it lost.
        job.documents((&self.reader, root), None, progress).at(key)
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
        let there: HashMap<Vec<u8>, Live> = live::looked_up(self.link, &job.place, &ids)?;
        let is_missing = |(key, op): &(Bytes, Op)| match (op, there.get(&key[..])) {
            (Op::Insert { .. }, live) => live.is_none(),
            (Op::Replace { was, .. }, live) => live.is_some_and(|live| live.is(was)),
            (Op::Remove { .. }, _) => false,
        };
        Ok(keyed.into_iter().filter(is_missing).map(|(_, op)| op).collect())
    }

    /// How many documents of a collection that keeps its order are there, from its beginning on.
    fn in_order_there(&self, job: &Job, progress: &Progress) -> Result<u64, Error> {
        let Some(root) = job.chosen.root else { return Ok(0) };
        let matches = self.options.matches.as_ref();
        let ours: Ours<'_> = Box::new(job.documents((&self.reader, &root), matches, progress));
        let spill = self.spill();
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
        outcome.conflicts += report.failures.untold();
        for failure in report.failures.told {
            outcome.conflict(failure.id, failure.why);
        }
    }
}

impl Work {
    fn refuse(&mut self, why: &sink::Error) {
        (self.stays, self.refused) = (true, true);
        self.outcome.fate = Fate::Blocked;
        self.troubles.push(format!("it was not restored: {}", why.cause()));
    }

    fn stay(&mut self, came: u64) {
        self.stays = true;
        self.outcome.fate = Fate::Blocked;
        self.outcome.conflicts += came;
        let what = format!("documents that came or were changed since it was planned: {came}");
        self.troubles.push(format!("{what}; it was not dropped, and stays as it is there"));
    }
}

impl CollectionOutcome {
    /// One more that stays as it is there.
    fn conflict(&mut self, id: Bytes, why: String) {
        self.conflicts += 1;
        let why = Some(why);
        sample(&mut self.conflict_samples, Sample { what: "conflict", id, why });
    }
}

/// What an entry of the record is to do. `None`: of what stood there nothing was recorded, or
/// another document than the one that was judged.
fn op(
    strategy: &Strategy,
    touched: &Touched,
    ours: Bytes,
    was: Option<Bytes>,
) -> Result<Option<Op>, Error> {
    let Some(was) = was else {
        let is_new = !touched.action.changes();
        return Ok(is_new.then_some(Op::Insert { document: ours }));
    };
    let verdict = strategy.judge(&ours, &was).map_err(Error::Malformed)?;
    Ok(match (verdict, touched.action) {
        (Verdict::Overwrite(document), Action::Overwrite)
        | (Verdict::Merge(document), Action::Merge) => Some(Op::Replace { document, was }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Writer;

    #[test]
    fn what_stood_there_and_was_not_recorded_is_not_written_over() {
        let document = |version: i32| {
            let mut writer = Writer::new();
            writer.push_i32(b"_id", 1);
            writer.push_i32(b"v", version);
            Bytes::from(writer.finish())
        };
        let strategy =
            Strategy { conflict: Conflict::Newest, newest_by: "v".into(), ..Strategy::default() };
        let done = |action, was: Option<i32>| {
            let id = Bytes::new();
            let touched = Touched { action, written: [0; 32], id, source_key: None };
            let op = op(&strategy, &touched, document(2), was.map(document)).unwrap();
            op.map(|op| matches!(op, Op::Insert { .. }))
        };
        assert_eq!(done(Action::Insert, None), Some(true));
        assert_eq!(done(Action::Overwrite, Some(1)), Some(false));
        assert_eq!(done(Action::Overwrite, None), None, "it was removed");
        assert_eq!(done(Action::Overwrite, Some(3)), None, "by now it is the newer one");
    }
}

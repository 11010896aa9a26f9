//! Reading again what was written, and holding it against the snapshot.

use super::{
    Error,
    data::Work,
    job::Job,
    live,
    pairs::{Ground, How, Ours, pairs},
    prepare::Prepared,
    tally::{Check, Counts},
    weigh::weigh,
};
use crate::{limits::SCAN_FAILURES_MAX, progress::Progress};

impl Prepared<'_> {
    /// What was found; and why nothing was, if the user may not read.
    pub(super) fn verify(
        &self,
        job: &Job,
        work: &Work,
        progress: &Progress,
    ) -> Result<(Check, Option<String>), Error> {
        if job.is_view() || job.plan.counts.writing() == 0 {
            return Ok((Check::Nothing, None));
        }
        let mut failures = 0;
        loop {
            let check = match job.makes_it() {
                true => live::digest(self.link, &job.place, progress)
                    .map(|live| Check::Whole { snapshot: work.written, live }),
                false => self.verify_beside(job, work, progress),
            };
            match check {
                Ok(check) => return Ok((check, None)),
                // Who may only restore may not read.
                Err(Error::Sink(error)) if error.cause().is_unauthorized() => {
                    let why = error.cause();
                    let trouble = format!("what was written was not read again: {why}");
                    return Ok((Check::Nothing, Some(trouble)));
                }
                Err(Error::Sink(error))
                    if error.cause().is_passing() && failures < SCAN_FAILURES_MAX =>
                {
                    failures += 1;
                    self.link.pause_after(failures);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn verify_beside(&self, job: &Job, work: &Work, progress: &Progress) -> Result<Check, Error> {
        let Some(root) = job.chosen.root else { return Ok(Check::Nothing) };
        let spill = self.spill();
        let ground = Ground {
            link: self.link,
            place: &job.place,
            strategy: &self.options.strategy,
            spill: &spill,
            progress,
        };
        let matches = self.options.matches.as_ref();
        let ours: Ours<'_> = Box::new(job.documents((&self.reader, &root), matches, progress));
        let weighed = if job.in_order() {
            super::capped::weigh(&ground, ours, &mut |_| Ok(()))?
        } else {
            let options = job.kept.as_ref().map_or(&[][..], |kept| &kept.options);
            let how = How::best_for(job.plan.counts.documents(), options);
            weigh(&ground, pairs(&ground, ours, how)?, &mut |_| Ok(()))?
        };
        let came_between = work.outcome.conflicts - job.plan.counts.conflict;
        Ok(check(&job.plan.counts, &weighed.counts, came_between))
    }
}

/// Of `found`, what the snapshot and the collection are to each other after what was `planned`.
fn check(planned: &Counts, found: &Counts, came_between: u64) -> Check {
    // What was merged has all that the snapshot's has, and may well differ from it.
    let may_differ = planned.skip + planned.merge;
    // What was to stay stays; of what was written nothing is to be written, nor differs.
    let differ = found.conflict.saturating_sub(planned.conflict)
        + found.skip.saturating_sub(may_differ)
        + found.writing();
    let right = found.equal + found.skip.min(may_differ);
    Check::Beside { right, wrong: differ.saturating_sub(came_between) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_and_differs_is_wrong_whatever_becomes_of_those_that_differ() {
        let nothing = Counts::default();
        let inserted = Counts { insert: 5, equal: 1, ..nothing };
        for (found, right) in [
            (Counts { equal: 5, conflict: 1, ..nothing }, 5),
            (Counts { equal: 5, skip: 1, ..nothing }, 5),
            (Counts { equal: 5, insert: 1, ..nothing }, 5),
            (Counts { equal: 5, overwrite: 1, ..nothing }, 5),
        ] {
            assert_eq!(check(&inserted, &found, 0), Check::Beside { right, wrong: 1 }, "{found:?}");
            // It was told already.
            assert_eq!(check(&inserted, &found, 1), Check::Beside { right, wrong: 0 }, "{found:?}");
        }
        let stay = Counts { insert: 1, conflict: 2, skip: 3, ..nothing };
        let found = Counts { equal: 1, conflict: 2, skip: 3, ..nothing };
        assert_eq!(check(&stay, &found, 0), Check::Beside { right: 4, wrong: 0 });
        let merged = Counts { merge: 3, ..nothing };
        let found = Counts { equal: 1, skip: 2, ..nothing };
        assert_eq!(check(&merged, &found, 0), Check::Beside { right: 3, wrong: 0 });
    }
}

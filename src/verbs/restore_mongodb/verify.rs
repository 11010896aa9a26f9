//! Reading again what was written, and holding it against the snapshot.

use super::{
    Error,
    data::Work,
    documents::Documents,
    job::Job,
    live,
    pairs::{Ground, How, Ours, pairs},
    prepare::Prepared,
    tally::Check,
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
        // What was a conflict in the plan was not to be written, and is none of these.
        let came_between = work.outcome.conflicts - job.plan.counts.conflict;
        let wrong = counts.writing().saturating_sub(came_between);
        Ok(Check::Beside { right: counts.equal + counts.skip, wrong })
    }
}

//! What a restore without a record is to write beside other documents: it lies in no repository,
//! but where sorts spill.

use std::{
    iter::Peekable,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;

use super::{
    Error,
    live::Spill,
    record::{Recorded, Recording},
    weigh::Step,
};
use crate::source::sorter::{Sorted, Sorter};

/// Where steps go.
pub(super) enum Keeper<'a> {
    Recorded(Box<Recording<'a>>),
    /// Of that job.
    Kept(&'a StepsIn, u32),
    Dropped,
}

impl Keeper<'_> {
    pub fn keeps(&self) -> bool {
        !matches!(self, Keeper::Dropped)
    }

    pub fn step(&mut self, key: &[u8], step: &Step) -> Result<(), Error> {
        match self {
            Keeper::Recorded(recording) => recording.step(key, step),
            Keeper::Kept(steps, job) => steps.push(*job, key, step),
            Keeper::Dropped => Ok(()),
        }
    }

    pub fn finish(self) -> Result<Option<Recorded>, Error> {
        match self {
            Keeper::Recorded(recording) => recording.finish().map(Some),
            Keeper::Kept(..) | Keeper::Dropped => Ok(None),
        }
    }
}

/// Steps under their jobs' numbers and the keys of the live `_id`s.
pub(super) struct StepsIn(Mutex<Sorter>);

/// The same, to be read from the first job to the last, and once more.
pub(super) struct Steps(Mutex<Reading>);

struct Reading {
    steps: Peekable<Sorted>,
    /// Those that were read.
    again: Sorter,
}

impl StepsIn {
    pub fn new(spill: &Spill<'_>) -> Self {
        StepsIn(Mutex::new(spill.sorter()))
    }

    pub fn push(&self, job: u32, key: &[u8], step: &Step) -> Result<(), Error> {
        let key = [&job.to_be_bytes()[..], key].concat();
        let mut sorter = self.0.lock().expect("nothing panics while it pushes");
        Ok(sorter.push(&key, &step.encode()?)?)
    }

    pub fn finish(self, spill: &Spill<'_>) -> Result<Steps, Error> {
        let sorter = self.0.into_inner().expect("nothing panics while it pushes");
        let (steps, again) = (sorter.finish()?.peekable(), spill.sorter());
        Ok(Steps(Mutex::new(Reading { steps, again })))
    }
}

impl Steps {
    /// Those of one job; jobs come in their order.
    pub fn of(
        &self,
        job: u32,
        take: &mut dyn FnMut(Bytes, Step) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut reading = self.reading();
        let is_near = |found: &Result<(Bytes, Bytes), _>| match found {
            Ok((key, _)) => number(key) <= job,
            Err(_) => true,
        };
        while let Some(found) = reading.steps.next_if(is_near) {
            let (key, step) = found?;
            reading.again.push(&key, &step)?;
            // Jobs before it left theirs alone.
            if number(&key) == job {
                let step = Step::decode(&step).expect("the plan wrote it");
                take(key.slice(4..), step)?;
            }
        }
        Ok(())
    }

    /// From the first job on.
    pub fn rewind(&self, spill: &Spill<'_>) -> Result<(), Error> {
        let mut reading = self.reading();
        while let Some(found) = reading.steps.next() {
            let (key, step) = found?;
            reading.again.push(&key, &step)?;
        }
        let read = std::mem::replace(&mut reading.again, spill.sorter());
        reading.steps = read.finish()?.peekable();
        Ok(())
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().expect("nothing panics while it reads")
    }
}

fn number(key: &[u8]) -> u32 {
    u32::from_be_bytes(key[..4].try_into().expect("each begins with one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ambient::Ambient,
        verbs::restore_mongodb::touched::{Action, Touched},
    };

    #[test]
    fn steps_are_read_job_by_job_and_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let (ambient, _) = Ambient::fixed(1);
        let spill = Spill { dir: dir.path(), ambient: &ambient };
        let steps = StepsIn::new(&spill);
        for (job, key) in [(0, b"b"), (0, b"a"), (1, b"c"), (300, b"d")] {
            let id = Bytes::copy_from_slice(key);
            let action = Action::Insert;
            let touched = Touched { action, written: [0; 32], id, source_key: None };
            steps.push(job, key, &Step { touched, was: None }).unwrap();
        }
        let steps = steps.finish(&spill).unwrap();
        let of = |job| {
            let mut found = Vec::new();
            let mut take = |key: Bytes, step: Step| {
                assert_eq!(key, step.touched.id);
                found.push(key);
                Ok(())
            };
            steps.of(job, &mut take).unwrap();
            found.concat()
        };
        assert_eq!([of(0), of(300)], [b"ab".to_vec(), b"d".to_vec()]);
        for _ in 0..2 {
            steps.rewind(&spill).unwrap();
            assert_eq!([of(0), of(1), of(2)], [b"ab".to_vec(), b"c".to_vec(), Vec::new()]);
        }
    }
}

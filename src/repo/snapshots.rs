//! The snapshots there are, and which of them someone asked to forget.

use std::sync::Mutex;

use hashbrown::HashMap;

use super::{Damage, Error, Repository, layout};
use crate::{
    format::{gc::Tombstone, slot::Slot, snapshot::Snapshot},
    id::Sid,
    store::{Listed, list_all},
};

/// A committed snapshot that is still in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub sid: Sid,
    pub snapshot: Snapshot,
    /// The earliest tombstone, if there is one.
    pub forgotten: Option<Tombstone>,
}

/// All that could be told of the snapshots.
#[derive(Debug, Default)]
pub struct Survey {
    /// By time, then by sid.
    pub kept: Vec<Kept>,
    /// Sessions that a collector fenced.
    pub aborted: Vec<Sid>,
    /// Slots and tombstones that can't be read.
    pub damage: Vec<Damage>,
}

const READ_AT_ONCE: usize = 8;

impl Repository {
    /// All snapshots, forgotten ones too, by time. A slot or tombstone that can't be read is an
    /// error: collectors must know every root.
    pub fn snapshots(&self) -> Result<Vec<Kept>, Error> {
        let mut survey = self.survey()?;
        match survey.damage.pop() {
            Some(damage) => Err(damage.error),
            None => Ok(survey.kept),
        }
    }

    /// As `snapshots`, and what can't be read is told apart: the rest can be worked with.
    pub fn survey(&self) -> Result<Survey, Error> {
        let slots = list_all(&**self.store(), layout::SNAPSHOTS)?;
        let stones = list_all(&**self.store(), layout::TOMBSTONES)?;
        let survey = Mutex::new(Survey::default());
        let forgotten = Mutex::new(HashMap::<Sid, Tombstone>::new());
        self.each_at_once(&stones, |listed| {
            match self.get_record_if_there::<Tombstone>(&listed.name) {
                Ok(None) => Ok(()),
                Ok(Some(stone)) => {
                    let mut forgotten = forgotten.lock().expect("no code panics holding it");
                    let first = forgotten.entry(stone.snapshot).or_insert_with(|| stone.clone());
                    if stone.time < first.time {
                        *first = stone;
                    }
                    Ok(())
                }
                Err(error) => note(&survey, listed, error),
            }
        })?;
        let forgotten = forgotten.into_inner().expect("no code panics holding it");
        self.each_at_once(&slots, |listed| {
            let Some(sid) = layout::id::<Sid>(listed) else { return Ok(()) };
            match self.get_record_if_there::<Slot>(&listed.name) {
                Ok(None) => {}
                Ok(Some(Slot::Abort { .. })) => lock(&survey).aborted.push(sid),
                Ok(Some(Slot::Commit { snapshot, .. })) => {
                    let forgotten = forgotten.get(&sid).cloned();
                    lock(&survey).kept.push(Kept { sid, snapshot: *snapshot, forgotten });
                }
                Err(error) => return note(&survey, listed, error),
            }
            Ok(())
        })?;
        let mut survey = survey.into_inner().expect("no code panics holding it");
        survey.kept.sort_by_key(|kept| (kept.snapshot.time, kept.sid));
        survey.damage.sort_by(|a, b| a.object.cmp(&b.object));
        survey.aborted.sort();
        Ok(survey)
    }

    /// Does `work` for each, several at once: a far store takes long for each small object.
    pub(super) fn each_at_once<T: Sync>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let run = || -> Result<(), Error> {
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(item) = items.get(at) else { return Ok(()) };
                if let Err(error) = work(item) {
                    next.store(items.len(), std::sync::atomic::Ordering::Relaxed);
                    return Err(error);
                }
            }
        };
        if items.len() < 2 {
            return run();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..READ_AT_ONCE.min(items.len())).map(|_| scope.spawn(run)).collect();
            let mut result = Ok(());
            for thread in threads {
                let ended = thread.join().expect("readers do not panic");
                result = result.and(ended);
            }
            result
        })
    }
}

fn lock(survey: &Mutex<Survey>) -> std::sync::MutexGuard<'_, Survey> {
    survey.lock().expect("no code panics holding it")
}

/// Damage is noted; a failure of the store ends the survey.
fn note(survey: &Mutex<Survey>, listed: &Listed, error: Error) -> Result<(), Error> {
    if !error.is_damage() {
        return Err(error);
    }
    lock(survey).damage.push(Damage { object: listed.name.clone(), error });
    Ok(())
}

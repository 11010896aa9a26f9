//! Document by document: what is to be done, counted, and handed to whoever records it.

use bytes::Bytes;

use super::{
    Error,
    live::{self, Live},
    pairs::{Ground, Pair, Pairs, Theirs},
    strategy::Verdict,
    tally::{Counts, Sample, sample},
    touched::{Action, Touched},
};

/// A document that will be written.
pub(super) struct Step {
    pub touched: Touched,
    /// What stands there, if anything does.
    pub was: Option<Live>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Weighed {
    pub counts: Counts,
    pub samples: Vec<Sample>,
    /// Of those that are equal, in a collection that keeps its order.
    pub equal_bytes: u64,
    /// Some of those that are to be appended to it.
    pub appended: Vec<Sample>,
}

/// Judges every pair. `take` gets what is to be written; in the order of keys, if documents are
/// matched by `_id`.
pub(super) fn weigh(
    ground: &Ground<'_>,
    pairs: Pairs<'_>,
    take: &mut dyn FnMut(Step) -> Result<(), Error>,
) -> Result<Weighed, Error> {
    let (weighed, inserts) = (Weighed::default(), Vec::new());
    let mut scale = Scale { ground, weighed, inserts, inserts_bytes: 0, take };
    for (number, pair) in pairs.enumerate() {
        if number % 1024 == 0 {
            super::go_on(ground.progress)?;
        }
        let pair = pair?;
        ground.progress.done(1, pair.ours.len() as u64);
        scale.pair(pair)?;
    }
    scale.look_up_inserts()?;
    Ok(scale.weighed)
}

struct Scale<'a> {
    ground: &'a Ground<'a>,
    weighed: Weighed,
    /// Matched by other fields, a new document's `_id` may be taken: these are to be looked up.
    inserts: Vec<(Bytes, Bytes)>,
    inserts_bytes: usize,
    take: &'a mut dyn FnMut(Step) -> Result<(), Error>,
}

const TAKEN: &str = "its _id belongs to another document there";

impl Scale<'_> {
    fn by_id(&self) -> bool {
        self.ground.strategy.match_on.is_empty()
    }

    fn pair(&mut self, pair: Pair) -> Result<(), Error> {
        let Pair { key, ours, theirs } = pair;
        let live = match theirs {
            Theirs::None if self.by_id() => return self.insert(key, &ours),
            Theirs::None => {
                self.inserts_bytes += ours.len();
                self.inserts.push((key, ours));
                let is_full = live::is_full(self.inserts.len(), self.inserts_bytes);
                return if is_full { self.look_up_inserts() } else { Ok(()) };
            }
            Theirs::Several(why) => return self.left("conflict", &ours, Some(why)),
            Theirs::One(live) => live,
        };
        if self.by_id() && live.is(&ours) {
            self.weighed.counts.equal += 1;
            return Ok(());
        }
        let Some(theirs) = live.whole(self.ground.link, self.ground.place)? else {
            return self.insert(key, &ours);
        };
        let verdict = match self.ground.strategy.judge(&ours, &theirs) {
            Ok(verdict) => verdict,
            // The others can be judged.
            Err(why) => return self.left("conflict", &ours, Some(&why.to_string())),
        };
        match verdict {
            Verdict::Equal => {
                self.weighed.counts.equal += 1;
                Ok(())
            }
            Verdict::Skip => self.left("skip", &ours, None),
            Verdict::Conflict(why) => self.left("conflict", &ours, Some(why)),
            Verdict::Overwrite(new) => self.change(Action::Overwrite, key, &new, theirs),
            Verdict::Merge(new) => self.change(Action::Merge, key, &new, theirs),
        }
    }

    fn insert(&mut self, key: Bytes, ours: &Bytes) -> Result<(), Error> {
        self.weighed.counts.insert += 1;
        self.weighed.counts.bytes += ours.len() as u64;
        let touched = self.touched(Action::Insert, key, ours, ours)?;
        (self.take)(Step { touched, was: None })
    }

    fn change(
        &mut self,
        action: Action,
        key: Bytes,
        new: &Bytes,
        theirs: Bytes,
    ) -> Result<(), Error> {
        let what = match action {
            Action::Merge => "merge",
            _ => "overwrite",
        };
        match action {
            Action::Merge => self.weighed.counts.merge += 1,
            _ => self.weighed.counts.overwrite += 1,
        }
        self.weighed.counts.bytes += new.len() as u64;
        let touched = self.touched(action, key, new, &theirs)?;
        let id = touched.id.clone();
        sample(&mut self.weighed.samples, Sample { what, id, why: None });
        (self.take)(Step { touched, was: Some(Live::Whole(theirs)) })
    }

    fn touched(
        &self,
        action: Action,
        key: Bytes,
        new: &[u8],
        theirs: &[u8],
    ) -> Result<Touched, Error> {
        Ok(Touched {
            action,
            written: *blake3::hash(new).as_bytes(),
            id: live::id_of(theirs)?.into(),
            source_key: (!self.by_id()).then_some(key),
        })
    }

    /// A document that stays as it is there.
    fn left(&mut self, what: &'static str, ours: &[u8], why: Option<&str>) -> Result<(), Error> {
        match why {
            Some(_) => self.weighed.counts.conflict += 1,
            None => self.weighed.counts.skip += 1,
        }
        let (id, why) = (live::id_of(ours)?.into(), why.map(str::to_owned));
        sample(&mut self.weighed.samples, Sample { what, id, why });
        Ok(())
    }

    fn look_up_inserts(&mut self) -> Result<(), Error> {
        if self.inserts.is_empty() {
            return Ok(());
        }
        self.inserts_bytes = 0;
        let inserts = std::mem::take(&mut self.inserts);
        let taken = live::looked_up(self.ground.link, self.ground.place, &inserts)?;
        for (key, ours) in inserts {
            if taken.contains_key(&key[..]) {
                self.left("conflict", &ours, Some(TAKEN))?;
            } else {
                self.insert(key, &ours)?;
            }
        }
        Ok(())
    }
}

impl Step {
    /// For a sorter: the length of `touched` (u32, little-endian), `touched`, what was there (a
    /// long document by its hash).
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let touched = self.touched.encode();
        let length = (touched.len() as u32).to_le_bytes();
        let was = match &self.was {
            Some(Live::Whole(document)) => Live::of(document)?.encode(),
            Some(long) => long.encode(),
            None => Vec::new(),
        };
        Ok([&length[..], &touched, &was].concat())
    }

    /// `None`: nothing that `encode` made.
    pub fn decode(bytes: &Bytes) -> Option<Step> {
        let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let touched = Touched::decode(&bytes.slice(4..4 + length))?;
        let was = bytes.slice(4 + length..);
        Some(Step { touched, was: (!was.is_empty()).then(|| Live::decode(&was)) })
    }
}

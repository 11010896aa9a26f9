//! Which snapshots a policy keeps, and why: restic's rules, as a pure function.

use std::{fmt, num::NonZeroU32, str::FromStr};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::within::Within;

/// How many snapshots of a kind a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    #[default]
    None,
    Count(NonZeroU32),
    Unlimited,
}

/// A text that is no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wanted a number, or `unlimited`")]
pub struct NotACount;

impl FromStr for Keep {
    type Err = NotACount;
    fn from_str(text: &str) -> Result<Self, NotACount> {
        // restic's older way of saying it.
        if ["unlimited", "-1"].contains(&text) {
            return Ok(Keep::Unlimited);
        }
        let count: u32 = text.parse().map_err(|_| NotACount)?;
        Ok(NonZeroU32::new(count).map_or(Keep::None, Keep::Count))
    }
}

impl Keep {
    fn wants_more(&self) -> bool {
        *self != Keep::None
    }

    fn spend(&mut self) {
        if let Keep::Count(count) = self {
            *self = NonZeroU32::new(count.get() - 1).map_or(Keep::None, Keep::Count);
        }
    }
}

/// A stretch of the calendar of which one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// Each snapshot is its own.
    Last,
    Hourly,
    Daily,
    /// ISO 8601: from Monday to Sunday.
    Weekly,
    Monthly,
    Yearly,
}

impl Period {
    pub const ALL: [Period; 6] = [
        Period::Last,
        Period::Hourly,
        Period::Daily,
        Period::Weekly,
        Period::Monthly,
        Period::Yearly,
    ];

    /// Two moments of one period give the same answer, moments of different periods different
    /// ones. `place` tells snapshots apart where each is its own period.
    fn of(self, time: &Zoned, place: usize) -> [i64; 4] {
        let (year, month) = (i64::from(time.year()), i64::from(time.month()));
        let (day, hour) = (i64::from(time.day()), i64::from(time.hour()));
        match self {
            Period::Last => [place as i64, 0, 0, 0],
            Period::Hourly => [year, month, day, hour],
            Period::Daily => [year, month, day, 0],
            Period::Weekly => {
                let week = time.date().iso_week_date();
                [i64::from(week.year()), i64::from(week.week()), 0, 0]
            }
            Period::Monthly => [year, month, 0, 0],
            Period::Yearly => [year, 0, 0, 0],
        }
    }

    fn word(self) -> &'static str {
        match self {
            Period::Last => "last",
            Period::Hourly => "hourly",
            Period::Daily => "daily",
            Period::Weekly => "weekly",
            Period::Monthly => "monthly",
            Period::Yearly => "yearly",
        }
    }
}

/// What to keep; a snapshot that no rule keeps is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// In the order of `Period::ALL`.
    pub counts: [Keep; 6],
    /// All newer than this before the newest snapshot.
    pub within: Option<Within>,
    /// One a period, of those newer than this; in the order of `Period::ALL`, the first unused.
    pub within_periods: [Option<Within>; 6],
    /// Snapshots that have all the tags of one of these lists. `[""]` means: that have no tag.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// An empty policy would forget everything.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }
}

/// What a policy looks at.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub time: Timestamp,
    pub tags: &'a [String],
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Tagged(Vec<String>),
    Within(Within),
    Newest(Period),
    /// No older snapshot is there to fill the count, so the oldest stays.
    Oldest(Period),
    NewestWithin(Period, Within),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Tagged(tags) if tags.iter().all(String::is_empty) => write!(f, "has no tag"),
            Reason::Tagged(tags) => write!(f, "has tags {}", tags.join(",")),
            Reason::Within(within) => write!(f, "within {within}"),
            Reason::Newest(period) => write!(f, "{} snapshot", period.word()),
            Reason::Oldest(period) => write!(f, "oldest {} snapshot", period.word()),
            Reason::NewestWithin(period, within) => write!(f, "{} within {within}", period.word()),
        }
    }
}

/// The reasons each candidate is kept for, in the order of `candidates`; none: it is forgotten.
/// Calendar periods are those of `zone`, stretches count back from the newest candidate.
pub fn decide(policy: &Policy, candidates: &[Candidate], zone: &TimeZone) -> Vec<Vec<Reason>> {
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    newest_first.sort_by_key(|&at| std::cmp::Reverse(candidates[at].time));
    let mut reasons = vec![Vec::new(); candidates.len()];
    let Some(newest) = newest_first.first().map(|&at| candidates[at].time) else { return reasons };
    let newest = newest.to_zoned(zone.clone());
    let mut counters = policy.counts;
    let mut last_of_count = [None; 6];
    let mut last_within = [None; 6];
    for (place, &at) in newest_first.iter().enumerate() {
        let candidate = &candidates[at];
        let time = candidate.time.to_zoned(zone.clone());
        let is_oldest = place + 1 == candidates.len();
        let kept = &mut reasons[at];
        kept.extend(tagged(policy, candidate.tags));
        kept.extend(policy.within.filter(|w| time > w.before(&newest)).map(Reason::Within));
        for (n, period) in Period::ALL.into_iter().enumerate() {
            let stretch = Some(period.of(&time, place));
            if counters[n].wants_more() && (stretch != last_of_count[n] || is_oldest) {
                let seen = stretch == last_of_count[n];
                kept.push(if seen { Reason::Oldest(period) } else { Reason::Newest(period) });
                last_of_count[n] = stretch;
                counters[n].spend();
            }
        }
        for (n, period) in Period::ALL.into_iter().enumerate() {
            let stretch = Some(period.of(&time, place));
            let within = policy.within_periods[n].filter(|within| time > within.before(&newest));
            if let Some(within) = within
                && (stretch != last_within[n] || is_oldest)
            {
                kept.push(Reason::NewestWithin(period, within));
                last_within[n] = stretch;
            }
        }
    }
    reasons
}

fn tagged<'a>(policy: &'a Policy, tags: &'a [String]) -> impl Iterator<Item = Reason> + 'a {
    let has = |wanted: &Vec<String>| {
        wanted.iter().all(|tag| if tag.is_empty() { tags.is_empty() } else { tags.contains(tag) })
    };
    policy.tags.iter().filter(move |wanted| has(wanted)).cloned().map(Reason::Tagged)
}

#[cfg(test)]
mod tests;

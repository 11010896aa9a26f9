//! Which snapshots there are, and under which names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;

use crate::{ambient::Ambient, id::Sid, tree::Root};

/// Snapshots made meanwhile show up after this time.
const FRESH: Duration = Duration::from_secs(10);

/// A snapshot with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelved {
    pub sid: Sid,
    pub time: Timestamp,
    pub root: Root,
}

/// Asks for all snapshots; `None` when that fails just now: then those known stay.
pub type List = Box<dyn Fn() -> Option<Vec<Shelved>> + Send + Sync>;

/// The names at one moment.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub by_id: BTreeMap<String, Shelved>,
    /// To names of `by_id`.
    pub by_date: BTreeMap<String, String>,
    pub latest: Option<String>,
}

pub(super) struct Shelf {
    list: List,
    ambient: Ambient,
    known: Mutex<(Arc<Names>, Option<Duration>)>,
}

impl Shelf {
    pub fn new(list: List, ambient: Ambient) -> Self {
        Shelf { list, ambient, known: Mutex::default() }
    }

    pub fn names(&self) -> Arc<Names> {
        let mut known = self.known.lock().expect("nothing panics while it holds them");
        let now = self.ambient.clock.monotonic();
        let stale = known.1.is_none_or(|asked| now.saturating_sub(asked) >= FRESH);
        if stale && let Some(snapshots) = (self.list)() {
            *known = (Arc::new(Names::of(snapshots)), Some(now));
        }
        known.0.clone()
    }
}

impl Names {
    fn of(mut snapshots: Vec<Shelved>) -> Self {
        snapshots.sort_by_key(|shelved| (shelved.time, *shelved.sid.bytes()));
        let mut alike: HashMap<String, u32> = HashMap::new();
        for shelved in &snapshots {
            *alike.entry(shelved.sid.short()).or_default() += 1;
        }
        let mut names = Names::default();
        for shelved in snapshots {
            let short = shelved.sid.short();
            let id = if alike[&short] > 1 { shelved.sid.to_string() } else { short };
            let date = shelved.time.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
            let date = match names.by_date.contains_key(&date) {
                true => format!("{date}-{id}"),
                false => date,
            };
            names.by_date.insert(date, id.clone());
            names.latest = Some(id.clone());
            names.by_id.insert(id, shelved);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BlobId;

    fn shelved(id: u8, second: i64) -> Shelved {
        let root = Root { id: BlobId::new([0; 32]), level: 0, entries: 0, bytes: 0 };
        let time = Timestamp::from_second(second).unwrap();
        let mut sid = [7; 16];
        (sid[0], sid[15]) = (id / 10, id);
        Shelved { sid: Sid::new(sid), time, root }
    }

    #[test]
    fn names_are_short_where_they_can_be_and_never_the_same() {
        let names = Names::of(vec![shelved(25, 200), shelved(1, 100), shelved(26, 200)]);
        let ids: Vec<&str> = names.by_id.keys().map(String::as_str).collect();
        assert_eq!(ids[0], "00070707");
        assert!(ids[1].len() == 32 && ids[2].len() == 32);
        let dates: Vec<&str> = names.by_date.keys().map(String::as_str).collect();
        assert_eq!(dates[..2], ["1970-01-01T00-01-40Z", "1970-01-01T00-03-20Z"]);
        assert_eq!(dates[2], format!("1970-01-01T00-03-20Z-{}", ids[2]));
        assert_eq!(names.latest.as_deref(), Some(ids[2]));
    }

    #[test]
    fn what_cannot_be_listed_now_stays_as_it_was() {
        let (ambient, clock) = Ambient::fixed(1);
        let asked = std::sync::atomic::AtomicU32::new(0);
        let shelf = Shelf::new(
            Box::new(move || match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Some(vec![shelved(1, 1)]),
                1 => None,
                _ => Some(vec![shelved(1, 1), shelved(2, 2), shelved(13, 3)]),
            }),
            ambient,
        );
        assert_eq!(shelf.names().by_id.len(), 1);
        assert_eq!(shelf.names().by_id.len(), 1);
        clock.advance(FRESH);
        assert_eq!(shelf.names().by_id.len(), 1);
        assert_eq!(shelf.names().by_id.len(), 3);
    }
}

//! Which snapshots are meant: by id, by its beginning, by `latest`, by filters; and groups of them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{
    address::Address,
    restore_mongodb::{UNDO_ROOT, UNDO_TAG},
};
use crate::{format::snapshot::Snapshot, id::Sid, repo::Kept};

/// What a snapshot must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these; none given: any.
    pub hosts: Vec<String>,
    /// All tags of any of these lists; `[""]` means: no tag.
    pub tags: Vec<Vec<String>>,
    /// All of these.
    pub paths: Vec<String>,
}

impl Filter {
    pub fn takes(&self, snapshot: &Snapshot) -> bool {
        let has = |tag: &String| match tag.as_str() {
            "" => snapshot.tags.is_empty(),
            _ => snapshot.tags.contains(tag),
        };
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && (self.tags.is_empty() || self.tags.iter().any(|list| list.iter().all(has)))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
    }
}

/// A snapshot as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// So many before the newest.
    Latest { back: usize },
    /// The beginning of an id, or all of it, in lower case.
    Id(String),
}

/// A snapshot, and perhaps a place in it: `latest:/etc`, `latest:shop.orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub name: Name,
    pub place: Place,
}

/// A place in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Whole,
    /// Absolute, as it was typed: any bytes.
    Path(Vec<u8>),
    /// A database, a collection or a document.
    Mongodb(Address),
}

impl Reference {
    /// As it was typed. A path may be any bytes, all else is text.
    pub fn parse(typed: &[u8]) -> Result<Self, NotOne> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let colon = typed.iter().position(|&byte| byte == b':');
        let name = &typed[..colon.unwrap_or(typed.len())];
        let name = match str::from_utf8(name) {
            Ok(name) => name.parse()?,
            Err(_) => return Err(NotOne::Unreadable { text: lossy(name) }),
        };
        let place = match colon.map(|colon| &typed[colon + 1..]) {
            None => Place::Whole,
            Some(path) if path.starts_with(b"/") => Place::Path(path.to_owned()),
            Some(place) => match str::from_utf8(place) {
                Ok(place) => Place::Mongodb(place.parse()?),
                Err(_) => return Err(NotOne::NoPlace { text: lossy(place) }),
            },
        };
        Ok(Reference { name, place })
    }

    /// The path, if one was given, for a verb that knows files only.
    pub fn path(&self) -> Result<Option<&[u8]>, NotOne> {
        match &self.place {
            Place::Whole => Ok(None),
            Place::Path(path) => Ok(Some(path)),
            Place::Mongodb(address) => Err(NotOne::NotAPath { text: address.to_string() }),
        }
    }
}

/// Why a name names no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOne {
    #[error(
        "`{text}` names no snapshot: wanted an id, the beginning of one, `latest` or `latest~N`"
    )]
    Unreadable { text: String },
    #[error(
        "`{text}` is no place in a snapshot: wanted `/a/path`, `db`, `db.collection` or \
         `db.collection/ID`"
    )]
    NoPlace { text: String },
    #[error("`{text}` is no path: a path in a snapshot begins with a slash")]
    NotAPath { text: String },
    #[error("no snapshot matches `{name}`")]
    Unknown { name: Name },
    #[error("`{name}` was forgotten")]
    Forgotten { name: Name, sid: Sid },
    #[error("`{name}` is not forgotten")]
    NotForgotten { name: Name },
    #[error("`{name}` may be any of {}", shorts(candidates))]
    Ambiguous { name: Name, candidates: Vec<Sid> },
    #[error("`{name}`: there are {have} snapshots that match")]
    TooFarBack { name: Name, have: usize },
}

// Enough digits to tell them apart are more than most want to read.
fn shorts(sids: &[Sid]) -> String {
    let mut all: Vec<String> =
        sids.iter().take(8).map(|sid| sid.to_string()[..12].into()).collect();
    if sids.len() > all.len() {
        all.push(format!("{} more", sids.len() - all.len()));
    }
    all.join(", ")
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Latest { back: 0 } => f.write_str("latest"),
            Name::Latest { back } => write!(f, "latest~{back}"),
            Name::Id(digits) => f.write_str(digits),
        }
    }
}

impl FromStr for Name {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let unreadable = || NotOne::Unreadable { text: text.to_owned() };
        if text == "latest" {
            return Ok(Name::Latest { back: 0 });
        }
        if let Some(back) = text.strip_prefix("latest~") {
            return Ok(Name::Latest { back: back.parse().map_err(|_| unreadable())? });
        }
        let hex = !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
        if hex && text.len() <= 32 {
            Ok(Name::Id(text.to_ascii_lowercase()))
        } else {
            Err(unreadable())
        }
    }
}

/// Each text as a name.
pub fn names(texts: &[String]) -> Result<Vec<Name>, NotOne> {
    texts.iter().map(|text| text.parse()).collect()
}

impl FromStr for Reference {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        Reference::parse(text.as_bytes())
    }
}

/// The one that `name` means among those not forgotten. `all` is sorted by time; the filter
/// counts for `latest` only: an id is clear enough.
pub fn one<'a>(all: &'a [Kept], name: &Name, filter: &Filter) -> Result<&'a Kept, NotOne> {
    match name {
        Name::Latest { back } => {
            let matching = backups(all, filter);
            let place = matching.len().checked_sub(*back).and_then(|place| place.checked_sub(1));
            place.map(|place| matching[place]).ok_or_else(|| {
                if matching.is_empty() {
                    NotOne::Unknown { name: name.clone() }
                } else {
                    NotOne::TooFarBack { name: name.clone(), have: matching.len() }
                }
            })
        }
        Name::Id(digits) => match by_id(live(all), name, digits) {
            Err(NotOne::Unknown { .. }) => {
                let kept = by_id(forgotten(all), name, digits)?;
                Err(NotOne::Forgotten { name: name.clone(), sid: kept.sid })
            }
            found => found,
        },
    }
}

/// Whether it is the record of a restore, and no backup.
pub fn is_record(snapshot: &Snapshot) -> bool {
    snapshot.roots.iter().any(|root| root.name == UNDO_ROOT)
}

/// The record of a restore is meant only if its tag is asked for.
fn is_passed_by(kept: &Kept, filter: &Filter) -> bool {
    is_record(&kept.snapshot) && !filter.tags.iter().flatten().any(|tag| tag == UNDO_TAG)
}

/// The backups that the filter takes, in the order of `all`; with the tag of records in the
/// filter, those records as well.
pub fn backups<'a>(all: &'a [Kept], filter: &Filter) -> Vec<&'a Kept> {
    let is_meant = |kept: &&Kept| filter.takes(&kept.snapshot) && !is_passed_by(kept, filter);
    live(all).filter(is_meant).collect()
}

/// The forgotten one that `name` means.
pub fn one_forgotten<'a>(all: &'a [Kept], name: &Name) -> Result<&'a Kept, NotOne> {
    match name {
        Name::Latest { .. } => Err(NotOne::NotForgotten { name: name.clone() }),
        Name::Id(digits) => by_id(forgotten(all), name, digits).map_err(|error| {
            let is_live =
                matches!(error, NotOne::Unknown { .. }) && by_id(live(all), name, digits).is_ok();
            if is_live { NotOne::NotForgotten { name: name.clone() } } else { error }
        }),
    }
}

/// Those that `names` mean, each once, in the order of `all`; without names, all that the filter
/// takes, records of restores among them.
pub fn several<'a>(
    all: &'a [Kept],
    names: &[Name],
    filter: &Filter,
) -> Result<Vec<&'a Kept>, NotOne> {
    if names.is_empty() {
        return Ok(live(all).filter(|kept| filter.takes(&kept.snapshot)).collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        chosen.push(one(all, name, filter)?.sid);
    }
    Ok(live(all).filter(|kept| chosen.contains(&kept.sid)).collect())
}

pub fn live(all: &[Kept]) -> impl Iterator<Item = &Kept> {
    all.iter().filter(|kept| kept.forgotten.is_none())
}

pub fn forgotten(all: &[Kept]) -> impl Iterator<Item = &Kept> {
    all.iter().filter(|kept| kept.forgotten.is_some())
}

fn by_id<'a>(
    among: impl Iterator<Item = &'a Kept>,
    name: &Name,
    digits: &str,
) -> Result<&'a Kept, NotOne> {
    let found: Vec<&Kept> = among.filter(|kept| kept.sid.to_string().starts_with(digits)).collect();
    match found[..] {
        [] => Err(NotOne::Unknown { name: name.clone() }),
        [one] => Ok(one),
        _ => {
            let candidates = found.iter().map(|kept| kept.sid).collect();
            Err(NotOne::Ambiguous { name: name.clone(), candidates })
        }
    }
}

/// What makes snapshots a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    pub host: bool,
    pub paths: bool,
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        GroupBy { host: true, paths: true, tags: false }
    }
}

/// A text that is no list of what makes a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` makes no group: wanted some of host, paths, tags, with commas between")]
pub struct NotAGroup {
    pub word: String,
}

impl FromStr for GroupBy {
    type Err = NotAGroup;

    fn from_str(text: &str) -> Result<Self, NotAGroup> {
        let mut by = GroupBy { host: false, paths: false, tags: false };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                _ => return Err(NotAGroup { word: word.to_owned() }),
            }
        }
        Ok(by)
    }
}

/// What the snapshots of a group share; `None`: not asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Group {
    pub host: Option<String>,
    pub paths: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.host.as_ref().map(|host| format!("host {host}")));
        parts.extend(self.paths.as_ref().map(|paths| format!("paths {}", paths.join(", "))));
        parts.extend(self.tags.as_ref().map(|tags| match tags.is_empty() {
            true => "no tags".to_owned(),
            false => format!("tags {}", tags.join(", ")),
        }));
        if parts.is_empty() { f.write_str("all") } else { f.write_str(&parts.join(", ")) }
    }
}

/// The snapshots in groups, each in the order of `snapshots`.
pub fn grouped<'a>(snapshots: &[&'a Kept], by: GroupBy) -> BTreeMap<Group, Vec<&'a Kept>> {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    let mut groups: BTreeMap<Group, Vec<&Kept>> = BTreeMap::new();
    for kept in snapshots {
        let group = Group {
            host: by.host.then(|| kept.snapshot.host.clone()),
            paths: by.paths.then(|| sorted(&kept.snapshot.paths)),
            tags: by.tags.then(|| sorted(&kept.snapshot.tags)),
        };
        groups.entry(group).or_default().push(kept);
    }
    groups
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::format::gc::Tombstone;

    fn kept(first: u8, second: u8, minute: i64, host: &str, tags: &[&str]) -> Kept {
        let mut id = [0; 16];
        (id[0], id[1]) = (first, second);
        let snapshot = Snapshot {
            time: Timestamp::from_second(minute * 60).unwrap(),
            host: host.into(),
            user: "me".into(),
            uid: 0,
            gid: 0,
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            paths: vec!["/srv".into()],
            roots: Vec::new(),
            parent: None,
            original: None,
            program: "test".into(),
            excludes: Vec::new(),
            troubles: 0,
            summary: Default::default(),
            mongodb: None,
        };
        Kept { sid: Sid::new(id), snapshot, forgotten: None }
    }

    fn shelf() -> Vec<Kept> {
        let mut all = vec![
            kept(0xaa, 0x11, 1, "web", &["a"]),
            kept(0xaa, 0x12, 2, "db", &["a", "b"]),
            kept(0xbb, 0x00, 3, "web", &[]),
            kept(0xcc, 0x00, 4, "web", &["b"]),
        ];
        all[3].forgotten = Some(Tombstone {
            snapshot: all[3].sid,
            actor: "me".into(),
            reason: "old".into(),
            time: Timestamp::UNIX_EPOCH,
        });
        all
    }

    fn named(text: &str, filter: &Filter) -> Result<u8, NotOne> {
        let name: Name = text.parse()?;
        one(&shelf(), &name, filter).map(|kept| kept.sid.bytes()[1] | kept.sid.bytes()[0] & 0xf0)
    }

    #[test]
    fn names_as_people_type_them() {
        let any = Filter::default();
        assert_eq!(named("latest", &any), Ok(0xb0));
        assert_eq!(named("latest~0", &any), Ok(0xb0));
        assert_eq!(named("latest~2", &any), Ok(0xb1));
        assert_eq!(named("aa11", &any), Ok(0xb1));
        assert_eq!(named("AA12", &any), Ok(0xb2));
        assert_eq!(named("b", &any), Ok(0xb0));
        for text in ["", "latest~", "latest~x", "later", "xyz", &"a".repeat(33)] {
            assert!(matches!(named(text, &any), Err(NotOne::Unreadable { .. })), "{text}");
        }
        for text in ["latest~3", "latest~18446744073709551615"] {
            assert!(matches!(named(text, &any), Err(NotOne::TooFarBack { have: 3, .. })));
        }
        assert!(matches!(named("dd", &any), Err(NotOne::Unknown { .. })));
        assert!(matches!(named("cc", &any), Err(NotOne::Forgotten { .. })));
        let Err(ambiguous) = named("aa", &any) else { panic!("two begin so") };
        let text = ambiguous.to_string();
        assert!(text.contains("aa1100000000") && text.contains("aa1200000000"), "{text}");
    }

    #[test]
    fn filters_count_for_latest_and_for_lists() {
        let host = |host: &str| Filter { hosts: vec![host.into()], ..Filter::default() };
        assert_eq!(named("latest", &host("db")), Ok(0xb2));
        assert_eq!(named("aa11", &host("db")), Ok(0xb1), "an id is clear enough");
        assert!(matches!(named("latest", &host("none")), Err(NotOne::Unknown { .. })));
        let tags = |lists: &[&[&str]]| {
            let tags = lists.iter().map(|l| l.iter().map(|t| t.to_string()).collect()).collect();
            let all = shelf();
            let filter = Filter { tags, ..Filter::default() };
            several(&all, &[], &filter).unwrap().len()
        };
        assert_eq!(tags(&[]), 3);
        assert_eq!(tags(&[&["a"]]), 2);
        assert_eq!(tags(&[&["a", "b"]]), 1);
        assert_eq!(tags(&[&["b"], &[""]]), 2);
        let elsewhere = Filter { paths: vec!["/etc".into()], ..Filter::default() };
        assert_eq!(several(&shelf(), &[], &elsewhere).unwrap().len(), 0);
    }

    #[test]
    fn each_named_one_comes_once_and_in_order() {
        let all = shelf();
        let wanted = names(&["latest".into(), "aa12".into(), "aa12".into()]).unwrap();
        let found = several(&all, &wanted, &Filter::default()).unwrap();
        assert_eq!(found.iter().map(|kept| kept.sid).collect::<Vec<_>>(), [all[1].sid, all[2].sid]);
    }

    #[test]
    fn forgotten_ones_have_their_own_list() {
        let all = shelf();
        let of = |text: &str| one_forgotten(&all, &text.parse().unwrap()).map(|kept| kept.sid);
        assert_eq!(of("cc"), Ok(all[3].sid));
        assert!(matches!(of("aa11"), Err(NotOne::NotForgotten { .. })));
        assert!(matches!(of("latest"), Err(NotOne::NotForgotten { .. })));
        assert!(matches!(of("dd"), Err(NotOne::Unknown { .. })));
    }

    #[test]
    fn references_have_a_place_after_the_colon() {
        let of = |text: &str| text.parse::<Reference>();
        let latest = |place| Ok(Reference { name: Name::Latest { back: 0 }, place });
        assert_eq!(of("latest"), latest(Place::Whole));
        assert_eq!(of("latest:/a:b"), latest(Place::Path("/a:b".into())));
        let address = "shop.orders/a:b".parse().unwrap();
        assert_eq!(of("latest:shop.orders/a:b"), latest(Place::Mongodb(address)));
        assert!(matches!(of("latest:etc/x"), Err(NotOne::NoPlace { .. })));
        assert!(matches!(of(":/etc"), Err(NotOne::Unreadable { .. })));
        assert!(matches!(of("latest:shop").unwrap().path(), Err(NotOne::NotAPath { .. })));
        assert_eq!(of("latest:/etc").unwrap().path(), Ok(Some(&b"/etc"[..])));
        let bytes = Reference::parse(b"latest:/caf\xe9").unwrap();
        assert_eq!(bytes.place, Place::Path(b"/caf\xe9".to_vec()));
        assert!(matches!(Reference::parse(b"latest:caf\xe9"), Err(NotOne::NoPlace { .. })));
        assert!(matches!(Reference::parse(b"caf\xe9"), Err(NotOne::Unreadable { .. })));
    }

    #[test]
    fn groups_are_made_of_what_was_asked_for() {
        let all = shelf();
        let live: Vec<&Kept> = live(&all).collect();
        let sizes = |text: &str| -> Vec<(String, usize)> {
            let groups = grouped(&live, text.parse().unwrap());
            groups.into_iter().map(|(group, members)| (group.to_string(), members.len())).collect()
        };
        assert_eq!(sizes(""), [("all".into(), 3)]);
        assert_eq!(
            sizes("host,paths"),
            [("host db, paths /srv".into(), 1), ("host web, paths /srv".into(), 2)]
        );
        assert_eq!(sizes("tags").len(), 3);
        assert!("colour".parse::<GroupBy>().is_err());
    }
}

//! Which restore is meant: the newest one, into this server or into any.

use super::{Error, record::UNDO_ROOT, undo::UNDONE};
use crate::{
    format::snapshot::Snapshot,
    mongo::{Facts, Link},
    repo::Kept,
    sink::mongo as sink,
    verbs::deployment::root_named,
};

/// The newest record of a restore that is not forgotten, into this deployment if one is given.
pub fn newest<'a>(all: &'a [Kept], facts: Option<&Facts>) -> Option<&'a Kept> {
    let is_meant = |kept: &&Kept| {
        kept.forgotten.is_none()
            && root_named(&kept.snapshot, UNDO_ROOT).is_some()
            && facts.is_none_or(|facts| is_into(&kept.snapshot, facts))
    };
    all.iter().rfind(is_meant)
}

/// The newest record of a restore that is to be taken back where nobody names one. Not an older
/// one than was taken back already: who says the same once more does not mean the one before.
pub fn unnamed<'a>(
    all: &'a [Kept],
    facts: Option<&Facts>,
    server: Option<&str>,
) -> Result<&'a Kept, Error> {
    let none = || Error::NoRestore { server: server.map(str::to_owned) };
    let newest = newest(all, facts).ok_or_else(none)?;
    let is_undone = |kept: &&Kept| {
        kept.forgotten.as_ref().is_some_and(|stone| stone.reason == UNDONE)
            && kept.snapshot.time > newest.snapshot.time
            && facts.is_none_or(|facts| is_into(&kept.snapshot, facts))
    };
    match all.iter().rfind(is_undone) {
        Some(undone) => Err(Error::OlderRestore {
            undone: undone.sid,
            older: newest.sid,
            time: newest.snapshot.time,
        }),
        None => Ok(newest),
    }
}

/// Whether a record is of a restore into what is called as the deployment that answers: its
/// connection string named the same hosts, whatever the database, or the same member answered.
pub fn is_into(record: &Snapshot, facts: &Facts) -> bool {
    let Some(recorded) = &record.mongodb else { return false };
    recorded.set_name == facts.set_name
        && (hosts(&recorded.uri) == hosts(&facts.uri) || recorded.member == facts.member)
}

/// Whether the deployment that answers is the one that was restored into, of which `recorded` is
/// what told it from others. A name is none: `localhost` is every container and every tunnel.
pub(super) fn answers(
    link: &Link,
    record: &Snapshot,
    recorded: Option<&[u8]>,
) -> Result<bool, Error> {
    let facts = link.facts();
    Ok(match (recorded, sink::deployment_id(link)?) {
        (Some(recorded), Some(id)) => recorded == id,
        _ => record.mongodb.as_ref().is_some_and(|one| one.set_name == facts.set_name),
    })
}

/// Of a connection string as it is recorded, which holds no user and no options.
fn hosts(uri: &str) -> (&str, Vec<&str>) {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("mongodb", uri));
    let hosts = rest.split_once('/').map_or(rest, |(hosts, _)| hosts);
    let mut hosts: Vec<&str> = hosts.split(',').collect();
    hosts.sort_unstable();
    (scheme, hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_its_hosts_whatever_their_order_and_the_database() {
        assert_eq!(hosts("mongodb://a:1,b:2/shop"), hosts("mongodb://b:2,a:1"));
        assert_ne!(hosts("mongodb://a:1"), hosts("mongodb://a:2"));
        assert_ne!(hosts("mongodb://a"), hosts("mongodb+srv://a"));
    }
}

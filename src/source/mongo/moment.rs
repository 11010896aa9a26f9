//! Choosing the moment that a capture is to be of.

use std::time::Duration;

use bson::rawdoc;

use super::{Collection, Error, Keys, Options, listing, oplog, shared::Mode};
use crate::{
    format::snapshot::ClusterTime,
    limits,
    mongo::{Link, operation_time},
};

/// Reads as of one moment if there is time for them, else a scan that the oplog makes exact.
pub(super) fn whichever_fits(
    link: &Link,
    options: &Options,
    has_oplog: bool,
) -> Result<(Mode, Vec<Collection>), Error> {
    if !has_oplog && link.facts().reads_as_of_a_moment() {
        return snapshot(link, options);
    }
    if !has_oplog {
        // The error names what is missing.
        oplog::first(link)?;
    }
    let (mode, catalogue) = fuzzy(link, options)?;
    let capped = catalogue.iter().any(|collection| collection.keys == Keys::Ordinal);
    let window = link.facts().history_window.filter(|_| link.facts().reads_as_of_a_moment());
    if capped || !window.is_some_and(|window| fits(link, &catalogue, window)) {
        return Ok((mode, catalogue));
    }
    match snapshot(link, options) {
        Err(Error::Restless { .. }) => Ok((mode, catalogue)),
        other => other,
    }
}

/// Whether all can be read in three fifths of the time that the server can look back.
fn fits(link: &Link, catalogue: &[Collection], window: Duration) -> bool {
    let sizes = catalogue.iter().filter(|collection| collection.has_documents());
    let bytes: u64 = sizes.map(|one| listing::size(link, one).map_or(0, |(_, bytes)| bytes)).sum();
    let rate = limits::SCAN_ASSUMED_BYTES_PER_SECOND;
    let rate = link.bytes_per_second().map_or(rate, |limit| rate.min(limit));
    bytes / rate.max(1) < window.as_secs() * 3 / 5
}

/// A beginning, and the catalogue at some time after it.
pub(super) fn fuzzy(link: &Link, options: &Options) -> Result<(Mode, Vec<Collection>), Error> {
    let since = now(link)?;
    oplog::await_majority(link, since)?;
    Ok((Mode::Fuzzy { since }, listing::read(link, options)?))
}

/// A moment, and the catalogue that was the same before and after it.
pub(super) fn snapshot(link: &Link, options: &Options) -> Result<(Mode, Vec<Collection>), Error> {
    let facts = link.facts();
    if !facts.reads_as_of_a_moment() {
        let (member, version) = (facts.member.clone(), facts.version_text());
        return Err(Error::TooOld { member, version });
    }
    let mut before = listing::read(link, options)?;
    for round in 0..limits::CATALOGUE_TRIES {
        let at = now(link)?;
        let after = listing::read(link, options)?;
        if before == after {
            return Ok((Mode::Snapshot { at }, after));
        }
        before = after;
        link.sleep(Duration::from_millis(20 << round));
    }
    let member = link.facts().member.clone();
    Err(Error::Restless { member, tries: limits::CATALOGUE_TRIES })
}

/// How far the member is.
pub(super) fn now(link: &Link) -> Result<ClusterTime, Error> {
    let reply = link.ask("admin", rawdoc! { "ping": 1 }.as_bytes())?;
    operation_time(&reply).ok_or_else(|| Error::Malformed {
        what: "the time",
        namespace: link.facts().member.clone(),
        why: "its replies have no operationTime".to_owned(),
    })
}

/// The term of the entry of exactly that time, which the member had once.
///
/// # Errors
/// [`Error::StartAgain`] if the member has it no more, and has older ones: it rolled it back.
pub(super) fn term_at(link: &Link, time: ClusterTime) -> Result<Option<i64>, Error> {
    if let Some(entry) = oplog::at(link, time)? {
        return Ok(oplog::read(&entry)?.term);
    }
    match oplog::first(link)? {
        Some(first) if first <= time => Err(rolled_back(link)),
        _ => Err(oplog::rolled_over(link, time)?),
    }
}

pub(super) fn rolled_back(link: &Link) -> Error {
    Error::StartAgain { why: format!("{} rolled back what was read", link.facts().member) }
}

/// The member's count of rollbacks, and of restarts after it was killed. Not everybody may ask.
pub(super) fn rollback_id(link: &Link) -> Option<i32> {
    let reply = link.ask("admin", rawdoc! { "replSetGetRBID": 1 }.as_bytes()).ok()?;
    bson::RawDocument::from_bytes(&reply).ok()?.get_i32("rbid").ok()
}

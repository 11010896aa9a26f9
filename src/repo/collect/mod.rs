//! Freeing what no snapshot needs, beside writers and other collectors (PROTOCOL.md, "Collector").
//!
//! `plan` looks (C1), `carry_out` acts (C2 to C10). Nothing that a plan says is trusted when it
//! comes to deleting: which blobs are needed is found out again after the sessions have drained.

mod check;
mod choose;
mod compare;
mod drain;
mod error;
mod finish;
mod forget;
mod ground;
mod marks;
mod record;
mod repair;
mod rescue;
mod run;
mod scan;
mod survey;

use std::{collections::BTreeSet, time::Duration};

pub use check::{Checked, DamagedPack, Fault, ReadData, check};
pub use drain::AtWork;
pub use error::Error;
pub use forget::{begin_from, commit_again, forget, replace, undelete};
pub use ground::{Ground, Strange};
pub use record::record_damage;
pub use repair::{Repaired, repair_index};
pub use run::{Outcome, carry_out};
pub use survey::{Plan, Totals, plan};

use crate::{
    format::snapshot::{NamedRoot, Snapshot},
    id::{BlobId, BlobKind, PackId, Sid},
    limits::{ASK_FROM_PERCENT, LEASE_SECONDS, UNDELETE_DAYS_DEFAULT},
};

/// Whoever knows what a root leads to.
///
/// `visit` is to be called for each blob that the root reaches, nodes before what they hold, and
/// says of a node whether to go on below it.
pub trait Reach: Sync {
    fn reachable(
        &self,
        root: &NamedRoot,
        visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Whether the snapshot is a backup of its source. What is none (a verb's own record) keeps no
    /// source alive, and nobody is asked before it goes.
    fn is_backup(&self, snapshot: &Snapshot) -> bool;
}

/// How much that nobody needs may stay in packs that somebody needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// Of what the repository then takes.
    Percent(f64),
    Bytes(u64),
    Unlimited,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub max_unused: MaxUnused,
    /// `None`: as much as `max_unused` asks for.
    pub max_repack_bytes: Option<u64>,
    /// Forgotten snapshots can come back for so long.
    pub undelete_days: u32,
    /// How long to wait for sessions at work before what they may rely on is left to the next run.
    pub wait: Duration,
    /// A session without progress for this long is given up.
    pub lease: Duration,
    /// More than this share of all packs goes only if the caller says so here.
    pub max_percent: u8,
    /// That the last snapshot of a source goes, or packs though there is no snapshot at all, was
    /// said to be meant.
    pub last_of_source_may_go: bool,
    /// What may be deleted is not waited for: these sessions are given up now, by name.
    pub give_up: Vec<Sid>,
    /// Counted as forgotten just now: for a plan that is to be shown before they are.
    pub as_if_forgotten: BTreeSet<Sid>,
    /// A new pack is closed at this size.
    pub pack_aim_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_unused: MaxUnused::Percent(5.0),
            max_repack_bytes: None,
            undelete_days: UNDELETE_DAYS_DEFAULT,
            wait: Duration::ZERO,
            lease: Duration::from_secs(LEASE_SECONDS),
            max_percent: ASK_FROM_PERCENT,
            last_of_source_may_go: false,
            give_up: Vec::new(),
            as_if_forgotten: BTreeSet::new(),
            pack_aim_bytes: crate::limits::PACK_AIM_BYTES,
        }
    }
}

/// A pack that holds something needed that can't be read: it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPack {
    pub pack: PackId,
    pub blobs: Vec<BlobId>,
}

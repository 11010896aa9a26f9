//! Backup: the live source merged into the previous snapshot's tree.

mod content;
mod counts;
mod error;
mod files;
mod mongodb;
mod plan;
mod pool;
mod previous;
mod run;
mod stream;
mod worker;

use counts::Counts;

pub use error::Error;
pub use mongodb::{Deployment, DumpSource, PlannedCollection, plan_dump, plan_mongodb};
pub use plan::{Plan, plan};
pub use run::{FILES_ROOT, Options, Outcome, Source, Sources, backup};
pub(super) use run::{cutter, may_reuse, splitter};

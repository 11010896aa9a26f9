//! MongoDB as a place to write to: collections made, documents written, indexes built.

mod authority;
mod command;
mod craft;
mod error;
mod indexes;
mod look;
mod namespaces;
mod reply;
mod writers;

pub use authority::{Authority, drop_role, merge_authority};
pub use craft::Craft;
pub use error::Error;
pub use indexes::{Built, build, drop_index, is_ttl, name_of, wanted};
pub use look::{by_ids, by_ids_as, scan};
pub use namespaces::{
    Created, Existing, beyond, buckets_of, collections, create, deployment_id, drop, expire_after,
    indexes, is_capped, is_fixed, uuid_at, wait_for_majority, wait_for_majority_of,
};
pub use writers::{Failure, Failures, Op, Order, Report, Writers};

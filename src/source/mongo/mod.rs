//! A MongoDB deployment as a source: its catalogue and its documents, all of one moment.

mod as_of;
mod capture;
mod changes;
mod collection;
mod entry;
mod error;
mod listing;
mod moment;
mod oplog;
mod options;
mod positions;
mod scan;
mod settle;
mod settled;
mod shared;

pub use capture::Capture;
pub use changes::{Changes, ChangesOf};
pub use collection::{Collection, Keys, Kind, Uuid};
pub use error::Error;
pub use options::{Options, Wanted, Wish};
pub use scan::Scan;
pub use settled::{Op, Point, Settled};

pub use crate::{document::namespace::Namespace, mongo::Batch};

//! A MongoDB deployment as a source: its catalogue and its documents, all of one moment.

mod capture;
mod collection;
mod error;
mod listing;
mod scan;
mod settled;

pub use capture::{Capture, Options, Wanted, Wish};
pub use collection::{Collection, Keys, Kind, Uuid};
pub use error::Error;
pub use scan::Scan;
pub use settled::{Changes, Op, Point, Settled};

pub use crate::{document::namespace::Namespace, mongo::Batch};

//! Speaking with a MongoDB server: connecting, raw commands, what it is, what its errors mean.

mod batch;
mod cursor;
mod error;
mod facts;
mod find;
mod link;
mod plainly;
mod privilege;
mod reply;
mod throttle;
mod uri;

pub use batch::Batch;
pub use cursor::Cursor;
pub use error::{Error, User};
pub use facts::Facts;
pub use link::{Connect, Link, Purpose};
pub use privilege::Privilege;
pub use reply::{cluster_time, operation_time};
pub use uri::shown as shown_uri;

//! Forgetting snapshots: by name, or by a policy that says of each why it stays.

pub mod policy;
pub mod within;

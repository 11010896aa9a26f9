//! One binary for all tests that stand outside the library.

mod tidy;
mod sink_hostile;

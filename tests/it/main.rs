//! One binary for all tests that stand outside the library.

mod sink_hostile;
mod tidy;

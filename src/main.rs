//! The binary: reads the command line, runs a verb, ends with its exit code.

fn main() {}

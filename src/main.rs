//! The binary: reads the command line, runs a verb, ends with its exit code.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::give_back_large_buffers();
    cli::main().into()
}

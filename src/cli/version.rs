//! `icecore version`: which program this is.

use super::{exit::Exit, failure::Failure, screen::Screen};

/// As snapshots record it.
pub const PROGRAM: &str = concat!("icecore ", env!("CARGO_PKG_VERSION"));

pub fn run(screen: &mut Screen) -> Result<Exit, Failure> {
    if screen.json {
        screen.document(&serde_json::json!({
            "message_type": "version",
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
        }))?;
    } else {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        screen.line(&format!("{PROGRAM} on {os}/{arch}"))?;
    }
    Ok(Exit::Done)
}

//! The variables of the environment that no flag of clap reads by itself.

use std::{env, path::PathBuf};

use super::failure::Failure;

/// The value of `name`; a variable set to nothing counts as not set. Not UTF-8 is an error.
pub fn text(name: &'static str) -> Result<Option<String>, Failure> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let not_text = |_| Failure::Usage(format!("{name} is not valid UTF-8"));
    value.into_string().map(Some).map_err(not_text)
}

pub fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// How often progress is shown where no terminal is, a second; on a terminal, how often at most.
pub fn progress_fps() -> Result<Option<f64>, Failure> {
    const NAME: &str = "ICECORE_PROGRESS_FPS";
    let Some(text) = text(NAME)? else { return Ok(None) };
    let fps: Option<f64> = text.parse().ok().filter(|fps| *fps > 0.0 && *fps <= 60.0);
    match fps {
        Some(fps) => Ok(Some(fps)),
        None => Err(wrong(NAME, &text, "a number above 0 and up to 60")),
    }
}

/// The variable says what can't be.
pub fn wrong(name: &str, value: &str, wants: &str) -> Failure {
    Failure::Usage(format!("{name} is `{value}`, but wants {wants}"))
}

/// The variables that tell how to reach an object store, for the store to choose from.
pub fn of_stores() -> Vec<(String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
        .collect()
}

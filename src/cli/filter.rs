//! The flags that choose snapshots, the same for every verb that takes several.

use std::{ffi::OsString, path::Path};

use icecore::{mongo::shown_uri, verbs::select};

use super::{deployment::is_uri, failure::Failure};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct Filter {
    /// Only snapshots of this host; may be given more than once
    #[arg(short = 'H', long, value_name = "HOST", env = "ICECORE_HOST", hide_env_values = true)]
    host: Vec<String>,

    /// Only snapshots that have all these tags; given more than once, any of the lists
    #[arg(long, value_name = "TAG[,TAG...]")]
    tag: Vec<String>,

    /// Only snapshots of this path, or mongodb:// deployment; given more than once, of all of them
    #[arg(long, value_name = "PATH")]
    path: Vec<OsString>,
}

impl Filter {
    /// Relative paths are those of the working directory, as `backup` takes them.
    pub fn to_select(&self) -> Result<select::Filter, Failure> {
        let absolute = |path: &OsString| {
            let text = path.to_string_lossy();
            if is_uri(Path::new(path)) {
                return Ok(shown_uri(&text));
            }
            let absolute = std::path::absolute(path).map_err(|error| {
                Failure::while_doing(format!("cannot make `{text}` an absolute path"), error)
            })?;
            Ok(absolute.to_string_lossy().into_owned())
        };
        Ok(select::Filter {
            hosts: self.host.iter().filter(|host| !host.is_empty()).cloned().collect(),
            tags: self.tag.iter().map(|list| split_tags(list)).collect(),
            paths: self.path.iter().map(absolute).collect::<Result<_, Failure>>()?,
        })
    }
}

/// `a,b` as two tags; the empty text as the one empty tag, which stands for "no tag".
pub fn split_tags(list: &str) -> Vec<String> {
    list.split(',').map(|tag| tag.trim().to_owned()).collect()
}

//! What of a snapshot can't be read: named, passed by, and told by the exit code.

use std::sync::Arc;

use icecore::{
    progress::{Progress, Trouble},
    repo::{self, Kept},
    verbs::Error,
};

use super::{
    exit::Exit,
    failure::Failure,
    hint,
    screen::{self, Screen, printable},
    watch::Watch,
};

/// Names damage on standard error, and counts it.
pub struct Losses {
    json: bool,
    /// Who shows it while a run is watched.
    progress: Option<Arc<Progress>>,
    count: u64,
}

impl Losses {
    pub fn new(screen: &Screen) -> Self {
        Losses { json: screen.json, progress: None, count: 0 }
    }

    /// From now on a run is watched.
    pub fn watched(&mut self, watch: &Watch) {
        self.progress = Some(watch.progress.clone());
    }

    /// What was found; `None`: it is damaged, and was named. Any other error ends the command.
    pub fn pass<T>(&mut self, found: Result<T, Error<repo::Error>>) -> Result<Option<T>, Failure> {
        self.pass_in("", found)
    }

    /// The same, in one place of several.
    pub fn pass_in<T>(
        &mut self,
        place: &str,
        found: Result<T, Error<repo::Error>>,
    ) -> Result<Option<T>, Failure> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) => Ok(self.name(place, error).map(|()| None)?),
        }
    }

    /// Names what is damaged; gives any other error back.
    pub fn name(
        &mut self,
        place: &str,
        error: Error<repo::Error>,
    ) -> Result<(), Error<repo::Error>> {
        if hint::exit(&error) != Exit::Damaged {
            return Err(error);
        }
        self.count += 1;
        let what = match &error {
            Error::Lost { what, .. } => what,
            Error::Entry { path, .. } => path,
            _ => "",
        };
        let item = match (place, what) {
            ("", "") => "a part of the snapshot".to_owned(),
            ("", what) => what.to_owned(),
            (place, "") => place.to_owned(),
            (place, what) => format!("{place}: {what}"),
        };
        // The item says already what the first line says.
        let said = usize::from(matches!(error, Error::Lost { .. } | Error::Tree(_)));
        let error = Failure::from(error).lines()[said..].join(": ");
        match &self.progress {
            Some(progress) => progress.trouble(Trouble { item, during: "read", error }),
            None if self.json => screen::warn_json("read", &item, &error),
            None => {
                let line = format!("cannot read {item}: {error}");
                screen::warn(&printable(line.as_bytes()));
            }
        }
        Ok(())
    }

    /// How the command ends, if nothing worse happened.
    pub fn end(&self) -> Exit {
        if self.count == 0 {
            return Exit::Done;
        }
        if !self.json {
            screen::warn(&format!("hint: {}", hint::CHECK));
        }
        Exit::Damaged
    }
}

/// One of several, as a place.
pub fn snapshot(kept: &Kept) -> String {
    format!("snapshot {}", kept.sid.short())
}

//! The snapshots that can be read, and the doubt that is left by those that can't.

use std::{cell::Cell, ops::Deref};

use icecore::{
    repo::{Damage, Kept, Survey},
    verbs::select::{self, Filter, Name, NotOne},
};

use super::{exit::Exit, screen, units};

pub const NO_DOUBT: &str = "`icecore snapshots` shows which can be read; an id leaves no doubt";

/// What would be changed is not known.
#[derive(Debug, thiserror::Error)]
#[error("a damaged record may be `{name}`: nothing was changed")]
pub struct InDoubt {
    name: String,
}

/// All snapshots that can be read.
pub struct Shelf {
    kept: Vec<Kept>,
    /// Of a snapshot whose record is damaged neither time nor host are known.
    has_unread: bool,
    /// `latest` was asked for, and may have been one of those.
    is_in_doubt: Cell<bool>,
}

impl Shelf {
    /// What can't be read is named on standard error, and stops nothing.
    pub fn new(survey: Survey) -> Shelf {
        for damage in &survey.damage {
            screen::warn(&format!("warning: {}: {}", damage.object, damage.error));
        }
        let is_record = |damage: &Damage| damage.object.as_str().starts_with("snapshots/");
        let has_unread = survey.damage.iter().any(is_record);
        Shelf { kept: survey.kept, has_unread, is_in_doubt: Cell::new(false) }
    }

    /// The one that `name` means. Where a damaged record may have been `latest`, it is told which
    /// one is taken.
    pub fn one(&self, name: &Name, filter: &Filter) -> Result<&Kept, NotOne> {
        let kept = select::one(&self.kept, name, filter)?;
        if self.has_unread && matches!(name, Name::Latest { .. }) {
            self.is_in_doubt.set(true);
            let (sid, time) = (kept.sid.short(), units::local(kept.snapshot.time));
            screen::warn(&format!(
                "warning: a damaged record may have been `{name}`; taken is {sid} of {time}"
            ));
        }
        Ok(kept)
    }

    /// Before something is changed, each name must be beyond doubt.
    pub fn is_certain(&self, names: &[Name]) -> Result<(), InDoubt> {
        match names.iter().find(|name| matches!(name, Name::Latest { .. })) {
            Some(name) if self.has_unread => Err(InDoubt { name: name.to_string() }),
            _ => Ok(()),
        }
    }

    /// As `select::several`, and as told as `one`.
    pub fn several(&self, names: &[Name], filter: &Filter) -> Result<Vec<&Kept>, NotOne> {
        for name in names {
            self.one(name, filter)?;
        }
        select::several(&self.kept, names, filter)
    }

    /// How a command ends that would have ended so without a doubt.
    pub fn end(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Done | Exit::Troubles | Exit::Conflicts if self.is_in_doubt.get() => {
                screen::warn(&format!("hint: {NO_DOUBT}"));
                Exit::Damaged
            }
            exit => exit,
        }
    }
}

impl Deref for Shelf {
    type Target = [Kept];

    fn deref(&self) -> &[Kept] {
        &self.kept
    }
}

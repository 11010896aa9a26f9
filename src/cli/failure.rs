//! Why a command ended badly, and how that is told: the fact, its causes, a hint to type.

use std::{error::Error, io};

use super::{exit::Exit, hint};

/// What ended a command.
#[derive(Debug)]
pub enum Failure {
    /// The person asked for what can't be.
    Usage(String),
    /// Standard output can't be written to.
    Output(io::Error),
    /// Somebody pressed Ctrl-C where nothing had to be put in order.
    Interrupted,
    /// Somebody was asked, and did not say yes.
    Declined,
    /// Something of the library's or the system's failed, with its causes.
    Because(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// `what` failed because of `source`.
    pub fn while_doing(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Failure::Because(Box::new(While { what, source: Box::new(source) }))
    }

    /// What the person typed is wrong, and `error` says why.
    pub fn usage(error: impl Error) -> Self {
        Failure::Usage(match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }

    /// The reader of our output has seen enough: no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Output(_) | Failure::Declined => Exit::Failed,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Because(error) => hint::exit(error.as_ref()),
        }
    }

    /// The fact first, its causes after, each on its own.
    pub fn lines(&self) -> Vec<String> {
        let error: &dyn Error = match self {
            Failure::Usage(what) => return vec![what.clone()],
            Failure::Interrupted => return vec!["interrupted".into()],
            Failure::Declined => return vec!["not confirmed: nothing was changed".into()],
            Failure::Output(error) => {
                return vec!["cannot write to standard output".into(), error.to_string()];
            }
            Failure::Because(error) => error.as_ref(),
        };
        let mut lines = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            let line = error.to_string();
            // A wrapper that adds no words of its own would only repeat its cause.
            if lines.last() != Some(&line) {
                lines.push(line);
            }
            cause = error.source();
        }
        lines
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Failure::Because(error) => hint::hint(error.as_ref()),
            _ => None,
        }
    }

    /// Tells it on standard error.
    pub fn show(&self, json: bool) {
        let lines = self.lines();
        if json {
            let message = lines.join(": ");
            let document = serde_json::json!({
                "message_type": "exit_error",
                "code": self.exit() as u8,
                "message": message,
                "hint": self.hint(),
            });
            eprintln!("{document}");
            return;
        }
        let mut lines = lines.into_iter();
        eprintln!("error: {}", lines.next().unwrap_or_default());
        for cause in lines {
            eprintln!("  caused by: {cause}");
        }
        if let Some(hint) = self.hint() {
            eprintln!("hint: {hint}");
        }
    }
}

/// Anything that went wrong below, said as it is.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Because(Box::new(error))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct While {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

//! What a server, or the way to it, would not do; and whether it may be asked again.

use mongodb::error::{Error as Driver, ErrorKind};

use super::{Purpose, plainly::plainly, privilege::Privilege};

/// Codes after which the same question may be asked of the same member again, once it has
/// recovered, changed its role or been reached.
const TRY_AGAIN_CODES: &[i32] = &[
    6,     // HostUnreachable
    7,     // HostNotFound
    43,    // CursorNotFound: a new cursor goes on from the resume token
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    134,   // ReadConcernMajorityNotAvailableYet
    189,   // PrimarySteppedDown
    237,   // CursorKilled
    262,   // ExceededTimeLimit
    9001,  // SocketException
    10058, // LegacyNotPrimary
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11601, // Interrupted
    11602, // InterruptedDueToReplStateChange
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
];

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{uri} is not a connection string that can be used: {why}")]
    Uri { uri: String, why: String },
    /// What it says is understood, and does not work here (a file that is not there, for one).
    #[error("{uri} can't be used: {why}")]
    Options { uri: String, why: String },
    #[error("{uri} names a collection where a connection string names a database")]
    CollectionInUri { uri: String },
    #[error("{uri} does not answer: {why}")]
    Unreachable { uri: String, why: String },
    #[error(
        "{uri} can't be used: {member} belongs to {}, and the connection string says \
         `replicaSet={wanted}`",
        .found.as_ref().map_or("no replica set".to_owned(), |set| format!("the set `{set}`"))
    )]
    OtherSet { uri: String, member: String, wanted: String, found: Option<String> },
    #[error("{uri} does not take this user and password: {why}")]
    Authentication { uri: String, why: String },
    #[error(
        "not allowed to run {command} on {place}: {} the action `{}` on {}",
        if .user.is_some() { "the user lacks" } else { "nobody is logged in, and it needs" },
        .privilege.action, .privilege.resource
    )]
    Unauthorized {
        command: String,
        place: String,
        privilege: Privilege,
        /// Who is logged in, if anybody is.
        user: Option<User>,
    },
    #[error("{command} on {place} failed: {message} ({name}, code {code})")]
    Command { command: String, place: String, code: i32, name: String, message: String },
    #[error("the connection was lost during {command} on {place}: {why}")]
    Connection { command: String, place: String, why: String },
    #[error("{command} on {place} failed: {why}")]
    Client { command: String, place: String, why: String },
    #[error("the server's reply to {command} on {place} can't be read: {why}")]
    Reply { command: String, place: String, why: String },
    #[error("the client can't be set up")]
    Runtime(#[source] std::sync::Arc<std::io::Error>),
}

impl Error {
    /// The server's number for what went wrong, if it was the server who said so.
    pub fn code(&self) -> Option<i32> {
        match self {
            Error::Command { code, .. } => Some(*code),
            Error::Unauthorized { .. } => Some(13),
            _ => None,
        }
    }

    /// Whether the same question may bring an answer after a while: the connection was lost, or
    /// the member is changing its role or its state.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Connection { .. } => true,
            Error::Command { code, .. } => TRY_AGAIN_CODES.contains(code),
            _ => false,
        }
    }

    /// Whether the connection string itself can't be understood.
    pub fn is_of_uri(&self) -> bool {
        matches!(self, Error::Uri { .. } | Error::CollectionInUri { .. })
    }

    /// Whether a privilege is missing.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Error::Unauthorized { .. })
    }

    /// What to type against it, if there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unauthorized { user: None, .. } => Some(
                "name user and password in the connection string: \
                 mongodb://USER:PASSWORD@HOST/DB?authSource=admin"
                    .to_owned(),
            ),
            Error::Unauthorized { privilege, user: Some(user), .. } => {
                let User { name, database } = user;
                let name = if name.is_empty() { "USER" } else { name };
                let (role, action) = (privilege.role, &privilege.action);
                // Elsewhere a name alone is that of a role of the user's own database.
                let granted = match database.as_str() {
                    "admin" => format!("{role:?}"),
                    _ => format!("{{role: {role:?}, db: \"admin\"}}"),
                };
                Some(format!(
                    "grant the built-in role `{role}`, in mongosh: use {database}; \
                     db.grantRolesToUser({name:?}, [{granted}]) \
                     (or a role of your own that has `{action}` on {})",
                    privilege.resource
                ))
            }
            Error::CollectionInUri { uri } => {
                let (place, name) = uri.rsplit_once('/')?;
                let database = name.split('.').next().unwrap_or(name);
                Some(format!("`{place}/{database}` with `--ns-include '{name}'`"))
            }
            Error::OtherSet { found, .. } => Some(match found {
                Some(set) => format!("`replicaSet={set}`, if it is the right host"),
                None => "leave `replicaSet` out, if it is the right host".to_owned(),
            }),
            Error::Authentication { .. } => Some(
                "check user, password and authSource (the database that holds the user, mostly \
                 admin): mongodb://USER@HOST/DB?authSource=admin"
                    .to_owned(),
            ),
            Error::Uri { .. } => Some(
                "it should look like mongodb://USER:PASSWORD@HOST:27017/DB?authSource=admin, with \
                 : / ? # [ ] @ % in user and password percent-encoded"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Empty, if only the server knows it (that of a certificate, for one).
    pub name: String,
    /// The one that knows the name.
    pub database: String,
}

/// What was asked when an error came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub command: String,
    pub db: String,
    pub collection: Option<String>,
    pub user: Option<User>,
    pub purpose: Purpose,
    /// As it may be shown.
    pub uri: String,
}

impl Asked {
    fn place(&self) -> String {
        match &self.collection {
            Some(collection) => format!("{}.{collection}", self.db),
            None => self.db.clone(),
        }
    }

    pub fn error(&self, error: Driver) -> Error {
        let (command, place) = (self.command.clone(), self.place());
        let said = error.server_response().and_then(|reply| reply.get_str("errmsg").ok());
        let said = said.map(str::to_owned);
        match *error.kind {
            ErrorKind::Command(failure) if matches!(failure.code, 13 | 8000) => {
                let subject = (self.db.as_str(), self.collection.as_deref());
                let privilege = super::privilege::needed(&command, subject, self.purpose);
                Error::Unauthorized { command, place, privilege, user: self.user.clone() }
            }
            ErrorKind::Command(failure) => Error::Command {
                command,
                place,
                code: failure.code,
                name: failure.code_name,
                message: failure.message,
            },
            ErrorKind::Io(why) => Error::Connection { command, place, why: why.to_string() },
            ErrorKind::ConnectionPoolCleared { message, .. }
            | ErrorKind::ServerSelection { message, .. } => {
                Error::Connection { command, place, why: plainly(&message) }
            }
            ErrorKind::Authentication { message, .. } => {
                Error::Authentication { uri: self.uri.clone(), why: message }
            }
            ErrorKind::InvalidResponse { message, .. } => {
                // Some refusals of old carry no code, which the driver does not expect.
                Error::Reply { command, place, why: said.unwrap_or(message) }
            }
            other => Error::Client { command, place, why: other.to_string() },
        }
    }

    pub fn unreadable(&self, why: impl std::fmt::Display) -> Error {
        let (command, place) = (self.command.clone(), self.place());
        Error::Reply { command, place, why: why.to_string() }
    }
}

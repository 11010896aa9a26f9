//! Finding a deployment: which member to speak with, and what it tells of itself.

use std::time::Duration;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};
use mongodb::{
    Client,
    error::{Error as Driver, ErrorKind},
    options::{
        ClientOptions, ReadPreference, ReadPreferenceOptions, SelectionCriteria, ServerAddress,
    },
};

use super::{
    Connect, Error, Facts, Purpose, User, error::Asked, link::asked, plainly::plainly, reply, uri,
};

/// So long a secondary may take to be found where the primary was found first.
const SECONDARY_PATIENCE: Duration = Duration::from_secs(3);

/// So long each host may take to say of which set it is, when none of the wanted one answered.
const OTHER_SET_PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Found {
    pub client: Client,
    pub facts: Facts,
    pub user: Option<User>,
}

/// Asks the deployment at the connection string `given`, and chooses.
pub(super) async fn find(given: &str, connect: &Connect) -> Result<Found, Error> {
    let shown = uri::shown(given);
    let unusable = |error: Driver| {
        let why = plainly(&uri::without_secrets(&error.kind.to_string(), given));
        let uri = shown.clone();
        match *error.kind {
            ErrorKind::InvalidArgument { .. } => Error::Uri { uri, why },
            ErrorKind::DnsResolve { .. } => Error::Unreachable { uri, why },
            _ => Error::Options { uri, why },
        }
    };
    let mut options = ClientOptions::parse(given).await.map_err(unusable)?;
    options.app_name.get_or_insert_with(|| "icecore".to_owned());
    options.server_selection_timeout.get_or_insert(connect.patience);
    if options.default_database.as_ref().is_some_and(|database| database.contains('.')) {
        return Err(Error::CollectionInUri { uri: shown });
    }
    let user = user(&options);
    let who = (user.clone(), connect.purpose);
    let asked = asked("admin", rawdoc! { "hello": 1 }.as_bytes(), &shown, who);
    let client = Client::with_options(options.clone()).map_err(unusable)?;
    let criteria = match connect.purpose {
        Purpose::Write => primary(),
        Purpose::Read => options.selection_criteria.clone().unwrap_or_else(|| {
            SelectionCriteria::ReadPreference(ReadPreference::SecondaryPreferred { options: None })
        }),
    };
    let mut hello = match ask_who(&client, &criteria).await {
        Ok(hello) => hello,
        Err(error) => {
            let other_set = other_set(&options, &shown).await;
            return Err(other_set.unwrap_or_else(|| first_error(&asked, error)));
        }
    };
    if prefers_secondary(&criteria) && has_others(&hello) {
        // The primary was known first; the others may take a moment to be found.
        let secondary = SelectionCriteria::ReadPreference(ReadPreference::Secondary {
            options: preference_options(&criteria),
        });
        let found = tokio::time::timeout(SECONDARY_PATIENCE, ask_who(&client, &secondary)).await;
        if let Ok(Ok(other)) = found {
            hello = other;
        }
    }
    let first_host = options.hosts.first().map(ToString::to_string).unwrap_or_default();
    let mut facts = told(&hello, &shown, options.default_database.clone(), first_host);
    let client = match member_alone(&options, &facts, connect.purpose) {
        Some(alone) => Client::with_options(alone).map_err(unusable)?,
        None => client,
    };
    let build = ask(&client, rawdoc! { "buildInfo": 1 }).await;
    facts.version = version(&build.map_err(|error| first_error(&asked, error))?);
    facts.history_window = match facts.is_replica_set() {
        true => history_window(&client).await,
        false => None,
    };
    Ok(Found { client, facts, user })
}

fn user(options: &ClientOptions) -> Option<User> {
    let credential = options.credential.as_ref()?;
    let database = credential.source.as_deref().or(options.default_database.as_deref());
    Some(User {
        name: credential.username.clone().unwrap_or_default(),
        database: database.unwrap_or("admin").to_owned(),
    })
}

fn prefers_secondary(criteria: &SelectionCriteria) -> bool {
    let preferred = |preference: &ReadPreference| {
        matches!(preference, ReadPreference::SecondaryPreferred { .. })
    };
    matches!(criteria, SelectionCriteria::ReadPreference(preference) if preferred(preference))
}

fn preference_options(criteria: &SelectionCriteria) -> Option<ReadPreferenceOptions> {
    match criteria {
        SelectionCriteria::ReadPreference(ReadPreference::SecondaryPreferred { options }) => {
            options.clone()
        }
        _ => None,
    }
}

/// Whether a primary speaks that has other members beside it.
fn has_others(hello: &RawDocument) -> bool {
    let members = ["hosts", "passives"]
        .iter()
        .filter_map(|name| hello.get_array(name).ok())
        .map(|members| members.into_iter().count())
        .sum::<usize>();
    members > 1 && is_primary(hello)
}

fn is_primary(hello: &RawDocument) -> bool {
    ["isWritablePrimary", "ismaster"].iter().any(|name| hello.get_bool(name).unwrap_or(false))
}

/// Whether a host that answers is of another set than the connection string says, which to the
/// driver is no answer at all.
async fn other_set(options: &ClientOptions, uri: &str) -> Option<Error> {
    let wanted = options.repl_set_name.clone()?;
    for host in &options.hosts {
        let mut alone = options.clone();
        (alone.repl_set_name, alone.hosts) = (None, vec![host.clone()]);
        alone.direct_connection = Some(true);
        alone.server_selection_timeout = Some(OTHER_SET_PATIENCE);
        let Ok(client) = Client::with_options(alone) else { continue };
        let Ok(hello) = ask_who(&client, &primary()).await else { continue };
        let found = hello.get_str("setName").ok().map(str::to_owned);
        if found.as_ref() != Some(&wanted) {
            let (uri, member) = (uri.to_owned(), host.to_string());
            return Some(Error::OtherSet { uri, member, wanted, found });
        }
    }
    None
}

/// What goes wrong before the first answer is told of the whole deployment.
fn first_error(asked: &Asked, error: Driver) -> Error {
    match asked.error(error) {
        Error::Connection { why, .. } => Error::Unreachable { uri: asked.uri.clone(), why },
        other => other,
    }
}

/// Older servers know the question only by its old name.
pub(super) async fn ask_who(
    client: &Client,
    criteria: &SelectionCriteria,
) -> Result<RawDocumentBuf, Driver> {
    let admin = client.database("admin");
    for name in ["hello", "isMaster"] {
        let mut command = RawDocumentBuf::new();
        command.append(bson::raw::CString::try_from(name).map_err(Driver::custom)?, 1);
        let reply = admin.run_raw_command(command).selection_criteria(criteria.clone()).await;
        match reply {
            Err(error) if is_unknown_command(&error) => {}
            other => return other.and_then(|reply| Ok(RawDocumentBuf::try_from(reply)?)),
        }
    }
    Err(Driver::custom("the server knows neither hello nor isMaster"))
}

fn is_unknown_command(error: &Driver) -> bool {
    matches!(&*error.kind, ErrorKind::Command(failure) if failure.code == 59)
}

async fn ask(client: &Client, command: RawDocumentBuf) -> Result<RawDocumentBuf, Driver> {
    let reply = client.database("admin").run_raw_command(command).await?;
    Ok(RawDocumentBuf::try_from(reply)?)
}

fn told(hello: &RawDocument, uri: &str, database: Option<String>, host: String) -> Facts {
    let text = |name: &str| hello.get_str(name).ok().map(str::to_owned);
    Facts {
        uri: uri.to_owned(),
        database,
        version: (0, 0, 0),
        set_name: text("setName"),
        member: text("me").unwrap_or(host),
        is_mongos: hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
        is_primary: is_primary(hello),
        history_window: None,
        cluster_time: reply::operation_time(hello.as_bytes()),
    }
}

/// A client of the chosen member only; none where there is no choice of members.
fn member_alone(options: &ClientOptions, facts: &Facts, purpose: Purpose) -> Option<ClientOptions> {
    let chosen = purpose == Purpose::Read
        && facts.is_replica_set()
        && options.direct_connection != Some(true);
    if !chosen {
        return None;
    }
    let mut alone = options.clone();
    alone.hosts = vec![ServerAddress::parse(&facts.member).ok()?];
    alone.direct_connection = Some(true);
    Some(alone)
}

fn version(build: &RawDocument) -> (u32, u32, u32) {
    let numbers: Vec<u32> = build
        .get_array("versionArray")
        .into_iter()
        .flatten()
        .filter_map(|number| number.ok()?.as_i32())
        .map(|number| u32::try_from(number).unwrap_or(0))
        .collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
    (number(0), number(1), number(2))
}

/// A server that won't say may still be read at a moment; so this is no error.
async fn history_window(client: &Client) -> Option<Duration> {
    const NAME: &str = "minSnapshotHistoryWindowInSeconds";
    let command = rawdoc! { "getParameter": 1, "minSnapshotHistoryWindowInSeconds": 1 };
    let reply = ask(client, command).await.ok()?;
    let seconds = match reply.get(NAME).ok()?? {
        RawBsonRef::Int32(seconds) => u64::try_from(seconds).ok()?,
        RawBsonRef::Int64(seconds) => u64::try_from(seconds).ok()?,
        RawBsonRef::Double(seconds) if seconds >= 0.0 => seconds as u64,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

pub(super) fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

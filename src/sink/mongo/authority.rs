//! Users and roles, merged into those of a server.

use super::{
    Error,
    command::text_in,
    look, namespaces,
    writers::{Op, Order, Writers},
};
use crate::{
    document::{ArrayWriter, Writer, get, namespace::Namespace},
    mongo::{self, Link},
};
use bytes::Bytes;

/// Raw documents of `admin.system.users` and `admin.system.roles`.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    pub users: Vec<Bytes>,
    pub roles: Vec<Bytes>,
}

/// The names that the role `restore` may use for it.
const USERS: &str = "tempusers";
const ROLES: &str = "temproles";

const ROLE_NOT_FOUND: i32 = 31;

/// Adds what is new; what has the same name stays as it is, or with `replace` is replaced. Others
/// stay. Gives why users were not replaced.
pub fn merge_authority(
    link: &Link,
    authority: &Authority,
    replace: bool,
) -> Result<Vec<String>, Error> {
    let (users, roles) = (Namespace::new("admin", USERS), Namespace::new("admin", ROLES));
    let put = put(link, &users, &authority.users)
        .and_then(|()| put(link, &roles, &authority.roles))
        .and_then(|()| merge(link, &users, &roles));
    // Secrets are not left lying, whatever came of it.
    let gone = [&users, &roles].map(|place| namespaces::drop(link, place));
    put?;
    gone.into_iter().collect::<Result<(), Error>>()?;
    if !replace {
        return Ok(Vec::new());
    }
    // The server has passed by those that were there (6.0.5).
    authority.roles.iter().try_for_each(|role| update_role(link, role))?;
    replace_users(link, &authority.users)
}

fn put(link: &Link, place: &Namespace, documents: &[Bytes]) -> Result<(), Error> {
    namespaces::drop(link, place)?;
    namespaces::create(link, place, &Writer::new().finish(), None)?;
    let mut writers = Writers::start(link, place, Order::Kept, 1);
    for document in documents {
        writers.push(Op::Insert { document: document.clone() })?;
    }
    let failures = writers.finish()?.failures;
    // Part of them is not merged: the rest would be missing, and nobody would know.
    failures.told.into_iter().next().map_or(Ok(()), |first| {
        let (command, place) = ("insert".to_owned(), place.to_string());
        Err(Error::Authority { source: mongo::Error::Client { command, place, why: first.why } })
    })
}

/// The server does it from two collections that are there for that long only.
fn merge(link: &Link, users: &Namespace, roles: &Namespace) -> Result<(), Error> {
    let mut command = Writer::new();
    command.push_i32(b"_mergeAuthzCollections", 1);
    command.push_str(b"tempUsersCollection", users.to_string());
    command.push_str(b"tempRolesCollection", roles.to_string());
    command.push_str(b"db", "");
    // With it, all others would go.
    command.push_bool(b"drop", false);
    let run = link.run("admin", &command.finish());
    run.map(|_| ()).map_err(|source| Error::Authority { source })
}

/// No command sets a password as it is stored, but whoever may restore may write here.
fn replace_users(link: &Link, users: &[Bytes]) -> Result<Vec<String>, Error> {
    let place = Namespace::new("admin", "system.users");
    let mut writers = Writers::start(link, &place, Order::Any, 1);
    for user in users {
        let there = look::by_ids(link, &place, [&user[..]])?.pop();
        if let Some(was) = there.filter(|there| there != user) {
            writers.push(Op::Replace { document: user.clone(), was })?;
        }
    }
    let failures = writers.finish()?.failures;
    let more = failures.untold();
    let mut left: Vec<String> = failures.told.into_iter().map(|failure| failure.why).collect();
    left.extend((more > 0).then(|| format!("and so do {more} others")));
    Ok(left)
}

/// Nobody may write to where roles lie; a command sets all that they are.
fn update_role(link: &Link, role: &[u8]) -> Result<(), Error> {
    let mut command = Writer::new();
    command.push_str(b"updateRole", text_in(role, b"role").unwrap_or_default());
    for name in ["privileges", "roles", "authenticationRestrictions"] {
        match get(role, name.as_bytes()).ok().flatten() {
            Some(field) => command.push(&field),
            None => command.push_array(name.as_bytes(), &ArrayWriter::new().finish()),
        }
    }
    run_for_role(link, role, command)
}

/// Drops the role that a document of `admin.system.roles` is about, also from those who have it;
/// that there is none is no error.
pub fn drop_role(link: &Link, role: &[u8]) -> Result<(), Error> {
    let mut command = Writer::new();
    command.push_str(b"dropRole", text_in(role, b"role").unwrap_or_default());
    run_for_role(link, role, command)
}

fn run_for_role(link: &Link, role: &[u8], command: Writer) -> Result<(), Error> {
    let db = text_in(role, b"db").unwrap_or_default();
    match link.run(&db, &command.finish()) {
        Err(error) if error.code() == Some(ROLE_NOT_FOUND) => Ok(()),
        Err(source) => Err(Error::Authority { source }),
        Ok(_) => Ok(()),
    }
}

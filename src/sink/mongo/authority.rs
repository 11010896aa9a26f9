//! Users and roles, merged into those of a server.

use super::{
    Error, namespaces,
    writers::{Op, Order, Writers},
};
use crate::{
    document::{Writer, namespace::Namespace},
    mongo::Link,
};

/// Raw documents of `admin.system.users` and `admin.system.roles`.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    pub users: Vec<bytes::Bytes>,
    pub roles: Vec<bytes::Bytes>,
}

/// The names that the role `restore` may use for it.
const USERS: &str = "tempusers";
const ROLES: &str = "temproles";

/// Adds what is new and replaces what has the same name; with `drop`, removes all others, too.
/// The server does it from two collections that are there for that long only.
pub fn merge_authority(link: &Link, authority: &Authority, drop: bool) -> Result<(), Error> {
    let (users, roles) = (Namespace::new("admin", USERS), Namespace::new("admin", ROLES));
    let put = put(link, &users, &authority.users)
        .and_then(|()| put(link, &roles, &authority.roles))
        .and_then(|()| merge(link, &users, &roles, drop));
    // Secrets are not left lying, whatever came of it.
    let gone = [&users, &roles].map(|place| namespaces::drop(link, place));
    put?;
    gone.into_iter().collect()
}

fn put(link: &Link, place: &Namespace, documents: &[bytes::Bytes]) -> Result<(), Error> {
    namespaces::drop(link, place)?;
    namespaces::create(link, place, &Writer::new().finish(), None)?;
    let mut writers = Writers::start(link, place, Order::Kept, 1);
    for document in documents {
        writers.push(Op::Insert { document: document.clone() })?;
    }
    writers.finish().map(|_| ())
}

fn merge(link: &Link, users: &Namespace, roles: &Namespace, drop: bool) -> Result<(), Error> {
    let mut command = Writer::new();
    command.push_i32(b"_mergeAuthzCollections", 1);
    command.push_str(b"tempUsersCollection", users.to_string());
    command.push_str(b"tempRolesCollection", roles.to_string());
    command.push_str(b"db", "");
    command.push_bool(b"drop", drop);
    let run = link.run("admin", &command.finish());
    run.map(|_| ()).map_err(|source| Error::Authority { source })
}

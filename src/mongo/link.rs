//! A connection to a deployment, and the runtime that drives it.

use std::{future::Future, sync::Arc, time::Duration};

use bson::{RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};
use mongodb::{
    Client,
    error::{Error as Driver, ErrorKind},
};
use tokio::runtime::{Builder, Runtime};

use crate::limits;

use super::{
    Cursor, Error, Facts, User,
    cursor::Question,
    error::Asked,
    find::{ask_who, find, primary},
    throttle::Throttle,
};

/// Entries of a listing in one reply.
const LISTED_AT_ONCE: u32 = 1000;

/// What a link is for, which decides the member it speaks with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One member, chosen once and held: a secondary if there is one, or as the connection
    /// string's `readPreference` says.
    Read,
    /// The primary, whichever member that is at the moment.
    Write,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Connect {
    pub purpose: Purpose,
    /// Documents come no faster than this, all cursors together.
    pub bytes_per_second: Option<u64>,
    /// So long a server may take to answer the first time, or to be found again.
    pub patience: Duration,
}

impl Connect {
    pub fn to(purpose: Purpose) -> Connect {
        Connect { purpose, bytes_per_second: None, patience: Duration::from_secs(30) }
    }
}

/// A deployment that answers. Clones are the same link; all calls block, and may be made from
/// many threads, but from no asynchronous task.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    facts: Facts,
    user: Option<User>,
    purpose: Purpose,
    throttle: Throttle,
    // Last: what the others leave to be done is done on it.
    runtime: Runtime,
}

impl Link {
    /// Finds the deployment, chooses the member and asks it what it is.
    pub fn connect(uri: &str, connect: &Connect) -> Result<Link, Error> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("mongodb").enable_all();
        let runtime = builder.build().map_err(|why| Error::Runtime(Arc::new(why)))?;
        let found = runtime.block_on(find(uri, connect))?;
        let throttle = Throttle::new(connect.bytes_per_second);
        let (client, facts, user) = (found.client, found.facts, found.user);
        let purpose = connect.purpose;
        Ok(Link { inner: Arc::new(Inner { client, facts, user, purpose, throttle, runtime }) })
    }

    pub fn facts(&self) -> &Facts {
        &self.inner.facts
    }

    /// Who is logged in; an empty name is one that only the server knows (that of a certificate,
    /// for one).
    pub fn user(&self) -> Option<&User> {
        self.inner.user.as_ref()
    }

    /// The reply to `command`, run in `db`. The command's first field is its name. What the
    /// driver keeps of a reply is a decoded document: fields of one name are one field.
    pub fn run(&self, db: &str, command: &[u8]) -> Result<Vec<u8>, Error> {
        self.run_owned(db, command.to_vec())
    }

    /// The same of a command that is long, and not needed any more.
    pub fn run_owned(&self, db: &str, command: Vec<u8>) -> Result<Vec<u8>, Error> {
        let (asked, command) = self.asked(db, command)?;
        let database = self.inner.client.database(db);
        let call = database.run_raw_command(command);
        let call = match self.inner.purpose {
            Purpose::Read => call,
            Purpose::Write => call.selection_criteria(primary()),
        };
        match self.block_on(call.into_future()) {
            Ok(reply) => reply.to_vec().map_err(|why| asked.unreadable(why)),
            Err(error) => match undecoded(&error) {
                Some(reply) => Ok(reply),
                None => Err(asked.error(error)),
            },
        }
    }

    /// The batches of `command` (a find, an aggregate, a listing), of at most `documents_max`
    /// documents each, byte for byte as the server sends them. Errors come with the first batch.
    pub fn cursor(&self, db: &str, command: &[u8], documents_max: u32) -> Result<Cursor, Error> {
        let (asked, command) = self.asked(db, command.to_vec())?;
        let question = Question { asked, command, documents_max };
        Ok(Cursor::open(self, question, self.inner.throttle.clone()))
    }

    /// As [`Link::run`], and again while the connection is lost or the member changes its role;
    /// so only for what may be done twice.
    pub fn ask(&self, db: &str, command: &[u8]) -> Result<Vec<u8>, Error> {
        self.patiently(|| self.run(db, command))
    }

    /// All documents of `command`'s cursor; for listings, which fit into memory. Asked again as
    /// [`Link::ask`] does.
    pub fn list(&self, db: &str, command: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        self.list_as(db, command, |document, _| document.to_vec())
    }

    /// The same of documents that need not fit: what `keep` makes of each, told also how many
    /// bytes came before it.
    pub fn list_as<T>(
        &self,
        db: &str,
        command: &[u8],
        keep: impl Fn(&[u8], usize) -> T,
    ) -> Result<Vec<T>, Error> {
        self.patiently(|| {
            let (mut kept, mut before) = (Vec::new(), 0);
            for batch in self.cursor(db, command, LISTED_AT_ONCE)? {
                for document in batch?.documents() {
                    kept.push(keep(document, before));
                    before += document.len();
                }
            }
            Ok(kept)
        })
    }

    fn patiently<T>(&self, ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        let mut failures = 0;
        loop {
            match ask() {
                Err(error) if error.is_passing() && failures < limits::SCAN_FAILURES_MAX => {
                    failures += 1;
                    self.pause_after(failures);
                }
                answered => return answered,
            }
        }
    }

    /// Waits the longer the more often in a row something went wrong.
    pub fn pause_after(&self, failures: u32) {
        self.sleep(Duration::from_millis(100 << failures.min(6)));
    }

    /// The bound that was asked for.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.inner.throttle.bytes_per_second()
    }

    /// Waits; other calls go on.
    pub fn sleep(&self, how_long: Duration) {
        self.block_on(async { tokio::time::sleep(how_long).await });
    }

    /// What the server's process is called that would answer now, and by which election it is the
    /// primary: another one may not know all that was acknowledged before it. So may the same
    /// process, elected again after another was. None: it does not tell (before 4.4).
    pub fn process(&self) -> Result<Option<Vec<u8>>, Error> {
        let criteria = match self.inner.purpose {
            Purpose::Read => self.inner.client.selection_criteria().cloned(),
            Purpose::Write => None,
        };
        let criteria = criteria.unwrap_or_else(primary);
        self.patiently(|| {
            let command = rawdoc! { "hello": 1 };
            let (uri, user) = (&self.inner.facts.uri, self.inner.user.clone());
            let asked = asked("admin", command.as_bytes(), uri, (user, self.inner.purpose));
            let hello = self.block_on(ask_who(&self.inner.client, &criteria));
            let hello = hello.map_err(|error| asked.error(error))?;
            let version = hello.get_document("topologyVersion").ok();
            let process = version.and_then(|version| version.get_object_id("processId").ok());
            let election = hello.get_object_id("electionId").ok().map(|election| election.bytes());
            Ok(process.map(|process| [process.bytes(), election.unwrap_or_default()].concat()))
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(task);
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.inner.runtime.block_on(future)
    }

    fn asked(&self, db: &str, command: Vec<u8>) -> Result<(Asked, RawDocumentBuf), Error> {
        let who = (self.inner.user.clone(), self.inner.purpose);
        let asked = asked(db, &command, &self.inner.facts.uri, who);
        match RawDocumentBuf::from_bytes(command) {
            Ok(command) => Ok((asked, command)),
            Err(why) => Err(asked.unreadable(why)),
        }
    }
}

/// What a command is called and what it is about, for errors.
pub(super) fn asked(
    db: &str,
    command: &[u8],
    uri: &str,
    (user, purpose): (Option<User>, Purpose),
) -> Asked {
    let first = RawDocument::from_bytes(command).ok().and_then(|command| {
        let (name, value) = command.iter().next()?.ok()?;
        let subject = match value {
            RawBsonRef::String(subject) => Some(subject.to_owned()),
            _ => None,
        };
        let subject = subject.filter(|_| name.as_str() != "listDatabases");
        Some((name.as_str().to_owned(), subject))
    });
    let (command, collection) = first.unwrap_or_else(|| ("a command".to_owned(), None));
    Asked { command, db: db.to_owned(), collection, user, purpose, uri: uri.to_owned() }
}

/// The reply itself, when all that failed was to decode it: bytes that are not UTF-8 are nothing
/// to be refused here.
fn undecoded(error: &Driver) -> Option<Vec<u8>> {
    let reply = error.server_response()?;
    let accepted = matches!(reply.get("ok").ok()??, RawBsonRef::Double(1.0));
    let decoding = matches!(*error.kind, ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. });
    (accepted && decoding).then(|| reply.as_bytes().to_vec())
}

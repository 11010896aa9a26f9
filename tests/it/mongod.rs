//! Real MongoDB servers in processes of their own, for the time of a test.

mod ability;
mod lossy;

use std::{
    fs::{self, Permissions},
    future::IntoFuture,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use mongodb::{
    Client,
    bson::{Document, doc},
};

pub use ability::{Ability, can, has};
pub use lossy::Lossy;

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const SET: &str = "rs";
const ROOT: (&str, &str) = ("root", "root-password");

/// One server's process and directory.
pub struct Member {
    pub port: u16,
    directory: tempfile::TempDir,
    process: Option<Child>,
    arguments: Vec<String>,
}

/// What a deployment is to be like.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// 0: a standalone.
    pub members: usize,
    pub auth: bool,
    /// More arguments for each mongod.
    pub arguments: Vec<&'static str>,
}

/// Servers that belong together. They are killed, and their data is gone, when this is dropped.
pub struct Deployment {
    pub members: Vec<Member>,
    wish: Wish,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Deployment {
    pub fn standalone() -> Deployment {
        Deployment::of(Wish::default())
    }

    /// A set of one.
    pub fn replica_set() -> Deployment {
        Deployment::replica_set_of(1)
    }

    pub fn replica_set_of(members: usize) -> Deployment {
        Deployment::of(Wish { members, ..Wish::default() })
    }

    /// A set of one with access control; `client` is its root.
    pub fn with_auth() -> Deployment {
        Deployment::of(Wish { members: 1, auth: true, ..Wish::default() })
    }

    /// Up, and for a set: with a primary, and all others following it.
    pub fn of(wish: Wish) -> Deployment {
        let members: Vec<Member> = (0..wish.members.max(1)).map(|_| Member::start(&wish)).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let first = direct(members[0].port);
        let client = runtime.block_on(Client::with_uri_str(&first)).unwrap();
        let mut deployment = Deployment { members, wish, client, runtime };
        if deployment.wish.members > 0 {
            deployment.initiate();
        }
        if deployment.wish.auth {
            let (user, pwd) = ROOT;
            let roles = [doc! { "role": "root", "db": "admin" }];
            deployment.command("admin", doc! { "createUser": user, "pwd": pwd, "roles": roles });
        }
        let uri = deployment.uri();
        deployment.client = deployment.block(Client::with_uri_str(&uri)).unwrap();
        deployment
    }

    /// For any client, as root where there is access control.
    pub fn uri(&self) -> String {
        if self.wish.auth { self.uri_as(ROOT.0, ROOT.1) } else { self.uri_for("") }
    }

    /// For a user of the database `admin`.
    pub fn uri_as(&self, user: &str, password: &str) -> String {
        self.uri_for(&format!("{user}:{password}@"))
    }

    fn uri_for(&self, user: &str) -> String {
        let hosts: Vec<_> = self.members.iter().map(|m| format!("127.0.0.1:{}", m.port)).collect();
        let set = if self.wish.members > 0 { format!("?replicaSet={SET}") } else { String::new() };
        format!("mongodb://{user}{}/{set}", hosts.join(","))
    }

    /// Of one member, whatever its state.
    pub fn direct_uri(&self, member: usize) -> String {
        let user = if self.wish.auth { format!("{}:{}@", ROOT.0, ROOT.1) } else { String::new() };
        direct(self.members[member].port).replace("mongodb://", &format!("mongodb://{user}"))
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn block<T>(&self, future: impl IntoFuture<Output = T>) -> T {
        self.runtime.block_on(async { future.await })
    }

    /// Runs it on the primary; it must succeed.
    pub fn command(&self, database: &str, command: Document) -> Document {
        let text = format!("{command:?}");
        self.try_command(database, command).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub fn try_command(
        &self,
        database: &str,
        command: Document,
    ) -> Result<Document, mongodb::error::Error> {
        self.block(self.client.database(database).run_command(command))
    }

    fn initiate(&self) {
        let members: Vec<Document> = self
            .members
            .iter()
            .enumerate()
            .map(|(number, member)| {
                let host = format!("127.0.0.1:{}", member.port);
                // The first is the primary as long as it lives.
                let priority = if number == 0 { 2.0 } else { 1.0 };
                doc! { "_id": number as i32, "host": host, "priority": priority }
            })
            .collect();
        let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": SET, "members": members, "settings": settings };
        self.command("admin", doc! { "replSetInitiate": config });
        self.await_settled();
    }

    /// Until there is a primary, and all others follow it.
    pub fn await_settled(&self) {
        let begun = Instant::now();
        while !self.is_settled() {
            assert!(begun.elapsed() < PATIENCE, "the replica set does not come up");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until every member has all that was written before.
    pub fn await_caught_up(&self) {
        let all = doc! { "w": self.members.len() as i32 };
        let note = doc! { "appendOplogNote": 1, "data": { "caught": "up" }, "writeConcern": all };
        self.command("admin", note);
    }

    fn is_settled(&self) -> bool {
        // Before there is a user, each member answers only this.
        let states = self.members.iter().map(|member| {
            self.block(async {
                let client = Client::with_uri_str(direct(member.port)).await.ok()?;
                client.database("admin").run_command(doc! { "hello": 1 }).await.ok()
            })
        });
        let states: Vec<Document> = states.flatten().collect();
        let is = |state: &Document, what| state.get_bool(what).unwrap_or(false);
        states.len() == self.members.len()
            && states.iter().any(|state| is(state, "isWritablePrimary"))
            && states.iter().all(|s| is(s, "isWritablePrimary") || is(s, "secondary"))
    }
}

impl Member {
    fn start(wish: &Wish) -> Member {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = [
            "--bind_ip=127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB=0.25",
            "--setParameter=enableTestCommands=1",
            "--setParameter=diagnosticDataCollectionEnabled=false",
        ]
        .map(String::from)
        .to_vec();
        if wish.members > 0 {
            arguments.extend(["--replSet".into(), SET.into()]);
            if !wish.arguments.iter().any(|argument| argument.starts_with("--oplogSize")) {
                arguments.push("--oplogSize=128".into());
            }
        }
        if wish.auth {
            let key = directory.path().join("key");
            fs::write(&key, "a key that all members share").unwrap();
            fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
            arguments.extend(["--auth".into(), "--keyFile".into(), key.display().to_string()]);
        }
        arguments.extend(wish.arguments.iter().map(|argument| argument.to_string()));
        let mut member = Member { port: 0, directory, process: None, arguments };
        // Another process may take the port between our look and the server's start.
        for _ in 0..5 {
            member.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if member.run() {
                return member;
            }
        }
        panic!("mongod does not come up:\n{}", member.log());
    }

    /// At once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// On the same port, with the same data.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "mongod does not come up again:\n{}", self.log());
    }

    /// Killed, and begun anew with nothing: as a member of a set it fetches all from the others.
    pub fn wipe(&mut self) {
        self.kill();
        fs::remove_dir_all(self.directory.path().join("data")).unwrap();
        assert!(self.run(), "mongod does not come up empty:\n{}", self.log());
    }

    /// The end of what it wrote.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn run(&mut self) -> bool {
        let data = self.directory.path().join("data");
        fs::create_dir_all(&data).unwrap();
        // The server ends with the test, even when the test is killed.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(program())
            .arg("--dbpath")
            .arg(&data)
            .arg("--logpath")
            .arg(self.directory.path().join("log"))
            .arg("--logappend")
            .arg(format!("--port={}", self.port))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.process = Some(process);
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        false
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The version all servers of this run have.
pub fn version() -> String {
    std::env::var("ICECORE_TEST_MONGOD").unwrap_or_else(|_| "6.0.5".into())
}

/// The words of the command that runs mongod, installed if it was not.
fn program() -> Vec<String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/mongod");
    let output = Command::new(script).args(["path", &version()]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/mongod path {}: {errors}", version());
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(String::from).collect()
}

fn direct(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

#[test]
fn a_set_of_three_has_one_primary_and_a_server_with_auth_asks_who_one_is() {
    let mut set = Deployment::replica_set_of(3);
    set.members[2].restart();
    let third = set.block(Client::with_uri_str(set.direct_uri(2))).unwrap();
    set.block(third.database("admin").run_command(doc! { "ping": 1 })).unwrap();
    set.command("shop", doc! { "insert": "orders", "documents": [doc! { "_id": 1 }] });
    let status = set.command("admin", doc! { "replSetGetStatus": 1 });
    let states = status.get_array("members").unwrap().iter();
    let states = states.map(|member| member.as_document().unwrap().get_i32("state").unwrap());
    assert_eq!(states.filter(|state| *state == 1).count(), 1);

    let guarded = Deployment::with_auth();
    guarded.command("shop", doc! { "insert": "orders", "documents": [doc! { "_id": 1 }] });
    let stranger = guarded.block(Client::with_uri_str(direct(guarded.members[0].port))).unwrap();
    let refused = guarded.block(stranger.list_database_names());
    assert!(refused.is_err(), "nobody may list databases: {refused:?}");
    assert_eq!(
        version(),
        guarded.command("admin", doc! { "buildInfo": 1 }).get_str("version").unwrap()
    );
}

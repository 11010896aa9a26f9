//! A real S3 server in a process of its own, for the time of a test.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Once},
    thread,
    time::Duration,
};

use icecore::{
    ambient::Ambient,
    store::{
        Store,
        location::{self, StoreOptions},
    },
};

pub const BUCKET: &str = "bucket";

/// What `If-None-Match: *` means to the server (`scripts/s3-server`).
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    Atomic,
    Racy,
    Ignorant,
}

pub struct S3Server {
    mode: Mode,
    port: u16,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl S3Server {
    /// Up and answering, with one empty bucket.
    pub fn start(mode: Mode) -> S3Server {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            let status = Command::new(script()).arg("install").status().unwrap();
            assert!(status.success(), "scripts/s3-server install");
        });
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut server = S3Server { mode, port: 0, directory, process: None };
        // Another process may take the port between our look and the server's start.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.run() {
                return server;
            }
        }
        panic!("the S3 server does not come up");
    }

    /// At once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// On the same port, with the same objects.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "the S3 server does not come up again");
    }

    fn run(&mut self) -> bool {
        let mode = format!("{:?}", self.mode).to_lowercase();
        let mut process = Command::new(script())
            .args(["run", &mode, &self.port.to_string()])
            .arg(self.directory.path())
            .arg("until-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.process = Some(process);
                return true;
            }
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        process.kill().unwrap();
        false
    }

    /// The name of a repository below `prefix` in the bucket.
    pub fn place(&self, prefix: &str) -> String {
        format!("s3:http://127.0.0.1:{}/{BUCKET}/{prefix}", self.port)
    }

    pub fn open(&self, prefix: &str) -> Arc<dyn Store> {
        open(&self.place(prefix), &[])
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "scripts", "s3-server"].iter().collect()
}

/// Retries that end within seconds, the credentials of the server, and what else is said.
pub fn options(more: &[(&str, &str)]) -> StoreOptions {
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let usual = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "testsecret"),
        ("s3.retries", "3"),
        ("s3.retry-max-seconds", "1"),
        ("s3.stall-seconds", "5"),
    ];
    for (key, value) in usual.iter().chain(more) {
        options.insert(key.to_string(), value.to_string());
    }
    StoreOptions { options, ..StoreOptions::default() }
}

pub fn open(place: &str, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let location = location::parse(place).unwrap();
    location::open(&location, &options(more), &Ambient::real("host", "someone")).unwrap()
}

//! The binary as scripts and people meet it: exit codes, JSON, passwords, variables, pipes.

mod bytes;
mod codes;
pub mod damaged;
mod interrupts;
mod json;
mod lists;
mod passwords;
mod patterns;
mod pipes;
mod told;
mod usage;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home of one's own: a repository, some data, and an environment that nobody else touches.
pub struct Desk {
    home: TempDir,
}

/// What a command left behind.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    pub fn new() -> Self {
        Desk { home: tempfile::tempdir().unwrap() }
    }

    /// A repository whose password costs little to try: many commands try it.
    pub fn init(&self) {
        self.ok(&["init", "--kdf-memory", "64", "--kdf-time", "1"]);
    }

    /// With a repository, and two snapshots of `data` with changes between.
    pub fn with_snapshots() -> Self {
        let desk = Desk::new();
        desk.init();
        desk.write("data/a.txt", "one\n");
        desk.write("data/dir/b.txt", "two\n");
        desk.write("data/dir/gone.txt", "three\n");
        desk.ok(&["backup", "data", "--tag", "first"]);
        desk.write("data/a.txt", "one, changed\n");
        desk.write("data/new.txt", "four\n");
        fs::remove_file(desk.path("data/dir/gone.txt")).unwrap();
        desk.ok(&["backup", "data", "--tag", "second"]);
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The path as a snapshot knows it.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `icecore` with these arguments, ready for more variables.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("ICECORE_REPOSITORY", self.path("repository"));
        command.env("ICECORE_CACHE_DIR", self.path("cache"));
        command.env("ICECORE_PASSWORD", "correct horse").env("ICECORE_HOST", "desk");
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.home.path()).env("TZ", "UTC");
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// Standard output of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// The one JSON document of a command that must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The JSON Lines of a command that must succeed.
    pub fn json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.ok(&[arguments, &["--json"]].concat()))
    }
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().expect("no signal ended it"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

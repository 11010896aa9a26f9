//! One file that is no file: standard input, or what a command prints.

use std::{
    ffi::OsString,
    io::{ErrorKind, Read},
    process::{Child, Command, Stdio},
};

use rustix::process::{getgid, getuid};

use super::{Error, files::Names};
use crate::format::entry::{Entry, Kind, Time, key_of_path, parent_key};

/// Bytes that come once and have no size before they end. They are recorded as a file.
pub struct Stream {
    key: Vec<u8>,
    template: Entry,
    input: Box<dyn Read + Send>,
    command: Option<Running>,
    bytes: u64,
}

struct Running {
    program: String,
    child: Child,
}

impl Stream {
    /// `path` is where the file is to stand, from `/`.
    pub fn of(path: &[u8], now: Time, input: Box<dyn Read + Send>) -> Result<Stream, Error> {
        let key = key_of_path(path)?;
        if key.is_empty() {
            return Err(Error::NoFileName { name: path.escape_ascii().to_string() });
        }
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        let names = Names::default();
        let template = Entry {
            mode: 0o644,
            uid,
            gid,
            user: names.user(uid),
            group: names.group(gid),
            mtime: now,
            ctime: now,
            ..Entry::default()
        };
        Ok(Stream { key, template, input, command: None, bytes: 0 })
    }

    /// What `command` prints on its standard output. Its other outputs and its input are ours.
    pub fn of_command(path: &[u8], now: Time, command: &[OsString]) -> Result<Stream, Error> {
        let (program, arguments) = command.split_first().ok_or(Error::NoCommand)?;
        let shown = program.to_string_lossy().into_owned();
        let mut stream = Stream::of(path, now, Box::new(std::io::empty()))?;
        let spawned = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn();
        let mut child =
            spawned.map_err(|source| Error::Spawn { program: shown.clone(), source })?;
        let output = child.stdout.take().expect("it was asked for");
        stream.input = Box::new(output);
        stream.command = Some(Running { program: shown, child });
        Ok(stream)
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The directories above it, from the top down: they stand nowhere but in the snapshot.
    pub fn parents(&self) -> Vec<(Vec<u8>, Entry)> {
        let above = std::iter::successors(parent_key(&self.key), |key| parent_key(key));
        let mut keys: Vec<_> = above.take_while(|key| !key.is_empty()).collect();
        keys.reverse();
        let dir = Entry { kind: Kind::Dir, mode: 0o755, ..self.template.clone() };
        keys.into_iter().map(|key| (key.to_vec(), dir.clone())).collect()
    }

    /// Fills `buffer` as far as the input goes; 0 at its end.
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Input(error)),
            }
        }
        self.bytes += filled as u64;
        Ok(filled)
    }

    /// After the end: the entry of what was read. A command that failed is an error, however
    /// much it printed: no snapshot may be made of it.
    pub fn finish(mut self) -> Result<Entry, Error> {
        // A command that was not read to its end would wait for a reader for ever.
        self.input = Box::new(std::io::empty());
        if let Some(mut running) = self.command.take() {
            let program = std::mem::take(&mut running.program);
            let status = running.child.wait().map_err(Error::Input)?;
            if !status.success() {
                return Err(Error::CommandFailed { program, status });
            }
        }
        Ok(Entry { size: self.bytes, ..self.template.clone() })
    }
}

/// A run that stops early leaves no command behind.
impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It may have ended by itself between the two calls.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time { seconds: 7, nanos: 9 };

    fn run(script: &str) -> (Vec<u8>, Result<Entry, Error>) {
        let command = ["sh", "-c", script].map(OsString::from);
        let mut stream = Stream::of_command(b"/dump/db.sql", NOW, &command).unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 7];
        loop {
            match stream.next(&mut buffer).unwrap() {
                0 => return (bytes, stream.finish()),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_reader_becomes_a_file() {
        let input = Box::new(std::io::Cursor::new(b"hello world".to_vec()));
        let mut stream = Stream::of(b"/stdin", NOW, input).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(stream.next(&mut buffer).unwrap(), 11);
        assert_eq!(stream.next(&mut buffer).unwrap(), 0);
        assert_eq!((stream.key(), stream.parents().len()), (&b"stdin"[..], 0));
        let entry = stream.finish().unwrap();
        assert_eq!((entry.size, entry.mode, entry.mtime), (11, 0o644, NOW));
        assert_eq!(entry.uid, getuid().as_raw());
    }

    #[test]
    fn what_a_command_prints() {
        let (bytes, entry) = run("printf 'some thousand rows'");
        assert_eq!(bytes, b"some thousand rows");
        assert_eq!(entry.unwrap().size, 18);
    }

    #[test]
    fn a_command_that_fails_after_printing_is_an_error() {
        let (bytes, entry) = run("printf half; exit 3");
        assert_eq!(bytes, b"half");
        let error = entry.unwrap_err();
        assert_eq!(error.to_string(), "sh failed: exit status: 3");
    }

    #[test]
    fn a_command_killed_or_missing_is_an_error() {
        assert!(matches!(run("kill -9 $$").1, Err(Error::CommandFailed { .. })));
        let none = Stream::of_command(b"/x", NOW, &["/no/such/program".into()]);
        assert!(matches!(none, Err(Error::Spawn { .. })));
        assert!(matches!(Stream::of_command(b"/x", NOW, &[]), Err(Error::NoCommand)));
    }

    #[test]
    fn a_stream_dropped_early_ends_its_command() {
        let command = ["sh", "-c", "echo $$; exec sleep 1000"].map(OsString::from);
        let mut stream = Stream::of_command(b"/x", NOW, &command).unwrap();
        let mut digit = [0; 1];
        let mut pid = String::new();
        while stream.next(&mut digit).unwrap() == 1 && digit != *b"\n" {
            pid.push(char::from(digit[0]));
        }
        drop(stream);
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        assert_eq!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    }

    #[test]
    fn parents_from_the_top_down() {
        let stream = Stream::of(b"/a/b/c", NOW, Box::new(std::io::empty())).unwrap();
        let keys: Vec<_> = stream.parents().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a".to_vec(), b"a\0b".to_vec()]);
        assert!(Stream::of(b"/", NOW, Box::new(std::io::empty())).is_err());
        assert!(Stream::of(b"stdin", NOW, Box::new(std::io::empty())).is_err());
    }
}

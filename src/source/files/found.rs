//! Something that the walk came by.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::{fs::readlinkat, io::Errno};

use super::{
    Content, Names,
    attributes::{At, Attributes, read},
    dir::Dir,
};
use crate::{
    format::entry::{Entry, FileType, Kind, Stat, name_of_key, path_of_key},
    source::{Error, Trouble},
};

/// A thing in its directory, by what one `stat` told. It may be asked for more, from any thread,
/// as long as it is held; holding many of them costs memory but no descriptors.
#[derive(Debug)]
pub struct Found {
    pub key: Vec<u8>,
    pub stat: Stat,
    /// A directory on the way to a root that was asked for, and not below one. Others may use it
    /// too: that its times move says nothing about what was asked for.
    pub passage: bool,
    pub(super) dir: Arc<Dir>,
}

impl Found {
    /// Absolute, any bytes.
    pub fn path(&self) -> Vec<u8> {
        path_of_key(&self.key)
    }

    /// Opens a file for reading. It is taken as it is now: `stat` becomes that of the open file.
    /// Anything else that stands there by now is a trouble.
    pub fn open(&mut self) -> Result<Content, Trouble> {
        let dir = self.fd("open")?;
        let content = Content::open(&dir, self.name(), &self.key)?;
        self.stat = *content.stat();
        Ok(content)
    }

    /// The entry with all that `stat` does not tell: target, names, attributes. Not the content.
    /// `content`, when the file is open, saves a way. Attributes that could not be read are left
    /// out and told beside the entry.
    pub fn complete(
        &self,
        names: &Names,
        content: Option<&Content>,
    ) -> Result<(Entry, Option<Trouble>), Trouble> {
        let mut entry = Entry::of_stat(&self.stat);
        entry.user = names.user(self.stat.uid);
        entry.group = names.group(self.stat.gid);
        let attributes = match content {
            Some(content) => read(&At::Open(content.fd())),
            None => self.reach(&mut entry)?,
        };
        entry.xattrs = attributes.pairs;
        let lacking = attributes.lacking.map(|error| self.trouble("read attributes", error));
        Ok((entry, lacking))
    }

    fn reach(&self, entry: &mut Entry) -> Result<Attributes, Trouble> {
        let dir = self.fd("stat")?;
        if let Kind::Symlink { target } = &mut entry.kind {
            *target = self.target(&dir)?;
            entry.size = target.len() as u64;
        }
        let passing = [self.name(), b"/."].concat();
        // A passage may be a symbolic link to a directory, and it is the directory that counts.
        let name = if self.passage { &passing } else { self.name() };
        Ok(read(&At::Named { dir: &dir, name }))
    }

    fn target(&self, dir: &OwnedFd) -> Result<Vec<u8>, Trouble> {
        match readlinkat(dir, self.name(), Vec::new()) {
            Ok(target) if !target.is_empty() => Ok(target.into_bytes()),
            Ok(_) | Err(Errno::INVAL) => Err(self.trouble("read link", Error::Swapped)),
            Err(errno) => Err(self.trouble("read link", Error::System(errno))),
        }
    }

    /// In its directory; `/` is found in itself.
    fn name(&self) -> &[u8] {
        match name_of_key(&self.key) {
            b"" => b".",
            name => name,
        }
    }

    fn fd(&self, during: &'static str) -> Result<Arc<OwnedFd>, Trouble> {
        self.dir.fd().map_err(|error| self.trouble(during, error))
    }

    fn trouble(&self, during: &'static str, error: Error) -> Trouble {
        Trouble { path: self.path(), during, error }
    }

    pub fn is_file(&self) -> bool {
        self.stat.file_type == FileType::File
    }

    pub fn is_dir(&self) -> bool {
        self.stat.file_type == FileType::Dir
    }
}

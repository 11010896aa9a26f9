//! What a tree of files holds under each path: everything about an entry but its large content.
//!
//! Entries are MessagePack maps with one-letter names; what has its usual value is left out, and
//! readers skip names they do not know. Keys are in `path`.

mod path;
mod wire;

use std::sync::Arc;

pub use path::{
    check_key, components, join_key, key_of_path, name_of_key, parent_key, path_of_key,
};
pub use wire::StatKey;

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Seconds since 1970 and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    pub seconds: i64,
    /// Less than 10^9.
    pub nanos: u32,
}

/// What sort of thing stands in a directory. The numbers are the ones in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum FileType {
    #[default]
    File = 0,
    Dir = b'd',
    Symlink = b'l',
    Fifo = b'p',
    Char = b'c',
    Block = b'b',
    Socket = b's',
}

impl FileType {
    /// From the type bits of `st_mode`; `None` for what Linux does not have.
    pub fn of_mode(st_mode: u32) -> Option<FileType> {
        Some(match st_mode & 0o170_000 {
            0o100_000 => FileType::File,
            0o040_000 => FileType::Dir,
            0o120_000 => FileType::Symlink,
            0o010_000 => FileType::Fifo,
            0o020_000 => FileType::Char,
            0o060_000 => FileType::Block,
            0o140_000 => FileType::Socket,
            _ => return None,
        })
    }
}

/// The same, with what only that sort has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    File,
    Dir,
    Symlink {
        /// Any bytes but NUL, as `readlink` gives them.
        target: Vec<u8>,
    },
    Fifo,
    Char {
        rdev: u64,
    },
    Block {
        rdev: u64,
    },
    Socket,
}

impl Kind {
    pub fn file_type(&self) -> FileType {
        match self {
            Kind::File => FileType::File,
            Kind::Dir => FileType::Dir,
            Kind::Symlink { .. } => FileType::Symlink,
            Kind::Fifo => FileType::Fifo,
            Kind::Char { .. } => FileType::Char,
            Kind::Block { .. } => FileType::Block,
            Kind::Socket => FileType::Socket,
        }
    }
}

/// What one `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    pub file_type: FileType,
    /// Permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of files and symbolic links; 0 for the others, whose size says nothing about them.
    pub size: u64,
    /// Bytes on the disk: fewer than `size` where there are holes.
    pub allocated: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub inode: u64,
    pub dev: u64,
    pub rdev: u64,
    pub nlink: u32,
}

/// One thing in a tree of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Of files and symbolic links; 0 for the others.
    pub size: u64,
    /// Permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Empty: the number had no name, or one that is no UTF-8.
    pub user: Arc<str>,
    pub group: Arc<str>,
    pub mtime: Time,
    pub ctime: Time,
    pub inode: u64,
    /// Only where it is needed to tell hard links: 0 when `nlink` is 1, and for directories. The
    /// numbers of devices change from boot to boot, and an unchanged tree shall stay so.
    pub dev: u64,
    /// 1 for directories.
    pub nlink: u32,
    /// Names and values, ascending by name; access control lists are among them
    /// (`system.posix_acl_access`).
    pub xattrs: Vec<Xattr>,
    /// The whole content of a small file, if the writer chose to keep it here.
    pub inline: Vec<u8>,
}

/// An empty file of nobody's that is linked once; its bytes are an empty map.
impl Default for Entry {
    fn default() -> Self {
        Entry {
            kind: Kind::File,
            size: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            user: Arc::default(),
            group: Arc::default(),
            mtime: Time::default(),
            ctime: Time::default(),
            inode: 0,
            dev: 0,
            nlink: 1,
            xattrs: Vec::new(),
            inline: Vec::new(),
        }
    }
}

impl Entry {
    /// All that `stat` knows; the rest (target, names, attributes, content) is for the caller.
    pub fn of_stat(stat: &Stat) -> Entry {
        let linked = stat.nlink > 1 && stat.file_type != FileType::Dir;
        Entry {
            kind: match stat.file_type {
                FileType::File => Kind::File,
                FileType::Dir => Kind::Dir,
                FileType::Symlink => Kind::Symlink { target: Vec::new() },
                FileType::Fifo => Kind::Fifo,
                FileType::Char => Kind::Char { rdev: stat.rdev },
                FileType::Block => Kind::Block { rdev: stat.rdev },
                FileType::Socket => Kind::Socket,
            },
            size: stat.size,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime,
            ctime: stat.ctime,
            inode: stat.inode,
            dev: if linked { stat.dev } else { 0 },
            nlink: if linked { stat.nlink } else { 1 },
            ..Entry::default()
        }
    }

    /// Nothing speaks for a change since this was recorded: same sort, size, times and inode.
    /// (A change of owner, mode, attributes or target moves ctime.)
    pub fn same_stat(&self, stat: &Stat) -> bool {
        self.stat_key() == StatKey::of(stat)
    }

    pub fn stat_key(&self) -> StatKey {
        StatKey {
            file_type: self.kind.file_type(),
            size: self.size,
            mtime: self.mtime,
            ctime: self.ctime,
            inode: self.inode,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

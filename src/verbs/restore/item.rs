//! An entry of a snapshot, as a restore needs it.

use super::{judge::Wish, links::LinkId};
use crate::{
    format::{
        self,
        entry::{Entry, Kind},
    },
    sink::{FoundKind, Meta, Node, Xattr},
    tree::{Piece, Pieces, Value},
};

pub(super) struct Item {
    pub wish: Wish,
    pub symlink: Vec<u8>,
    pub xattrs: Vec<Xattr>,
    /// The whole content, when it stands in the entry.
    pub inline: Vec<u8>,
    pub pieces: Pieces,
    /// Where it was, and how many names it had there: more than one.
    pub links: Option<(LinkId, u64)>,
}

impl Item {
    pub fn of(value: &Value) -> Result<Self, format::Error> {
        let entry = Entry::decode(&value.head)?;
        let (mut symlink, mut rdev) = (Vec::new(), 0);
        let kind = match entry.kind {
            Kind::File => FoundKind::File,
            Kind::Dir => FoundKind::Dir,
            Kind::Symlink { target } => {
                symlink = target;
                FoundKind::Symlink
            }
            Kind::Fifo => FoundKind::Fifo,
            Kind::Socket => FoundKind::Socket,
            Kind::Char { rdev: number } => {
                rdev = number;
                FoundKind::Char
            }
            Kind::Block { rdev: number } => {
                rdev = number;
                FoundKind::Block
            }
        };
        let Entry { mode, uid, gid, mtime, size: size_bytes, .. } = entry;
        let linked = entry.nlink > 1 && kind != FoundKind::Dir;
        let place = LinkId::new((entry.dev, entry.inode), size_bytes, mtime);
        Ok(Item {
            wish: Wish { kind, size_bytes, mode, uid, gid, mtime, rdev },
            symlink,
            xattrs: entry.xattrs,
            inline: entry.inline,
            pieces: value.pieces.clone(),
            links: linked.then_some((place, u64::from(entry.nlink))),
        })
    }

    pub fn is_dir(&self) -> bool {
        self.wish.kind == FoundKind::Dir
    }

    /// Its content is a run of pieces short enough for one worker.
    pub fn is_small(&self) -> bool {
        match &self.pieces {
            Pieces::None | Pieces::Map(_) => true,
            Pieces::List(_) => self.wish.size_bytes <= SMALL_MAX_BYTES,
            Pieces::Tree(_) => false,
        }
    }

    /// Empty for what `is_small` says no to.
    pub fn list(&self) -> &[Piece] {
        match &self.pieces {
            Pieces::List(list) => list,
            Pieces::None | Pieces::Tree(_) | Pieces::Map(_) => &[],
        }
    }

    pub fn meta(&self) -> Meta<'_> {
        let Wish { mode, uid, gid, mtime, .. } = self.wish;
        Meta { mode, uid, gid, mtime, xattrs: &self.xattrs }
    }

    /// What is made whole by one call; `None` for files and directories.
    pub fn node(&self) -> Option<Node<'_>> {
        match self.wish.kind {
            FoundKind::File | FoundKind::Dir => None,
            FoundKind::Symlink => Some(Node::Symlink(&self.symlink)),
            FoundKind::Fifo => Some(Node::Fifo),
            FoundKind::Socket => Some(Node::Socket),
            FoundKind::Char => Some(Node::Char(self.wish.rdev)),
            FoundKind::Block => Some(Node::Block(self.wish.rdev)),
        }
    }
}

/// Larger files are several workers' work.
const SMALL_MAX_BYTES: u64 = 8 << 20;

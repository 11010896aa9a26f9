//! What the kernel asks, and what it is told.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyXattr, Request,
};

use crate::{
    ambient::Ambient,
    format::entry::{Entry, FileType, Kind, Time},
    progress::{Progress, Trouble},
    repo::ReadBlobs,
    tree::content,
};

use super::{
    chunks::Chunks,
    inodes::Inodes,
    shelf::{List, Names, Shelf},
    view::{self, Node, Place, Within},
};

/// Snapshots never change; the list of them does.
const TTL_WITHIN: Duration = Duration::from_secs(3600);
const TTL_TOP: Duration = Duration::from_secs(1);
const TOP: u64 = 1;
const BY_DATE: u64 = 2;
/// Listings tell types but no numbers: those come with a look-up. libfuse says it so, too.
const UNKNOWN: INodeNo = INodeNo(0xffff_ffff);

pub(super) struct Answers<R> {
    reader: Chunks<R>,
    shelf: Shelf,
    inodes: Inodes,
    listings: Mutex<HashMap<u64, Arc<Mutex<Listing>>>>,
    next_handle: AtomicU64,
    progress: Arc<Progress>,
}

/// A directory that is being listed: where it goes on, and after how many names.
#[derive(Default)]
struct Listing {
    from: Vec<u8>,
    given: u64,
    at_end: bool,
}

impl<R: ReadBlobs> Answers<R> {
    pub fn new(reader: R, list: List, ambient: Ambient, progress: Arc<Progress>) -> Self {
        Answers {
            reader: Chunks::new(reader),
            shelf: Shelf::new(list, ambient),
            inodes: Inodes::new(),
            listings: Mutex::default(),
            next_handle: AtomicU64::new(1),
            progress,
        }
    }

    fn find(&self, parent: u64, name: &[u8]) -> Result<Option<Node>, Errno> {
        let names = self.shelf.names();
        let text = std::str::from_utf8(name).unwrap_or_default();
        match parent {
            TOP => Ok(match names.by_id.get(text) {
                Some(snapshot) => Some(Node::top_of(snapshot)),
                None if text == "latest" => latest(&names),
                None => None,
            }),
            BY_DATE => Ok(names.by_date.get(text).map(|id| {
                let time = names.by_id.get(id).map(time_of).unwrap_or_default();
                Node::pointer(Place::Date(text.to_owned()), format!("../{id}"), time)
            })),
            _ => {
                let node = self.node(parent)?;
                let within = node.within.as_ref().ok_or(Errno::ENOTDIR)?;
                view::child(&self.reader, &within.snapshot, &within.key, name)
                    .map_err(|error| self.failed(within, &error))
            }
        }
    }

    fn node(&self, number: u64) -> Result<Arc<Node>, Errno> {
        self.inodes.get(number).ok_or(Errno::ESTALE)
    }

    fn failed(&self, within: &Within, error: &dyn std::error::Error) -> Errno {
        let key = String::from_utf8_lossy(&within.key).replace('\0', "/");
        let mut line = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        let item = format!("{}:/{key}", within.snapshot.sid.short());
        self.progress.trouble(Trouble { item, during: "read", error: line });
        Errno::EIO
    }

    fn attr(&self, number: u64) -> Result<(FileAttr, Duration), Errno> {
        match number {
            TOP | BY_DATE => {
                let names = self.shelf.names();
                let latest = names.latest.as_ref().and_then(|id| names.by_id.get(id));
                let mtime = latest.map(time_of).unwrap_or_default();
                let kind = Kind::Dir;
                let entry =
                    Entry { kind, mode: 0o755, mtime, ctime: mtime, nlink: 1, ..Entry::default() };
                Ok((attr_of(number, &entry), TTL_TOP))
            }
            _ => {
                let node = self.node(number)?;
                let ttl = if node.within.is_some() { TTL_WITHIN } else { TTL_TOP };
                Ok((attr_of(number, &node.entry), ttl))
            }
        }
    }

    fn read_at(&self, number: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let node = self.node(number)?;
        let within = node.within.as_ref().ok_or(Errno::EINVAL)?;
        let end = offset.saturating_add(u64::from(size)).min(node.entry.size);
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize);
        if !node.entry.inline.is_empty() {
            let inline = &node.entry.inline;
            let (from, to) = (inline.len().min(offset as usize), inline.len().min(end as usize));
            bytes.extend_from_slice(&inline[from..to.max(from)]);
        } else if offset < end {
            let take = &mut |part: &[u8]| bytes.extend_from_slice(part);
            content::read_range(&self.reader, &within.pieces, offset..end, take)
                .map_err(|error| self.failed(within, &error))?;
        }
        Ok(bytes)
    }

    /// Fills the reply from `listing` on, which moves along.
    fn list(
        &self,
        number: u64,
        listing: &mut Listing,
        reply: &mut ReplyDirectory,
    ) -> Result<(), Errno> {
        let dots = [(".", 0), ("..", 1)];
        for (name, at) in dots {
            if listing.given == at {
                if reply.add(INodeNo(number), at + 1, fuser::FileType::Directory, name) {
                    return Ok(());
                }
                listing.given += 1;
            }
        }
        if number == TOP || number == BY_DATE {
            list_names(&top_names(&self.shelf.names(), number), listing, reply);
            return Ok(());
        }
        let node = self.node(number)?;
        let within = node.within.as_ref().ok_or(Errno::ENOTDIR)?;
        let Within { snapshot, key, .. } = within;
        let from = listing.from.clone();
        for child in view::children(&self.reader, snapshot, key, &from) {
            let child = child.map_err(|error| self.failed(within, &error))?;
            let name = OsStr::from_bytes(&child.name);
            if reply.add(UNKNOWN, listing.given + 1, shown(child.file_type), name) {
                return Ok(());
            }
            (listing.given, listing.from) = (listing.given + 1, child.next);
        }
        listing.at_end = true;
        Ok(())
    }

    /// Moves a listing to where it had given so many names.
    fn rewind(&self, number: u64, listing: &mut Listing, given: u64) -> Result<(), Errno> {
        *listing = Listing { given: given.min(2), ..Listing::default() };
        if number == TOP || number == BY_DATE || given <= 2 {
            listing.given = given;
            return Ok(());
        }
        let node = self.node(number)?;
        let within = node.within.as_ref().ok_or(Errno::ENOTDIR)?;
        let children = view::children(&self.reader, &within.snapshot, &within.key, &[]);
        for child in children.take(given as usize - 2) {
            listing.from = child.map_err(|error| self.failed(within, &error))?.next;
            listing.given += 1;
        }
        Ok(())
    }

    fn xattrs(&self, number: u64) -> Result<Option<Arc<Node>>, Errno> {
        match number {
            TOP | BY_DATE => Ok(None),
            _ => self.node(number).map(Some),
        }
    }
}

fn time_of(snapshot: &super::Shelved) -> Time {
    Time {
        seconds: snapshot.time.as_second(),
        nanos: snapshot.time.subsec_nanosecond().unsigned_abs(),
    }
}

fn latest(names: &Names) -> Option<Node> {
    let id = names.latest.as_ref()?;
    Some(Node::pointer(Place::Latest, id.clone(), time_of(names.by_id.get(id)?)))
}

fn top_names(names: &Names, number: u64) -> Vec<(String, fuser::FileType)> {
    if number == BY_DATE {
        let dates = names.by_date.keys();
        return dates.map(|date| (date.clone(), fuser::FileType::Symlink)).collect();
    }
    let ids = names.by_id.keys().map(|id| (id.clone(), fuser::FileType::Directory));
    let latest = names.latest.iter().map(|_| ("latest".to_owned(), fuser::FileType::Symlink));
    let by_date = [("by-date".to_owned(), fuser::FileType::Directory)];
    ids.chain(latest).chain(by_date).collect()
}

fn list_names(
    names: &[(String, fuser::FileType)],
    listing: &mut Listing,
    reply: &mut ReplyDirectory,
) {
    for (name, file_type) in names.iter().skip(listing.given as usize - 2) {
        if reply.add(UNKNOWN, listing.given + 1, *file_type, name) {
            return;
        }
        listing.given += 1;
    }
    listing.at_end = true;
}

fn shown(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::File => fuser::FileType::RegularFile,
        FileType::Dir => fuser::FileType::Directory,
        FileType::Symlink => fuser::FileType::Symlink,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Char => fuser::FileType::CharDevice,
        FileType::Block => fuser::FileType::BlockDevice,
        FileType::Socket => fuser::FileType::Socket,
    }
}

fn attr_of(number: u64, entry: &Entry) -> FileAttr {
    let rdev = match entry.kind {
        Kind::Char { rdev } | Kind::Block { rdev } => rdev as u32,
        _ => 0,
    };
    FileAttr {
        ino: INodeNo(number),
        size: entry.size,
        blocks: entry.size.div_ceil(512),
        atime: system_time(entry.mtime),
        mtime: system_time(entry.mtime),
        ctime: system_time(entry.ctime),
        crtime: UNIX_EPOCH,
        kind: shown(entry.kind.file_type()),
        perm: (entry.mode & 0o7777) as u16,
        nlink: entry.nlink,
        uid: entry.uid,
        gid: entry.gid,
        rdev,
        blksize: 4096,
        flags: 0,
    }
}

/// Times beyond what the system's can hold show as its epoch.
fn system_time(Time { seconds, nanos }: Time) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds < 0 {
        true => UNIX_EPOCH.checked_sub(whole),
        false => UNIX_EPOCH.checked_add(whole),
    };
    let time = whole.and_then(|time| time.checked_add(Duration::from_nanos(u64::from(nanos))));
    time.unwrap_or(UNIX_EPOCH)
}

fn sized(bytes: &[u8], size: u32, reply: ReplyXattr) {
    match (u32::try_from(bytes.len()), size) {
        (Ok(length), 0) => reply.size(length),
        (Ok(length), size) if length <= size => reply.data(bytes),
        _ => reply.error(Errno::ERANGE),
    }
}

impl<R: ReadBlobs + 'static> Filesystem for Answers<R> {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent.0 == TOP && name == "by-date" {
            return match self.attr(BY_DATE) {
                Ok((attr, ttl)) => reply.entry(&ttl, &attr, Generation(0)),
                Err(errno) => reply.error(errno),
            };
        }
        match self.find(parent.0, name.as_bytes()) {
            Ok(Some(node)) => {
                let ttl = if parent.0 <= BY_DATE { TTL_TOP } else { TTL_WITHIN };
                let (number, node) = self.inodes.hold(node);
                reply.entry(&ttl, &attr_of(number, &node.entry), Generation(0));
            }
            Ok(None) => reply.error(Errno::ENOENT),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        self.inodes.forget(number.0, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(number.0) {
            Ok((attr, ttl)) => reply.attr(&ttl, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.node(number.0) {
            Ok(node) => match &node.entry.kind {
                Kind::Symlink { target } => reply.data(target),
                _ => reply.error(Errno::EINVAL),
            },
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_at(number.0, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let mut listings = self.listings.lock().expect("nothing panics while it holds them");
        listings.insert(handle, Arc::default());
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listings = self.listings.lock().expect("nothing panics while it holds them");
        let listing = listings.get(&handle.0).cloned().unwrap_or_default();
        drop(listings);
        let mut listing = listing.lock().expect("nothing panics while it holds it");
        let rewound = match offset == listing.given {
            true => Ok(()),
            false => self.rewind(number.0, &mut listing, offset),
        };
        let listed = rewound.and_then(|()| match listing.at_end {
            true => Ok(()),
            false => self.list(number.0, &mut listing, &mut reply),
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().expect("nothing panics while it holds them").remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.xattrs(number.0) {
            Ok(node) => {
                let xattrs = node.as_ref().map_or(&[][..], |node| &node.entry.xattrs);
                match xattrs.iter().find(|(known, _)| known == name.as_bytes()) {
                    Some((_, value)) => sized(value, size, reply),
                    None => reply.error(Errno::ENODATA),
                }
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        match self.xattrs(number.0) {
            Ok(node) => {
                let xattrs = node.as_ref().map_or(&[][..], |node| &node.entry.xattrs);
                let names = xattrs.iter().flat_map(|(name, _)| [&name[..], &[0]].concat());
                sized(&names.collect::<Vec<u8>>(), size, reply);
            }
            Err(errno) => reply.error(errno),
        }
    }
}

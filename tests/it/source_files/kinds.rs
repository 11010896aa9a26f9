//! Every kind of thing, with everything it has.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt, symlink},
            net::UnixListener,
        },
    },
    path::Path,
};

use icecore::{
    format::entry::{Entry, Kind, Time},
    limits::KEY_MAX_BYTES,
    source::{
        Error,
        files::{Got, Names},
    },
};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, lsetxattr, makedev,
        mkdirat, mknodat, openat, setxattr, utimensat,
    },
    io::Errno,
};

use super::{find, found, runs};

fn entry(path: &Path) -> Entry {
    let (entry, trouble) = find(path).complete(&Names::default(), None).unwrap();
    assert!(trouble.is_none(), "{trouble:?}");
    assert_eq!(Entry::decode(&entry.encode().unwrap()).unwrap(), entry);
    entry
}

fn make_node(path: &Path, file_type: FileType, dev: u64) -> Result<(), Errno> {
    mknodat(CWD, path, file_type, Mode::from_raw_mode(0o640), dev)
}

#[test]
fn nodes_links_and_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    symlink(OsStr::from_bytes(b"../no\xff\nwhere"), path("link")).unwrap();
    make_node(&path("fifo"), FileType::Fifo, 0).unwrap();
    let _listening = UnixListener::bind(path("socket")).unwrap();
    let link = entry(&path("link"));
    assert_eq!(link.kind, Kind::Symlink { target: b"../no\xff\nwhere".to_vec() });
    assert_eq!(link.size, 12);
    assert_eq!(entry(&path("fifo")).kind, Kind::Fifo);
    assert_eq!(entry(&path("socket")).kind, Kind::Socket);
    assert_eq!(entry(dir.path()).kind, Kind::Dir);
    let rdev = makedev(300, 70_000);
    match make_node(&path("char"), FileType::CharacterDevice, rdev) {
        Err(Errno::PERM) => eprintln!("SKIPPED: devices can only be made by root"),
        made => {
            made.unwrap();
            make_node(&path("block"), FileType::BlockDevice, 0).unwrap();
            assert_eq!(entry(&path("char")).kind, Kind::Char { rdev });
            assert_eq!(entry(&path("block")).kind, Kind::Block { rdev: 0 });
        }
    }
}

#[test]
fn owners_modes_times_and_hard_links() {
    let dir = tempfile::tempdir().unwrap();
    let (file, other) = (dir.path().join("file"), dir.path().join("other"));
    fs::write(&file, "12345").unwrap();
    fs::hard_link(&file, &other).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6751)).unwrap();
    let mtime = Timespec { tv_sec: -5, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: mtime, last_modification: mtime };
    utimensat(CWD, &file, &times, AtFlags::empty()).unwrap();
    let one = entry(&file);
    assert_eq!((one.size, one.mode, one.nlink), (5, 0o6751, 2));
    assert_eq!(one.mtime, Time { seconds: -5, nanos: 123_456_789 });
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((one.uid, one.gid), (metadata.uid(), metadata.gid()));
    assert_eq!((one.dev, one.inode), (metadata.dev(), metadata.ino()));
    assert_eq!(one.ctime.seconds, metadata.ctime());
    let two = entry(&other);
    assert_eq!(two, one, "the same file by another name");
    assert!(one.same_stat(&find(&other).stat));
    let alone = dir.path().join("alone");
    fs::write(&alone, "12345").unwrap();
    assert_eq!((entry(&alone).dev, entry(&alone).nlink), (0, 1));
    assert!(!one.same_stat(&find(&alone).stat));
    let user = uzers::get_user_by_uid(metadata.uid()).map(|user| user.name().to_owned());
    assert_eq!(&*one.user, user.unwrap_or_default().to_str().unwrap());
}

/// An access control list that lets user 1234 read, in the kernel's form: version 2, then tag,
/// permissions and id of each line.
fn access_list() -> Vec<u8> {
    let none = u32::MAX;
    let lines = [(1u16, 6u16, none), (2, 4, 1234), (4, 4, none), (16, 4, none), (32, 0, none)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in lines {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn attributes_of_all_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let large = vec![7u8; 3000];
    // cap_net_raw, permitted and effective
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |path: &Path, name: &str, value: &[u8]| match setxattr(
        path,
        name,
        value,
        XattrFlags::CREATE,
    ) {
        Err(Errno::PERM | Errno::NOTSUP) => eprintln!("SKIPPED: {name} can't be set here"),
        done => {
            done.unwrap();
            wanted.push((name.into(), value.to_vec()));
        }
    };
    set(&file, "user.large", &large);
    set(&file, "user.empty", b"");
    set(&file, "user.\u{e4}", b"\0\xff");
    set(&file, "trusted.t", b"root only");
    set(&file, "system.posix_acl_access", &access_list());
    set(&file, "security.capability", &capability);
    wanted.sort();
    assert!(wanted.len() >= 3, "a file system for tests keeps user attributes");
    assert_eq!(entry(&file).xattrs, wanted);
    // By the open file the same as by name.
    let mut by_content = find(&file);
    let content = by_content.open().unwrap();
    let (entry, _) = by_content.complete(&Names::default(), Some(&content)).unwrap();
    assert_eq!(entry.xattrs, wanted);
}

#[test]
fn attributes_of_links_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    setxattr(dir.path(), "user.d", b"1", XattrFlags::CREATE).unwrap();
    assert_eq!(entry(dir.path()).xattrs, [(b"user.d".to_vec(), b"1".to_vec())]);
    let link = dir.path().join("link");
    symlink(dir.path(), &link).unwrap();
    assert_eq!(entry(&link).xattrs, [], "those of what it points to are not its own");
    match lsetxattr(&link, "trusted.l", b"2", XattrFlags::CREATE) {
        Err(Errno::PERM) => eprintln!("SKIPPED: attributes of links are for root"),
        done => {
            done.unwrap();
            assert_eq!(entry(&link).xattrs, [(b"trusted.l".to_vec(), b"2".to_vec())]);
        }
    }
    // A passage through a link: those of the directory.
    fs::write(dir.path().join("file"), "").unwrap();
    let passages: Vec<_> = super::walk(&link.join("file")).map(Result::unwrap).collect();
    let way = passages.iter().find(|found| found.path().ends_with(b"/link")).unwrap();
    let (entry, _) = way.complete(&Names::default(), None).unwrap();
    assert_eq!((entry.kind, entry.xattrs.len()), (Kind::Dir, 1));
}

#[test]
fn names_of_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut names: Vec<Vec<u8>> =
        (1..=255u8).filter(|byte| *byte != b'/').map(|byte| vec![byte, 0xff, byte]).collect();
    names.push(vec![b'n'; 255]);
    names.extend([b"...".to_vec(), b" ".to_vec(), b"-rf".to_vec()]);
    for name in &names {
        File::create(dir.path().join(OsStr::from_bytes(name))).unwrap();
    }
    names.sort();
    let (found, troubles) = found(dir.path());
    assert!(troubles.is_empty());
    let start = dir.path().as_os_str().len() + 1;
    let found: Vec<_> = found[1..].iter().map(|found| found.path()[start..].to_vec()).collect();
    assert_eq!(found, names);
}

#[test]
fn holes_are_not_read() {
    const MIB: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    let mut file = File::create(&path).unwrap();
    file.seek(SeekFrom::Start(MIB)).unwrap();
    file.write_all(&[1; 4096]).unwrap();
    file.seek(SeekFrom::Start(3 * MIB)).unwrap();
    file.write_all(&[2; 5]).unwrap();
    file.set_len(8 * MIB).unwrap();
    drop(file);
    let mut sparse = find(&path);
    assert!(sparse.stat.allocated < sparse.stat.size, "a file system for tests makes holes");
    let mut content = sparse.open().unwrap();
    let runs = runs(&mut content, &mut vec![9; MIB as usize]);
    let (stat, trouble) = content.finish().unwrap();
    assert_eq!((stat.size, trouble.is_none()), (8 * MIB, true));
    let read: u64 = runs.iter().map(|(_, data)| data.len() as u64).sum();
    assert!(read < MIB, "{read} bytes were read of two small runs");
    let mut whole = vec![0; 8 * MIB as usize];
    for (at, data) in runs {
        whole[at as usize..][..data.len()].copy_from_slice(&data);
    }
    assert!(whole == fs::read(&path).unwrap());
}

#[test]
fn a_file_of_nothing_but_a_hole_and_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hole");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let mut content = find(&path).open().unwrap();
    assert_eq!(content.next(&mut [0; 16]).unwrap(), Got::Hole(1 << 40));
    assert_eq!(content.next(&mut [0; 16]).unwrap(), Got::End);
    assert_eq!(content.finish().unwrap().0.size, 1 << 40);
    fs::write(&path, "").unwrap();
    assert_eq!(find(&path).open().unwrap().next(&mut [0; 16]).unwrap(), Got::End);
}

#[test]
fn content_in_small_pieces_leaves_no_access_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, (0..=255).cycle().take(10_000).collect::<Vec<u8>>()).unwrap();
    let long_ago = Timespec { tv_sec: 1, tv_nsec: 2 };
    let times = Timestamps { last_access: long_ago, last_modification: long_ago };
    utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    let mut content = find(&path).open().unwrap();
    let runs = runs(&mut content, &mut [0; 777]);
    assert!(runs[..12].iter().all(|(_, data)| data.len() == 777), "the buffer is filled");
    let joined: Vec<u8> = runs.into_iter().flat_map(|(_, data)| data).collect();
    let atime = fs::metadata(&path).unwrap().atime();
    assert!(joined == fs::read(&path).unwrap());
    assert_eq!(atime, 1);
}

#[test]
fn paths_far_longer_than_the_system_takes() {
    const LEVELS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut fd: OwnedFd = File::open(dir.path()).unwrap().into();
    for level in 0..LEVELS {
        mkdirat(&fd, &*name, Mode::RWXU).unwrap();
        fd = openat(&fd, &*name, flags, Mode::empty()).unwrap();
        if level == 300 {
            let create = OFlags::WRONLY | OFlags::CREATE;
            let file = openat(&fd, "deep", create, Mode::RUSR).unwrap();
            rustix::io::write(&file, b"down here").unwrap();
        }
    }
    let (mut found, troubles) = found(dir.path());
    // So many levels fit into a key; the next one is told, and nothing hides it.
    let start = dir.path().as_os_str().len() - 1;
    let levels = (KEY_MAX_BYTES - start) / 201;
    assert_eq!(found.len(), 1 + levels + 1);
    assert_eq!(troubles.len(), 1);
    assert!(matches!(troubles[0].error, Error::PathTooLong { bytes_max: KEY_MAX_BYTES }));
    // Everybody's directory was closed long ago, and is opened again from the top.
    let deep = found.iter_mut().find(|found| found.is_file()).unwrap();
    assert!(deep.path().len() > 60_000);
    let mut content = deep.open().unwrap();
    assert_eq!(runs(&mut content, &mut [0; 64]), [(0, b"down here".to_vec())]);
    assert!(deep.complete(&Names::default(), None).is_ok());
}

//! What a user who is not root finds.

use std::{
    fs::{self, Permissions},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    thread,
};

use icecore::source::{Error, files::Names};
use rustix::{
    fs::{Gid, Uid},
    io::Errno,
    process::getuid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::{found, runs};

/// Runs `ask` on a thread that is user 65534, or as we are if that is not root: an owner is
/// shut out of his own files by their mode too.
fn as_nobody<T: Send>(ask: impl FnOnce() -> T + Send) -> T {
    let nobody = || {
        if getuid().is_root() {
            let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
        }
        ask()
    };
    thread::scope(|scope| scope.spawn(nobody).join().unwrap())
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn only_what_is_shut_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["shut/inside", "open/file", "open/secret", "search/inside"] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), name).unwrap();
        chmod(&path(name), 0o644);
        chmod(path(name).parent().unwrap(), 0o755);
    }
    chmod(dir.path(), 0o755);
    chmod(&path("shut"), 0o000);
    chmod(&path("search"), 0o311);
    chmod(&path("open/secret"), 0o000);
    as_nobody(|| {
        let (mut found, troubles) = found(dir.path());
        let names: Vec<_> = found.iter().map(|found| found.path()).collect();
        let wanted = ["", "open", "open/file", "open/secret", "search", "shut"]
            .map(|name| path(name).as_os_str().as_bytes().to_vec());
        assert_eq!(names[1..], wanted[1..]);
        let shut: Vec<_> = troubles.iter().map(|t| (t.during, t.path.as_slice())).collect();
        assert_eq!(shut, [("open", wanted[4].as_slice()), ("open", wanted[5].as_slice())]);
        assert!(troubles.iter().all(|t| matches!(t.error, Error::System(Errno::ACCESS))));
        // A file of somebody else's can be read, though not without leaving an access time.
        let mut content = found[2].open().unwrap();
        assert_eq!(runs(&mut content, &mut [0; 64]), [(0, b"open/file".to_vec())]);
        let (entry, lacking) = found[2].complete(&Names::default(), Some(&content)).unwrap();
        assert_eq!((entry.size, lacking.is_none()), (9, true));
        let secret = found[3].open().unwrap_err();
        assert!(matches!(secret.error, Error::System(Errno::ACCESS)));
    });
    chmod(&path("shut"), 0o755);
    chmod(&path("search"), 0o755);
}

/// `/home/ada` may be backed up by ada where nobody may list `/home`.
#[test]
fn a_way_that_may_be_gone_but_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("way/root");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("file"), "").unwrap();
    chmod(dir.path(), 0o711);
    chmod(&dir.path().join("way"), 0o711);
    chmod(&root, 0o755);
    as_nobody(|| {
        let (found, troubles) = found(&root);
        assert!(troubles.is_empty(), "{troubles:?}");
        assert_eq!(found.len(), 2);
    });
}

//! Things that change, go away or are swapped while somebody looks at them.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::Command,
};

use icecore::{
    progress,
    source::{
        Error, Trouble,
        files::{Got, Names, Walk, WalkOptions},
    },
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    io::Errno,
};

use super::{find, found, runs, walk};

fn file_of(dir: &Path, bytes: usize) -> std::path::PathBuf {
    let path = dir.join("file");
    fs::write(&path, vec![b'x'; bytes]).unwrap();
    path
}

fn changed(trouble: Option<Trouble>) -> (u64, u64, u64) {
    match trouble.unwrap().error {
        Error::Changed { bytes_before, bytes_after, bytes_read } => {
            (bytes_before, bytes_after, bytes_read)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_shrinks_ends_where_it_ends_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 100_000);
    let mut content = find(&path).open().unwrap();
    let mut buffer = [0; 1000];
    assert_eq!(content.next(&mut buffer).unwrap(), Got::Data(1000));
    File::options().write(true).open(&path).unwrap().set_len(1500).unwrap();
    assert_eq!(content.next(&mut buffer).unwrap(), Got::Data(500));
    assert_eq!(content.next(&mut buffer).unwrap(), Got::End);
    let (stat, trouble) = content.finish().unwrap();
    assert_eq!(stat.size, 1500);
    assert_eq!(changed(trouble), (100_000, 1500, 1500));
}

#[test]
fn a_sparse_file_that_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 4096);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    let mut content = find(&path).open().unwrap();
    assert_eq!(content.next(&mut [0; 4096]).unwrap(), Got::Data(4096));
    file.set_len(10_000).unwrap();
    assert_eq!(content.next(&mut [0; 4096]).unwrap(), Got::Hole(5904));
    assert_eq!(content.next(&mut [0; 4096]).unwrap(), Got::End);
    assert_eq!(changed(content.finish().unwrap().1), (1 << 30, 10_000, 10_000));
}

#[test]
fn a_file_that_grows_is_read_to_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 3000);
    let mut content = find(&path).open().unwrap();
    File::options().append(true).open(&path).unwrap().write_all(&[b'y'; 5000]).unwrap();
    let runs = runs(&mut content, &mut [0; 4096]);
    assert_eq!(runs, [(0, vec![b'x'; 3000])]);
    let (stat, trouble) = content.finish().unwrap();
    assert_eq!(stat.size, 3000);
    assert_eq!(changed(trouble), (3000, 8000, 3000));
}

#[test]
fn a_file_written_over_is_told_and_one_renamed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 10);
    let mut content = find(&path).open().unwrap();
    runs(&mut content, &mut [0; 64]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(changed(content.finish().unwrap().1), (10, 10, 10));
    let mut content = find(&path).open().unwrap();
    runs(&mut content, &mut [0; 64]);
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    assert!(content.finish().unwrap().1.is_none());
}

#[test]
fn what_vanishes_is_told_and_the_rest_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d/x"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let mut walk = walk(dir.path());
    let mut a = walk.find(|found| found.as_ref().unwrap().is_file()).unwrap().unwrap();
    for name in ["a", "b"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let vanished = walk.next().unwrap().unwrap_err();
    assert_eq!(vanished.during, "stat");
    assert!(matches!(vanished.error, Error::System(Errno::NOENT)));
    assert!(walk.next().unwrap().unwrap().path().ends_with(b"/c"));
    assert!(walk.next().unwrap().unwrap().is_dir());
    fs::remove_dir_all(dir.path().join("d")).unwrap();
    assert_eq!(walk.next().unwrap().unwrap_err().during, "open");
    assert!(walk.next().is_none());
    let gone: progress::Trouble = a.open().unwrap_err().into();
    assert_eq!(gone.during, "open");
    assert!(gone.item.ends_with("/a"));
    assert_eq!(gone.error, "No such file or directory (os error 2)");
}

#[test]
fn a_fifo_swapped_in_does_not_stop_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 10);
    let mut found = find(&path);
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(matches!(found.open().unwrap_err().error, Error::Swapped));
}

#[test]
fn a_link_swapped_in_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let path = file_of(dir.path(), 10);
    let mut found = find(&path);
    fs::remove_file(&path).unwrap();
    symlink(&secret, &path).unwrap();
    assert!(matches!(found.open().unwrap_err().error, Error::Swapped));
    let link = find(&path);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    let target = link.complete(&Names::default(), None).unwrap_err();
    assert!(matches!(target.error, Error::Swapped));
}

#[test]
fn another_file_in_its_place_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(dir.path(), 10);
    let mut found = find(&path);
    // As editors do it.
    fs::write(dir.path().join("new"), "the new one").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    let mut content = found.open().unwrap();
    assert_eq!(found.stat.inode, fs::metadata(&path).unwrap().ino());
    assert_eq!(runs(&mut content, &mut [0; 64]), [(0, b"the new one".to_vec())]);
    assert!(content.finish().unwrap().1.is_none());
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    for path in [tree.join("d"), outside.clone()] {
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("f"), path.to_str().unwrap()).unwrap();
    }
    let mut walk = walk(&tree);
    let d = walk.find(|found| found.as_ref().unwrap().path().ends_with(b"/d")).unwrap().unwrap();
    assert!(d.is_dir());
    fs::rename(tree.join("d"), tree.join("e")).unwrap();
    symlink(&outside, tree.join("d")).unwrap();
    let refused = walk.next().unwrap().unwrap_err();
    assert_eq!(refused.during, "open");
    assert!(walk.all(|found| !found.unwrap().path().ends_with(b"/f")));
}

/// More directories than may be open; all of what was found is kept, and then asked.
#[test]
fn what_is_held_keeps_no_descriptors() {
    const DIRS: usize = 1200;
    let dir = tempfile::tempdir().unwrap();
    for i in 0..DIRS {
        let path = dir.path().join(format!("{i:04}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("f"), format!("{i:04}")).unwrap();
    }
    let (mut found, troubles) = found(dir.path());
    assert!(troubles.is_empty());
    assert_eq!(found.len(), 1 + 2 * DIRS);
    let open = || {
        let ours = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|p| p.starts_with(&dir));
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(Result::ok)
            .map(ours)
            .filter(|ours| *ours)
            .count()
    };
    assert!(open() <= icecore::limits::WALK_DIRS_OPEN_MAX, "{} are open", open());
    let swapped = dir.path().join("0007");
    fs::rename(&swapped, dir.path().join("moved")).unwrap();
    fs::create_dir(&swapped).unwrap();
    fs::write(swapped.join("f"), "another").unwrap();
    for found in found.iter_mut().filter(|found| found.is_file()) {
        let number = found.path()[found.path().len() - 6..][..4].to_vec();
        match found.open() {
            Ok(mut content) => assert_eq!(runs(&mut content, &mut [0; 64])[0].1, number),
            Err(trouble) => {
                assert!(matches!(trouble.error, Error::Swapped) && number == b"0007");
            }
        }
    }
    assert!(open() <= icecore::limits::WALK_DIRS_OPEN_MAX, "{} are open", open());
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn one_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("b/mount");
    fs::create_dir_all(&mount).unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join("c"), "").unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    }
    let _mounted = Mounted(&mount);
    fs::create_dir_all(mount.join("in/deep")).unwrap();
    let options = WalkOptions { one_file_system: true, ..WalkOptions::default() };
    let names = |roots: &[&str]| {
        let roots = roots.iter().map(|root| dir.path().join(root).to_str().unwrap().to_owned());
        let found = Walk::new(roots, options.clone()).unwrap().map(Result::unwrap);
        let paths = found.map(|found| String::from_utf8(found.path()).unwrap());
        let start = format!("{}/", dir.path().to_str().unwrap());
        paths.filter_map(|path| path.strip_prefix(&start).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(names(&[""]), ["a", "b", "b/mount", "c"]);
    let within = ["b", "b/mount", "b/mount/in", "b/mount/in/deep"];
    assert_eq!(names(&["b/mount"]), within);
    assert_eq!(names(&["b", "b/mount"]), within);
    assert_eq!(names(&["b", "b/mount/in"]), within);
}

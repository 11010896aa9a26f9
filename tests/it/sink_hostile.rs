//! The writer of restored files stays inside its directory, whoever wants it out.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use icecore::{
    format::entry::Time,
    sink::{
        Dir, Error, FoundKind, Meta, Name, Node, Place, Resolve, Target, TargetOptions, Trail, What,
    },
};

const WAYS: [Resolve; 2] = [Resolve::Kernel, Resolve::Steps];

fn options(resolve: Resolve) -> TargetOptions {
    TargetOptions { resolve }
}

fn open(dir: &Path, resolve: Resolve) -> Target {
    Target::open(dir, &options(resolve)).unwrap()
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

fn plain() -> Meta<'static> {
    Meta { mode: 0o644, uid: 0, gid: 0, mtime: Time { seconds: 1, nanos: 2 }, xattrs: &[] }
}

fn mine(dir: &Dir, at: &[u8]) -> Meta<'static> {
    let draft = dir.draft(name(at)).unwrap();
    drop(draft);
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Meta { uid, gid, ..plain() }
}

fn write(dir: &Dir, at: &[u8], content: &[u8], replace: bool) -> Result<(), Error> {
    let draft = dir.draft(name(at))?;
    draft.write_at(content, 0)?;
    draft.finish(&mine(dir, b"probe"), replace).map(|_| ())
}

/// A target beside an `outside` that must not change.
struct Scene {
    temp: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("outside")).unwrap();
        fs::create_dir(temp.path().join("target")).unwrap();
        fs::write(temp.path().join("outside/precious"), "mine").unwrap();
        Scene { temp }
    }

    fn target(&self) -> std::path::PathBuf {
        self.temp.path().join("target")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.temp.path().join("outside")
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.outside()).unwrap().map(|item| item.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        let precious = self.outside().join("precious");
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
        assert_eq!(fs::metadata(&precious).unwrap().permissions().mode() & 0o7777, 0o644);
    }
}

#[test]
fn a_planted_symlink_is_no_directory() {
    for way in WAYS {
        let scene = Scene::new();
        symlink(scene.outside(), scene.target().join("a")).unwrap();
        let target = open(&scene.target(), way);
        assert_eq!(target.top().make_dir(name(b"a")).unwrap_err(), Error::Appeared);
        let followed = target.top().dir(name(b"a")).unwrap_err();
        assert!(matches!(followed, Error::NotBeneath { .. }), "{followed:?}");
        let place = Place::new(b"a\0b").unwrap();
        fs::create_dir(scene.outside().join("b")).unwrap();
        assert!(target.top().descend(place).is_err());
        assert!(Trail::new(target.top().clone()).dir(place).is_err());
        fs::remove_dir(scene.outside().join("b")).unwrap();
        scene.assert_outside_untouched();
    }
}

#[test]
fn a_link_planted_as_the_file_or_as_its_temporary_name_is_replaced() {
    for way in WAYS {
        let scene = Scene::new();
        let target = open(&scene.target(), way);
        let precious = scene.outside().join("precious");
        // Learn the temporary name by leaving one.
        let left = target.top().resume(name(b"f")).unwrap();
        drop(left);
        let temporary = fs::read_dir(scene.target()).unwrap().next().unwrap().unwrap().path();
        for plant in [&temporary, &scene.target().join("f")] {
            for hard in [false, true] {
                let _ = fs::remove_file(plant);
                if hard { fs::hard_link(&precious, plant) } else { symlink(&precious, plant) }
                    .unwrap();
                let draft = target.top().resume(name(b"f")).unwrap();
                assert!(!draft.is_reused());
                draft.write_at(b"evil", 0).unwrap();
                draft.finish(&Meta { mode: 0o777, ..mine(target.top(), b"p") }, true).unwrap();
                assert_eq!(fs::read(scene.target().join("f")).unwrap(), b"evil");
                scene.assert_outside_untouched();
            }
        }
    }
}

#[test]
fn a_file_with_another_link_is_never_written_into() {
    let scene = Scene::new();
    fs::hard_link(scene.outside().join("precious"), scene.target().join("f")).unwrap();
    let target = open(&scene.target(), Resolve::Kernel);
    let found = target.top().find(name(b"f")).unwrap().unwrap();
    assert_eq!(found.nlink, 2);
    assert!(target.top().take_over(name(b"f"), &found).unwrap().is_none());
    write(target.top(), b"f", b"new", true).unwrap();
    assert_eq!(fs::read(scene.target().join("f")).unwrap(), b"new");
    scene.assert_outside_untouched();
}

#[test]
fn a_directory_swapped_for_a_symlink_again_and_again_lets_nothing_out() {
    for way in WAYS {
        let scene = Scene::new();
        let stop = AtomicBool::new(false);
        let (dir, aside) = (scene.target().join("a"), scene.target().join("aside"));
        std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                let mut swaps = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    // The other thread may have made a new one meanwhile: then the old one goes.
                    let _ = fs::remove_dir_all(&aside);
                    let _ = fs::rename(&dir, &aside);
                    if symlink(scene.outside(), &dir).is_ok() {
                        swaps += 1;
                    }
                    std::thread::yield_now();
                    let _ = fs::remove_file(&dir);
                    let _ = fs::rename(&aside, &dir);
                }
                swaps
            });
            let target = open(&scene.target(), way);
            let (mut written, mut refused) = (0, 0);
            for round in 0..2_000_000u32 {
                if round % 64 == 0 {
                    std::thread::yield_now();
                }
                let at = format!("f{}", round % 50).into_bytes();
                let dir = target.top().make_dir(name(b"a"));
                match dir.and_then(|dir| write(&dir, &at, b"x", true)) {
                    Ok(()) => written += 1,
                    Err(_) => refused += 1,
                }
                if written > 500 && refused > 20 {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
            assert!(swapping.join().unwrap() > 0);
            assert!(written > 0 && refused > 0, "written {written}, refused {refused}");
        });
        scene.assert_outside_untouched();
    }
}

#[test]
fn a_very_long_name_is_an_error_and_a_very_deep_path_is_not() {
    for way in WAYS {
        let scene = Scene::new();
        let target = open(&scene.target(), way);
        let long = vec![b'x'; 256];
        let refused = write(target.top(), &long, b"", true).unwrap_err();
        assert!(matches!(refused, Error::Item { .. }) && !refused.is_final(), "{refused:?}");

        // 300 levels of 60 bytes: more than PATH_MAX, more than may stay open.
        let component = [b'd'; 60];
        let mut trail = Trail::new(target.top().clone());
        let mut key = Vec::new();
        let mut dir = target.top().clone();
        for level in 0..300 {
            dir = dir.make_dir(name(&component)).unwrap();
            if level > 0 {
                key.push(0);
            }
            key.extend_from_slice(&component);
            trail.enter(Place::new(&key).unwrap(), dir.clone());
        }
        write(&dir, b"f", b"deep", true).unwrap();
        // Far up and down again, past what the trail keeps open.
        let up = Place::new(&key[..component.len() * 3 + 2]).unwrap();
        assert!(trail.dir(up).unwrap().find(name(b"f")).unwrap().is_none());
        let again = trail.dir(Place::new(&key).unwrap()).unwrap();
        let found = again.find(name(b"f")).unwrap().unwrap();
        assert_eq!((found.kind, found.size_bytes), (FoundKind::File, 4));
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(descriptors < 600, "{descriptors}");
    }
}

#[test]
fn nothing_has_the_name_before_it_is_whole() {
    let scene = Scene::new();
    let target = open(&scene.target(), Resolve::Kernel);
    let draft = target.top().draft(name(b"f")).unwrap();
    draft.write_at(b"half", 0).unwrap();
    assert!(target.top().find(name(b"f")).unwrap().is_none());
    drop(draft);
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 0, "a dropped draft is removed");

    let draft = target.top().resume(name(b"f")).unwrap();
    draft.write_at(b"half", 0).unwrap();
    drop(draft);
    let draft = target.top().resume(name(b"f")).unwrap();
    let mut kept = [0; 4];
    assert!(draft.is_reused());
    draft.file().read_exact_at(&mut kept, 0).unwrap();
    assert_eq!(&kept, b"half");
    draft.write_at(b" whole", 4).unwrap();
    draft.finish(&mine(target.top(), b"p"), false).unwrap();
    assert_eq!(fs::read(scene.target().join("f")).unwrap(), b"half whole");
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 1);

    assert_eq!(write(target.top(), b"f", b"no", false), Err(Error::Appeared));
    assert_eq!(fs::read(scene.target().join("f")).unwrap(), b"half whole");
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 1);
}

#[test]
fn a_file_taken_over_is_patched_in_place() {
    let scene = Scene::new();
    fs::write(scene.target().join("f"), b"old content").unwrap();
    let inode = fs::metadata(scene.target().join("f")).unwrap().ino();
    let target = open(&scene.target(), Resolve::Kernel);
    let found = target.top().find(name(b"f")).unwrap().unwrap();
    let draft = target.top().take_over(name(b"f"), &found).unwrap().unwrap();
    assert!(target.top().find(name(b"f")).unwrap().is_none());
    draft.write_at(b"new", 0).unwrap();
    draft.hole(3, 2).unwrap();
    draft.finish(&mine(target.top(), b"p"), true).unwrap();
    assert_eq!(fs::read(scene.target().join("f")).unwrap(), b"new\0\0ontent");
    assert_eq!(fs::metadata(scene.target().join("f")).unwrap().ino(), inode);
}

#[test]
fn nodes_and_links_replace_what_is_there_but_no_full_directory() {
    let scene = Scene::new();
    let target = open(&scene.target(), Resolve::Kernel);
    let top = target.top();
    let meta = mine(top, b"p");
    for node in [Node::Fifo, Node::Socket, Node::Symlink(b"../outside/precious")] {
        assert_eq!(top.make(name(b"n"), node, &meta, true).unwrap(), []);
    }
    assert_eq!(top.read_link(name(b"n")).unwrap(), b"../outside/precious");
    assert_eq!(top.make(name(b"n"), Node::Fifo, &meta, false), Err(Error::Appeared));

    fs::create_dir(scene.target().join("empty")).unwrap();
    top.make(name(b"empty"), Node::Fifo, &meta, true).unwrap();
    fs::create_dir_all(scene.target().join("full/x")).unwrap();
    let refused = top.make(name(b"full"), Node::Fifo, &meta, true);
    assert_eq!(refused, Err(Error::DirectoryInTheWay));

    write(top, b"first", b"1", true).unwrap();
    let first = top.find(name(b"first")).unwrap().unwrap();
    let identity = (first.dev, first.inode);
    top.link(name(b"second"), (top, name(b"first")), identity, true).unwrap();
    top.link(name(b"second"), (top, name(b"first")), identity, true).unwrap();
    assert_eq!(fs::metadata(scene.target().join("second")).unwrap().nlink(), 2);
    // Someone put a link to outside where the first one was.
    fs::remove_file(scene.target().join("first")).unwrap();
    fs::hard_link(scene.outside().join("precious"), scene.target().join("first")).unwrap();
    let swapped = top.link(name(b"third"), (top, name(b"first")), identity, true);
    assert_eq!(swapped, Err(Error::Changed));
    assert!(top.find(name(b"third")).unwrap().is_none());
    scene.assert_outside_untouched();
    let left: Vec<_> = fs::read_dir(scene.target())
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("icecore"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn metadata_comes_back_and_extra_attributes_go() {
    let scene = Scene::new();
    let target = open(&scene.target(), Resolve::Kernel);
    let top = target.top();
    let xattrs = [(b"user.a".to_vec(), b"1".to_vec())];
    let mtime = Time { seconds: -5, nanos: 123_456_789 };
    let meta = Meta { mode: 0o4751, mtime, xattrs: &xattrs, ..mine(top, b"p") };
    let draft = top.draft(name(b"f")).unwrap();
    let (unset, identity) = draft.finish(&meta, true).unwrap();
    assert_eq!(unset, []);
    let found = top.find(name(b"f")).unwrap().unwrap();
    assert_eq!((found.mode, found.mtime), (0o4751, mtime));
    assert_eq!((found.dev, found.inode), identity);
    assert_eq!(top.xattrs(name(b"f")).unwrap(), xattrs);

    let other = [(b"user.b".to_vec(), b"2".to_vec())];
    let meta = Meta { mode: 0o600, xattrs: &other, ..meta };
    assert_eq!(top.settle_file(name(b"f"), &found, &meta).unwrap(), []);
    assert_eq!(top.xattrs(name(b"f")).unwrap(), other);
    assert_eq!(top.find(name(b"f")).unwrap().unwrap().mode, 0o600);

    let bad = [(b"nowhere.x".to_vec(), b"".to_vec())];
    let unset = top.settle_file(name(b"f"), &found, &Meta { xattrs: &bad, ..meta }).unwrap();
    assert_eq!(unset[0].what, What::Xattr(b"nowhere.x".to_vec()));

    let dir = top.make_dir(name(b"d")).unwrap();
    write(&dir, b"inside", b"", true).unwrap();
    assert_eq!(dir.settle(&Meta { mode: 0o1500, mtime, ..meta }).unwrap(), []);
    let found = top.find(name(b"d")).unwrap().unwrap();
    assert_eq!((found.kind, found.mode, found.mtime), (FoundKind::Dir, 0o1500, mtime));
}

#[test]
fn without_root_it_does_what_it_may_and_says_what_it_could_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root to become someone else");
        return;
    }
    let scene = Scene::new();
    fs::set_permissions(scene.temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(scene.target(), Some(65534), Some(65534)).unwrap();
    // Users are a thread's own on Linux.
    std::thread::scope(|scope| {
        let someone = scope.spawn(|| {
            let nobody = rustix::fs::Uid::from_raw(65534);
            let group = rustix::fs::Gid::from_raw(65534);
            rustix::thread::set_thread_res_gid(group, group, group).unwrap();
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            let target = open(&scene.target(), Resolve::Kernel);
            let top = target.top();
            let meta = Meta { mode: 0o6755, uid: 0, gid: 0, ..plain() };
            let draft = top.draft(name(b"f")).unwrap();
            let (unset, _) = draft.finish(&meta, true).unwrap();
            assert!(unset.len() == 2 && unset.iter().all(|unset| unset.needs_root()), "{unset:?}");
            let found = top.find(name(b"f")).unwrap().unwrap();
            assert_eq!((found.mode, found.uid, found.mtime), (0o755, 65534, plain().mtime));

            // A directory that shuts its owner out is settled, and opened again by the next run.
            let shut = Meta { mode: 0, uid: 65534, gid: 65534, ..plain() };
            for _ in 0..2 {
                let dir = top.make_dir(name(b"shut")).unwrap();
                let draft = dir.draft(name(b"f")).unwrap();
                draft.finish(&Meta { mode: 0o600, ..shut }, true).unwrap();
                assert_eq!(dir.settle(&shut).unwrap(), []);
                assert_eq!(top.find(name(b"shut")).unwrap().unwrap().mode, 0);
            }
            let refused = top.make(name(b"dev"), Node::Char(0x103), &meta, true).unwrap_err();
            assert!(!refused.is_final());
        });
        someone.join().unwrap();
    });
}

#[test]
fn a_second_restore_into_the_same_directory_waits_its_turn() {
    let scene = Scene::new();
    let first = open(&scene.target(), Resolve::Kernel);
    let second = Target::open(&scene.target(), &options(Resolve::Kernel));
    assert!(matches!(second, Err(Error::Busy { .. })));
    drop(first);
    open(&scene.target(), Resolve::Kernel);
}

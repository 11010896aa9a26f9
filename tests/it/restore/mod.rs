//! Restore: what is in a tree comes to stand in a directory, whatever was there before.

mod hostile;
mod rotten;
pub mod scene;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    sync::Arc,
};

use icecore::{
    format::entry::{Kind, Time},
    progress::Progress,
    verbs::restore::{Conflict, Error, Options, Outcome, Plan, Selection},
};

use scene::{Scene, Source, content};

const T: Time = Time { seconds: 1_700_000_000, nanos: 123_456_789 };

/// One of each.
pub fn one_of_each() -> Source {
    let mut source = Source::default();
    source.dir("srv", 0o750);
    source.dir("srv/app", 0o700);
    source.dir("srv/app/empty", 0o1777);
    source.file("srv/app/a", b"small and inline");
    source.chunked("srv/app/b", &content(1, 700_000));
    source.chunked("srv/app/big", &content(2, 12_000_000));
    source.file("srv/app/nothing", b"");
    source.entry("srv/app/link", Kind::Symlink { target: b"../nowhere".to_vec() });
    source.entry("srv/app/pipe", Kind::Fifo);
    source.entry("srv/app/sock", Kind::Socket);
    source.raw(b"srv\0caf\xe9\n", b"any bytes but NUL and slash");
    source.file("srv/twice", b"one file, two names").link(7, 2);
    source.file("srv/x/again", b"one file, two names").link(7, 2);
    source.file("srv/xattrs", b"x").edit(|entry| {
        entry.xattrs = vec![(b"user.color".to_vec(), b"blue".to_vec())];
        entry.mode = 0o4750;
    });
    source
}

#[test]
fn everything_comes_back_as_it_was() {
    let scene = Scene::new(&one_of_each());
    let outcome = scene.restore(&scene.options());
    assert_eq!(outcome.troubles, 0, "{:?}", scene.told());
    assert_eq!((outcome.dirs, outcome.files_restored), (4, 7));
    assert_eq!((outcome.nodes_restored, outcome.links_restored), (3, 1));

    let at = |path: &str| scene.target().join(path);
    assert_eq!(fs::read(at("srv/app/a")).unwrap(), b"small and inline");
    assert_eq!(fs::read(at("srv/app/b")).unwrap(), content(1, 700_000));
    assert_eq!(fs::read(at("srv/app/big")).unwrap(), content(2, 12_000_000));
    assert_eq!(fs::read_link(at("srv/app/link")).unwrap().to_str(), Some("../nowhere"));
    assert!(fs::symlink_metadata(at("srv/app/pipe")).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(at("srv/app/sock")).unwrap().file_type().is_socket());
    let (twice, again) = (fs::metadata(at("srv/twice")).unwrap(), at("srv/x/again"));
    assert_eq!(twice.ino(), fs::metadata(again).unwrap().ino());
    for path in ["srv", "srv/app", "srv/app/empty", "srv/app/a", "srv/app/big", "srv/app/link"] {
        let found = fs::symlink_metadata(at(path)).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (T.seconds, 123_456_789), "{path}");
    }
    assert_eq!(fs::metadata(at("srv/app")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(at("srv/app/empty")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(fs::metadata(at("srv/xattrs")).unwrap().mode() & 0o7777, 0o4750);
    assert_eq!(xattr::get(at("srv/xattrs"), "user.color").unwrap().unwrap(), b"blue");
}

#[test]
fn a_second_run_reads_no_chunk_and_writes_nothing() {
    let scene = Scene::new(&one_of_each());
    scene.restore(&scene.options());
    let before = scene.snapshot_of_target();
    scene.blobs.take_counts();
    let outcome = scene.restore(&scene.options());
    assert_eq!(scene.blobs.take_counts().chunks_read, 0);
    assert_eq!((outcome.files_restored, outcome.files_settled, outcome.bytes_restored), (0, 0, 0));
    assert_eq!((outcome.files_unchanged, outcome.nodes_unchanged), (7, 3));
    assert_eq!((outcome.links_unchanged, outcome.troubles), (1, 0), "{:?}", scene.told());
    assert_eq!(scene.snapshot_of_target(), before);
    assert_eq!(scene.plan(&scene.options()).files_unchanged, 11);
}

#[test]
fn holes_stay_holes_and_long_lists_of_pieces_are_followed() {
    let mut source = Source::default();
    source.holed("sparse", &[(Some(3), 700_000), (None, 50_000_000), (Some(4), 700_000)]);
    let many: Vec<_> = (0..150).map(|seed| (Some(seed), 20_000)).collect();
    source.holed("pieces", &many);
    let scene = Scene::new(&source);
    let outcome = scene.restore(&Options { verify: true, ..scene.options() });
    assert_eq!((outcome.troubles, outcome.files_verified), (0, 2), "{:?}", scene.told());
    let sparse = fs::metadata(scene.target().join("sparse")).unwrap();
    assert_eq!(sparse.size(), 51_400_000);
    assert!(sparse.blocks() * 512 < 2_000_000, "{}", sparse.blocks());
    let pieces = fs::read(scene.target().join("pieces")).unwrap();
    assert!(pieces.len() == 3_000_000 && pieces[2_980_000..] == content(149, 20_000));
}

#[test]
fn of_a_large_file_only_what_differs_is_fetched() {
    let mut source = Source::default();
    source.chunked("big", &content(5, 30_000_000));
    let scene = Scene::new(&source);
    scene.restore(&scene.options());
    let path = scene.target().join("big");
    let inode = fs::metadata(&path).unwrap().ino();
    let mut changed = content(5, 30_000_000);
    changed[17_000_000] ^= 1;
    changed.extend_from_slice(b"and something after the end");
    fs::write(&path, &changed).unwrap();
    scene.blobs.take_counts();
    let outcome = scene.restore(&scene.options());
    assert_eq!(scene.blobs.take_counts().chunks_read, 1);
    assert!(outcome.bytes_reused > 20_000_000);
    assert_eq!(fs::read(&path).unwrap(), content(5, 30_000_000));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);

    // Another's link to it must not feel a thing: it is made anew, from what is there.
    let elsewhere = scene.temp.path().join("elsewhere");
    fs::hard_link(&path, &elsewhere).unwrap();
    fs::write(&path, &changed).unwrap();
    scene.restore(&scene.options());
    assert_eq!(scene.blobs.take_counts().chunks_read, 1);
    assert_eq!(fs::read(&path).unwrap(), content(5, 30_000_000));
    assert_eq!(fs::read(&elsewhere).unwrap(), changed);
}

#[test]
fn a_copy_with_another_time_is_settled_without_reading_the_repository() {
    let mut source = Source::default();
    source.chunked("f", &content(6, 2_000_000));
    let scene = Scene::new(&source);
    fs::create_dir(scene.target()).unwrap();
    fs::write(scene.target().join("f"), content(6, 2_000_000)).unwrap();
    let planned = scene.plan(&scene.options());
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.files_settled, outcome.bytes_reused), (1, 2_000_000));
    assert_eq!((planned.files_settled, planned.files_changed), (1, 0));
    assert_eq!(scene.blobs.take_counts().chunks_read, 0);
    assert_eq!(fs::metadata(scene.target().join("f")).unwrap().mtime(), T.seconds);
}

#[test]
fn a_run_that_was_cut_off_leaves_no_half_file_and_is_gone_on_with() {
    let mut source = Source::default();
    source.dir("d", 0o755);
    source.chunked("d/big", &content(7, 30_000_000));
    for number in 0..200 {
        source.chunked(&format!("d/small{number}"), &content(100 + number, 9_000));
    }
    let scene = Scene::new(&source);
    let all = 200 + scene.chunks_of("d/big");
    let mut cut_off = 0;
    for reads in [3, 10, 100, 150] {
        scene.reader.fail_after(reads);
        match scene.try_restore(&scene.options(), &Progress::silent()) {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::Snapshot(_)), "{error:?}"),
        }
        cut_off += 1;
        for (path, bytes) in scene.target_files() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !name.starts_with(".icecore-") {
                assert_eq!(bytes, source.content_of(&format!("d/{name}")), "{name}");
            }
        }
    }
    assert!(cut_off >= 2);
    let before = scene.blobs.take_counts().chunks_read;
    scene.reader.fail_after(u64::MAX);
    let outcome = scene.restore(&Options { verify: true, ..scene.options() });
    let last = scene.blobs.take_counts().chunks_read;
    // A run that is cut off may lose the chunk that each worker had in its hands.
    assert!(before + last <= all + 2 * 2 * cut_off, "{before} + {last} of {all}");
    assert_eq!((outcome.files_verified, outcome.troubles), (201, 0));
    assert!(scene.target_files().keys().all(|path| !path.to_str().unwrap().contains("icecore")));
    assert_eq!(fs::metadata(scene.target().join("d")).unwrap().mtime(), T.seconds);
}

/// The walk has seen and queued all by then, and hears no more of it.
#[test]
fn a_run_that_is_cancelled_at_its_last_chunk_is_no_success() {
    let mut source = Source::default();
    source.dir("d", 0o755);
    source.chunked("d/a", &content(1, 9_000_000)).chunked("d/b", &content(2, 9_000_000));
    let scene = Scene::new(&source);
    let progress = Arc::new(Progress::silent());
    scene.reader.cancel_at(scene.chunks_of("d/a") + scene.chunks_of("d/b"), &progress);
    let options = Options { workers: 1, conflict: Conflict::Skip, ..scene.options() };
    let cancelled = scene.try_restore(&options, &progress);
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert!(!scene.target().join("d/b").exists());
    scene.reader.fail_after(u64::MAX);
    let outcome = scene.restore(&Options { verify: true, ..options });
    assert_eq!((outcome.files_verified, outcome.troubles), (2, 0));
}

/// The next run finds its directories there, and leaves them as they are.
#[test]
fn a_run_that_is_cancelled_sets_what_is_its_directories_own() {
    let mut source = Source::default();
    source.dir("d", 0o755).dir("d/e", 0o750);
    for number in 0..3000 {
        source.chunked(&format!("d/e/f{number:04}"), &content(number, 9_000));
    }
    let scene = Scene::new(&source);
    let progress = Arc::new(Progress::silent());
    scene.reader.cancel_at(5, &progress);
    let options = Options { workers: 1, conflict: Conflict::Skip, ..scene.options() };
    let cancelled = scene.try_restore(&options, &progress);
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    for (path, mode) in [("d", 0o755), ("d/e", 0o750)] {
        let found = fs::metadata(scene.target().join(path)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (mode, T.seconds), "{path}");
    }
}

/// Killed, it could not set what it had not come to.
#[test]
fn the_directories_of_a_run_that_died_are_not_taken_for_somebody_elses() {
    let mut source = Source::default();
    source.dir("d", 0o755).dir("d/e", 0o750).file("d/e/f", b"x").dir("other", 0o755);
    let scene = Scene::new(&source);
    let mode = |path: &str| fs::metadata(scene.target().join(path)).unwrap().mode() & 0o7777;
    for path in ["d/e", "other"] {
        fs::create_dir_all(scene.target().join(path)).unwrap();
        fs::set_permissions(scene.target().join(path), Permissions::from_mode(0o700)).unwrap();
    }
    let mark = "user.icecore.unfinished";
    xattr::set(scene.target().join("d/e"), mark, b"").unwrap();
    let outcome = scene.restore(&Options { conflict: Conflict::Skip, ..scene.options() });
    assert_eq!((outcome.files_restored, outcome.troubles), (1, 0), "{:?}", scene.told());
    assert_eq!((mode("d/e"), mode("other")), (0o750, 0o700));
    assert_eq!(xattr::get(scene.target().join("d/e"), mark).unwrap(), None);
    // And what a run makes has no mark when it is through.
    fs::remove_dir_all(scene.target()).unwrap();
    scene.restore(&Options { conflict: Conflict::Skip, ..scene.options() });
    assert_eq!(xattr::get(scene.target().join("d/e"), mark).unwrap(), None);
    assert_eq!((mode("d/e"), mode("other")), (0o750, 0o755));
}

#[test]
fn each_policy_has_its_way_with_what_stands_there() {
    let mut source = Source::default();
    source.file("newer", b"snapshot").file("older", b"snapshot").file("same", b"snapshot");
    source.entry("link", Kind::Symlink { target: b"right".to_vec() });
    source.dir("taken", 0o755);
    source.file("taken/inside", b"snapshot");
    let cases = [
        (Conflict::Overwrite, [b"snapshot"; 2], 0, 0),
        (Conflict::Skip, [b"in place"; 2], 4, 0),
        (Conflict::Fail, [b"in place"; 2], 0, 4),
        (Conflict::Newest, [b"in place", b"snapshot"], 3, 0),
    ];
    for (conflict, [newer, older], skipped, conflicts) in cases {
        let scene = Scene::new(&source);
        fs::create_dir(scene.target()).unwrap();
        let at = |name: &str| scene.target().join(name);
        scene.place("newer", b"in place", Time { seconds: T.seconds + 1, nanos: 0 });
        scene.place("older", b"in place", Time { seconds: T.seconds - 1, nanos: 0 });
        scene.place("same", b"snapshot", T);
        scene.place("taken", b"a file where a directory is to be", T);
        symlink("wrong", at("link")).unwrap();
        let options = Options { conflict, ..scene.options() };
        let plan = scene.plan(&options);
        let outcome = scene.restore(&options);
        assert_eq!(fs::read(at("newer")).unwrap(), newer, "{conflict:?}");
        assert_eq!(fs::read(at("older")).unwrap(), older, "{conflict:?}");
        assert_eq!((outcome.skipped, outcome.conflicts), (skipped, conflicts), "{conflict:?}");
        assert_eq!((plan.skipped, plan.conflicts), (skipped, conflicts), "{conflict:?}");
        assert_eq!(outcome.conflict_paths.len() as u64, conflicts);
        assert_eq!(outcome.troubles, 0, "{:?}", scene.told());
        let replaced = conflict == Conflict::Overwrite;
        assert_eq!(at("taken").is_dir(), replaced);
        assert_eq!(fs::read_link(at("link")).unwrap().to_str() == Some("right"), replaced);
    }
}

#[test]
fn patterns_and_subpaths_choose_what_is_restored() {
    let scene = Scene::new(&one_of_each());
    let select = |include: &[&str], exclude: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(include), &owned(exclude)).unwrap()
    };
    let mut options = Options { selection: select(&["/srv/app/a", "x"], &[]), ..scene.options() };
    scene.restore(&options);
    assert_eq!(scene.target_paths(), ["srv", "srv/app", "srv/app/a", "srv/x", "srv/x/again"]);
    // Its parents are as they were, though nothing else of them came.
    assert_eq!(fs::metadata(scene.target().join("srv")).unwrap().mtime(), T.seconds);

    scene.clear_target();
    options.selection = select(&[], &["app/", "caf*", "xattrs"]);
    scene.restore(&options);
    assert_eq!(scene.target_paths(), ["srv", "srv/twice", "srv/x", "srv/x/again"]);

    scene.clear_target();
    let all = Selection::new(&[], &[]).unwrap();
    options = Options { subpath: b"/srv/x/".to_vec(), selection: all, ..scene.options() };
    scene.restore(&options);
    assert_eq!(scene.target_paths(), ["again"]);

    scene.clear_target();
    options.subpath = b"/srv/app/a".to_vec();
    assert_eq!(scene.plan(&options), Plan { files_new: 1, bytes: 16, ..Plan::default() });
    scene.restore(&options);
    assert_eq!(scene.target_paths(), ["a"]);

    options.subpath = b"/srv/ap".to_vec();
    let error = scene.try_restore(&options, &Progress::silent()).unwrap_err();
    assert!(matches!(error, Error::NoSuchPath { path } if path == "/srv/ap"));
}

#[test]
fn a_plan_tells_what_then_happens_and_touches_nothing() {
    let scene = Scene::new(&one_of_each());
    let plan = scene.plan(&scene.options());
    assert!(!scene.target().exists());
    assert_eq!((plan.dirs_new, plan.files_new, plan.troubles), (4, 11, 0));
    let outcome = scene.restore(&scene.options());
    let Outcome { files_restored, nodes_restored, links_restored, .. } = outcome;
    assert_eq!(plan.files_new, files_restored + nodes_restored + links_restored);
    fs::write(scene.target().join("srv/app/a"), b"changed").unwrap();
    fs::remove_file(scene.target().join("srv/app/pipe")).unwrap();
    let before = scene.snapshot_of_target();
    let plan = scene.plan(&scene.options());
    assert_eq!((plan.files_new, plan.files_changed, plan.bytes), (1, 1, 16));
    assert_eq!(scene.snapshot_of_target(), before);
}

#[test]
fn a_directory_that_is_to_be_left_alone_keeps_its_mode() {
    let mut source = Source::default();
    source.dir("d", 0o755);
    source.file("d/new", b"new");
    let scene = Scene::new(&source);
    let dir = scene.target().join("d");
    fs::create_dir_all(&dir).unwrap();
    for conflict in [Conflict::Skip, Conflict::Fail] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
        let outcome = scene.restore(&Options { conflict, ..scene.options() });
        assert_eq!(outcome.files_restored, 1);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o7777, 0o555);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(dir.join("new")).unwrap();
    }
}

#[test]
fn verify_finds_what_was_left_by_its_time_alone() {
    let mut source = Source::default();
    source.chunked("rotten", &content(9, 700_000));
    source.file("fine", b"fine");
    let scene = Scene::new(&source);
    scene.restore(&scene.options());
    let mut bytes = content(9, 700_000);
    bytes[500_000] ^= 1;
    scene.place("rotten", &bytes, T);
    let newest = Options { conflict: Conflict::Newest, ..scene.options() };
    let outcome = scene.restore(&newest);
    assert_eq!((outcome.files_unchanged, outcome.troubles), (2, 0));
    let outcome = scene.restore(&Options { verify: true, ..newest });
    assert_eq!((outcome.files_verified, outcome.troubles, outcome.damaged), (1, 1, 0));
    assert!(scene.told()[0].contains("rotten"), "{:?}", scene.told());
}

#[test]
fn verify_compares_what_was_skipped() {
    let mut source = Source::default();
    for name in ["longer", "new", "other", "rotten", "same"] {
        source.file(name, b"snapshot");
    }
    source.entry("link", Kind::Symlink { target: b"right".to_vec() });
    source.dir("taken", 0o755);
    let scene = Scene::new(&source);
    fs::create_dir(scene.target()).unwrap();
    // As a file system with times in steps of seconds, or a copy, would leave it.
    let coarse = Time { seconds: T.seconds - 1, nanos: 0 };
    scene.place("same", b"snapshot", coarse);
    scene.place("other", b"in place", coarse);
    scene.place("longer", b"in place, and longer", coarse);
    scene.place("rotten", b"rotten!!", T);
    scene.place("taken", b"a file where a directory is to be", T);
    symlink("wrong", scene.target().join("link")).unwrap();
    let before = scene.target_files();
    let skip = Options { conflict: Conflict::Skip, ..scene.options() };
    let outcome = scene.restore(&Options { verify: true, ..skip });
    assert_eq!(outcome.conflict_paths, ["link", "longer", "other", "rotten", "taken"]);
    assert_eq!((outcome.conflicts, outcome.troubles, outcome.files_verified), (5, 0, 2));
    let after = scene.target_files();
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes), "all stays as it is");
    let newest = Options { conflict: Conflict::Newest, verify: true, ..scene.options() };
    scene.place("same", b"mine now", Time { seconds: T.seconds + 1, nanos: 0 });
    let outcome = scene.restore(&newest);
    // `rotten` has the right size and time: nobody knew before.
    assert_eq!((outcome.conflicts, outcome.troubles, outcome.files_verified), (0, 1, 3));
}

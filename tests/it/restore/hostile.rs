//! Trees that lie, blobs that are lost, disks that are full: what is good comes back all the same.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use icecore::{
    format::entry::Kind,
    id::BlobKind,
    progress::Progress,
    repo::ReadBlobs,
    tree::Pieces,
    verbs::restore::{Error, Options},
};

use super::scene::{Scene, Source, content};

/// Beside the target: what nobody may touch.
fn outside(scene: &Scene) -> std::path::PathBuf {
    let outside = scene.temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "mine").unwrap();
    outside
}

fn assert_untouched(outside: &Path) {
    let names: Vec<_> = fs::read_dir(outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["precious"]);
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"mine");
}

#[test]
fn names_that_lead_outside_are_told_and_left() {
    let mut source = Source::default();
    source.raw(b"../escaped", b"evil").raw(b"..\0escaped", b"evil").raw(b"/etc\0escaped", b"evil");
    source.raw(b"a\0..\0..\0escaped", b"evil").raw(b"a\0.\0escaped", b"evil");
    source.raw(b"a\0\0escaped", b"evil").raw(b"a/escaped", b"evil").raw(b"good", b"good");
    let scene = Scene::new(&source);
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.troubles, outcome.damaged, outcome.files_restored), (7, 7, 1));
    assert_eq!(scene.target_paths(), ["good"]);
    assert!(!scene.temp.path().join("escaped").exists());
}

#[test]
fn an_entry_below_a_symlink_of_the_snapshot_is_not_written() {
    let mut source = Source::default();
    source.entry("a", Kind::Symlink { target: b"../outside".to_vec() });
    source.file("a/precious", b"evil").file("a/b/c", b"evil").file("z", b"good");
    let scene = Scene::new(&source);
    let outside = outside(&scene);
    for _ in 0..2 {
        let outcome = scene.restore(&scene.options());
        assert_eq!((outcome.troubles, outcome.damaged), (2, 2), "{:?}", scene.told());
        assert_eq!(scene.target_paths(), ["a", "z"]);
        assert_untouched(&outside);
    }
}

#[test]
fn a_symlink_planted_in_the_target_is_replaced_not_followed() {
    let mut source = Source::default();
    source.dir("a", 0o755).file("a/precious", b"from the snapshot").file("b", b"snapshot");
    source.chunked("c", &content(1, 9_000_000));
    let scene = Scene::new(&source);
    let outside = outside(&scene);
    fs::create_dir(scene.target()).unwrap();
    symlink(&outside, scene.target().join("a")).unwrap();
    symlink(outside.join("precious"), scene.target().join("b")).unwrap();
    fs::hard_link(outside.join("precious"), scene.target().join("c")).unwrap();
    let plan = scene.plan(&scene.options());
    assert_eq!((plan.dirs_new, plan.files_new, plan.files_changed), (1, 1, 2));
    let outcome = scene.restore(&scene.options());
    assert_eq!(outcome.troubles, 0, "{:?}", scene.told());
    assert_eq!(fs::read(scene.target().join("a/precious")).unwrap(), b"from the snapshot");
    assert_eq!(fs::read(scene.target().join("b")).unwrap(), b"snapshot");
    assert_eq!(fs::read(scene.target().join("c")).unwrap(), content(1, 9_000_000));
    assert_untouched(&outside);
}

#[test]
fn a_chunk_that_is_lost_costs_its_file_and_no_other() {
    let mut source = Source::default();
    source.chunked("small", &content(1, 100_000)).chunked("large", &content(2, 20_000_000));
    source.chunked("whole", &content(3, 100_000)).file("inline", b"x");
    let scene = Scene::new(&source);
    for path in ["small", "large"] {
        let Pieces::List(pieces) = scene.value(path).pieces else { panic!("a list") };
        scene.reader.lose(pieces.last().unwrap().id.unwrap());
    }
    let outcome = scene.restore(&scene.options());
    assert_eq!(outcome.damaged_paths, ["large", "small"]);
    assert_eq!((outcome.files_restored, outcome.troubles), (2, 2));
    assert_eq!(scene.target_paths(), ["inline", "whole"], "nothing half is left");

    // What the user has of a file is not taken away for one that can't be had.
    fs::write(scene.target().join("small"), "what I have").unwrap();
    scene.restore(&scene.options());
    assert_eq!(fs::read(scene.target().join("small")).unwrap(), b"what I have");
}

#[test]
fn a_node_that_is_lost_costs_its_entries_and_no_other() {
    let mut source = Source::default();
    for number in 0..3000 {
        source.file(&format!("f{number:04}"), format!("{number}").as_bytes());
    }
    let scene = Scene::new(&source);
    assert!(scene.root.level > 0);
    let mut nodes = Vec::new();
    icecore::tree::walk(&*scene.blobs, &scene.root, &mut |kind, id| {
        nodes.push((kind, *id));
        true
    })
    .unwrap();
    assert!(nodes.len() > 4 && nodes.iter().all(|(kind, _)| *kind == BlobKind::Node));
    let leaf = nodes[nodes.len() / 2].1;
    assert!(scene.blobs.read(BlobKind::Node, &leaf).is_ok());
    scene.reader.lose(leaf);
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.damaged, outcome.troubles), (1, 1));
    assert!(outcome.damaged_paths[0].starts_with("what follows f"), "{outcome:?}");
    assert!((1500..3000).contains(&outcome.files_restored), "{}", outcome.files_restored);
    assert_eq!(scene.target_paths().len() as u64, outcome.files_restored);
}

/// Also where the leaf that is lost holds the path itself, or the last of what is below it.
#[test]
fn a_node_that_is_lost_costs_a_restore_of_a_part_no_more_than_its_entries() {
    let mut source = Source::default();
    for dir in ["a", "b", "c"] {
        source.dir(dir, 0o755);
        for number in 0..1000 {
            source.file(&format!("{dir}/f{number:04}"), format!("{number}").as_bytes());
        }
    }
    let leaves = {
        let (scene, mut leaves) = (Scene::new(&source), Vec::new());
        icecore::tree::walk(&*scene.blobs, &scene.root, &mut |_, id| {
            leaves.extend((*id != scene.root.id).then_some(*id));
            true
        })
        .unwrap();
        leaves
    };
    let mut damaged = 0;
    for leaf in &leaves {
        let scene = Scene::new(&source);
        scene.reader.lose(*leaf);
        let options = Options { subpath: b"b".to_vec(), ..scene.options() };
        scene.plan(&options);
        let outcome = scene.restore(&options);
        damaged += outcome.damaged;
        assert_eq!(outcome.damaged == 0, outcome.files_restored == 1000, "{outcome:?}");
        assert!(outcome.files_restored > 0, "{outcome:?}");
    }
    assert!(leaves.len() >= 4 && (2..leaves.len() as u64).contains(&damaged), "{damaged}");
}

#[test]
fn what_stands_there_of_a_large_file_keeps_its_name() {
    let mut source = Source::default();
    source.chunked("large", &content(2, 30_000_000));
    let scene = Scene::new(&source);
    fs::create_dir(scene.target()).unwrap();
    let there = scene.target().join("large");
    fs::write(&there, content(3, 29_000_000)).unwrap();
    fs::set_permissions(&there, Permissions::from_mode(0o640)).unwrap();
    let Pieces::List(pieces) = scene.value("large").pieces else { panic!("a list") };
    scene.reader.lose(pieces.last().unwrap().id.unwrap());
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.damaged_paths, outcome.files_restored), (vec!["large".to_owned()], 0));
    assert_eq!(scene.target_paths(), ["large"]);
    let found = fs::metadata(&there).unwrap();
    assert_eq!((found.len(), found.permissions().mode() & 0o7777), (30_000_000, 0o640));
    let begins = fs::read(&there).unwrap()[..1_000_000] == content(2, 30_000_000)[..1_000_000];
    assert!(begins && scene.told().iter().any(|told| told.contains("as it was before")));
}

#[test]
fn sizes_that_do_not_add_up_are_damage() {
    let mut source = Source::default();
    source.chunked("short", &content(1, 100_000)).edit(|entry| entry.size += 1);
    source.chunked("large", &content(2, 20_000_000)).edit(|entry| entry.size -= 1);
    source.file("inline", b"xy").edit(|entry| entry.size = 1 << 60);
    source.file("good", b"good");
    let scene = Scene::new(&source);
    let outcome = scene.restore(&scene.options());
    assert_eq!(outcome.damaged_paths, ["inline", "large", "short"], "{:?}", scene.told());
    assert_eq!(scene.target_paths(), ["good"]);
}

#[test]
fn a_directory_with_something_in_it_is_never_removed() {
    let mut source = Source::default();
    source.file("f", b"a file in the snapshot").file("g", b"good");
    let scene = Scene::new(&source);
    fs::create_dir_all(scene.target().join("f/keep")).unwrap();
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.troubles, outcome.files_restored), (1, 1), "{:?}", scene.told());
    assert_eq!(scene.target_paths(), ["f", "f/keep", "g"]);
}

#[test]
fn a_full_disk_ends_the_run_with_a_clear_error() {
    let mut source = Source::default();
    for number in 0..20 {
        source.chunked(&format!("f{number:02}"), &content(number, 1_000_000));
    }
    let scene = Scene::new(&source);
    fs::create_dir(scene.target()).unwrap();
    let target = scene.target();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=5m", "tmpfs"])
        .arg(&target)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("SKIPPED: cannot mount a small file system here");
        return;
    }
    let result = scene.try_restore(&scene.options(), &Progress::silent());
    let left = scene.target_files();
    let unmounted = Command::new("umount").arg(&target).status().unwrap();
    assert!(unmounted.success());
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Write { path, .. } if path.contains('f')), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "no space is left on the target");
    assert!(left.values().all(|bytes| bytes.len() == 1_000_000), "only whole files are left");
    // With room again, the same command goes on.
    let outcome = scene.restore(&Options { verify: true, ..scene.options() });
    assert_eq!((outcome.files_verified, outcome.troubles), (20, 0));
}

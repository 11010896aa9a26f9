//! What has the right size and time and the wrong content: a restore reads it, and mends it.

use std::{fs, os::unix::fs::MetadataExt};

use icecore::verbs::restore::{Conflict, Options, Outcome};

use super::{
    T,
    scene::{Scene, Source, content},
};

/// Name and content of files of each way to be kept; `twice` has a second name, `again`.
fn files() -> [(&'static str, Vec<u8>); 4] {
    [
        ("inline", b"small and inline".to_vec()),
        ("chunked", content(1, 700_000)),
        ("large", content(2, 30_000_000)),
        ("twice", content(3, 12_000_000)),
    ]
}

fn restored() -> Scene {
    let mut source = Source::default();
    for (name, bytes) in files() {
        match name {
            "inline" => source.file(name, &bytes),
            _ => source.chunked(name, &bytes),
        };
    }
    source.link(7, 2);
    source.chunked("again", &files()[3].1).link(7, 2);
    source.holed("sparse", &[(Some(4), 700_000), (None, 50_000_000), (Some(5), 9_000_000)]);
    source.chunked("fine", &content(6, 20_000_000));
    let scene = Scene::new(&source);
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.files_restored, outcome.troubles), (6, 0), "{:?}", scene.told());
    scene.blobs.take_counts();
    scene
}

/// One byte in the middle of each, in place.
fn rot(scene: &Scene) {
    for (name, mut bytes) in files() {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        scene.place(name, &bytes, T);
    }
}

fn rotten_names(scene: &Scene) -> Vec<&'static str> {
    let wrong =
        |(name, bytes): &(&str, Vec<u8>)| fs::read(scene.target().join(name)).unwrap() != *bytes;
    files().into_iter().filter(wrong).map(|(name, _)| name).collect()
}

#[test]
fn it_comes_back_right_and_what_is_right_stays_as_it_is() {
    let scene = restored();
    rot(&scene);
    let inode = |name: &str| fs::metadata(scene.target().join(name)).unwrap().ino();
    let times = |name: &str| {
        let found = fs::metadata(scene.target().join(name)).unwrap();
        (found.ino(), found.ctime(), found.ctime_nsec())
    };
    let before = [times("fine"), times("sparse")];
    let large = inode("large");

    let plan = scene.plan(&scene.options());
    assert_eq!((plan.files_changed, plan.files_unchanged, plan.files_new), (5, 2, 0));
    assert_eq!(plan.bytes, 42_700_016, "the second name costs nothing");
    assert_eq!(rotten_names(&scene).len(), 4, "a plan writes nothing");
    assert_eq!(scene.blobs.take_counts().chunks_read, 0);

    let outcome = scene.restore(&scene.options());
    let Outcome { files_restored, links_restored, files_unchanged, .. } = outcome;
    assert_eq!((files_restored, links_restored, files_unchanged), (4, 1, 2));
    assert_eq!(outcome.troubles, 0, "{:?}", scene.told());
    assert_eq!(rotten_names(&scene), Vec::<&str>::new());
    assert_eq!([times("fine"), times("sparse")], before);
    assert_eq!(inode("large"), large, "of a large file only the wrong pieces are written");
    assert_eq!(inode("twice"), inode("again"));
    // One piece each of the two large ones, and the small one.
    assert_eq!(scene.blobs.take_counts().chunks_read, 3);

    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.files_restored, outcome.files_unchanged), (0, 6));
    assert_eq!(
        outcome.bytes_reused,
        16 + 700_000 + 30_000_000 + 12_000_000 + 59_700_000 + 20_000_000
    );
}

#[test]
fn zeros_of_a_machine_that_crashed_are_no_content() {
    let scene = restored();
    for (name, bytes) in files() {
        scene.place(name, &vec![0; bytes.len()], T);
    }
    let mut sparse = fs::read(scene.target().join("sparse")).unwrap();
    sparse[25_000_000] = 1;
    scene.place("sparse", &sparse, T);
    assert_eq!(scene.restore(&scene.options()).files_restored, 5);
    assert_eq!(rotten_names(&scene), Vec::<&str>::new());
    sparse[25_000_000] = 0;
    assert_eq!(fs::read(scene.target().join("sparse")).unwrap(), sparse);
}

#[test]
fn each_policy_has_its_way_with_it() {
    for conflict in [Conflict::Skip, Conflict::Newest, Conflict::Fail] {
        let scene = restored();
        rot(&scene);
        let options = Options { conflict, ..scene.options() };
        let plan = scene.plan(&options);
        let outcome = scene.restore(&options);
        assert_eq!(rotten_names(&scene).len(), 4, "{conflict:?}");
        assert_eq!((outcome.troubles, outcome.bytes_restored), (0, 0), "{:?}", scene.told());
        let Outcome { files_unchanged, links_unchanged, conflicts, bytes_reused, .. } = outcome;
        assert_eq!(plan.files_unchanged, files_unchanged + links_unchanged, "{conflict:?}");
        assert_eq!((plan.conflicts, plan.files_changed, plan.bytes), (conflicts, 0, 0));
        match conflict {
            Conflict::Fail => {
                assert_eq!((conflicts, files_unchanged), (5, 2), "a conflict under each name");
                assert_eq!(
                    outcome.conflict_paths,
                    ["again", "chunked", "inline", "large", "twice"]
                );
            }
            // What it does not read, it cannot know.
            _ => assert_eq!((conflicts, files_unchanged, bytes_reused), (0, 6, 0)),
        }
    }
}

#[test]
fn a_second_name_that_is_a_file_of_its_own_is_read_before_it_is_taken_for_right() {
    let scene = restored();
    fs::remove_file(scene.target().join("twice")).unwrap();
    scene.place("twice", &files()[3].1, T);
    let fail = Options { conflict: Conflict::Fail, ..scene.options() };
    assert_eq!(scene.restore(&fail).conflicts, 0);
    scene.place("twice", &vec![0; 12_000_000], T);
    let outcome = scene.restore(&fail);
    assert_eq!((outcome.conflicts, &outcome.conflict_paths[..]), (1, &["twice".to_owned()][..]));
    assert_eq!(scene.plan(&fail).conflicts, 1);

    let plan = scene.plan(&scene.options());
    let outcome = scene.restore(&scene.options());
    assert_eq!((plan.files_changed, plan.bytes), (1, 0));
    assert_eq!((outcome.links_restored, outcome.files_restored), (1, 0));
    assert_eq!(rotten_names(&scene), Vec::<&str>::new());
}

#[test]
fn what_a_damaged_repository_cannot_give_leaves_a_small_file_as_it_is() {
    let scene = restored();
    rot(&scene);
    let icecore::tree::Pieces::List(pieces) = scene.value("chunked").pieces else { panic!() };
    scene.reader.lose(pieces[0].id.unwrap());
    let outcome = scene.restore(&scene.options());
    assert_eq!((outcome.damaged_paths, outcome.files_restored), (vec!["chunked".to_owned()], 3));
    assert_eq!(rotten_names(&scene), ["chunked"]);
}

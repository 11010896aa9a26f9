//! Mount: what the kernel shows of a snapshot is what a restore of it brings back.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use icecore::{
    ambient::Ambient,
    format::entry::Kind,
    id::{BlobId, Sid},
    progress::Progress,
    tree::Pieces,
    verbs::mount::{Error, Mounted, Options, Shelved, Unmounted, mount},
};

use crate::restore::scene::{Scene, Source, content};

/// Two snapshots, mounted; `None` (and said so) where that can't be done.
struct Mount {
    mounted: Mounted,
    at: PathBuf,
    progress: Arc<Progress>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Mount {
    fn of(scene: &Scene) -> Option<Mount> {
        if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
            eprintln!("SKIPPED: /dev/fuse can't be opened here");
            return None;
        }
        let at = scene.temp.path().join("mount");
        fs::create_dir(&at).unwrap();
        let root = scene.root;
        let shelved = move |id: u8, second| Shelved {
            sid: Sid::new([id; 16]),
            time: jiff::Timestamp::from_second(second).unwrap(),
            root,
        };
        let list = move || Some(vec![shelved(0xaa, 1_700_000_000), shelved(0xbb, 1_700_003_661)]);
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        let progress = Arc::new(Progress::watched(
            Box::new(move |trouble| tell.lock().unwrap().push(trouble.item.clone())),
            Box::new(|_| {}),
        ));
        let options = Options { mountpoint: at.clone(), allow_other: false };
        let ambient = Ambient::real("host", "user");
        let reader = scene.reader.another();
        match mount(reader, Box::new(list), options, ambient, progress.clone()) {
            Ok(mounted) => Some(Mount { mounted, at, progress, told }),
            Err(error) => {
                eprintln!("SKIPPED: {error}: {:?}", std::error::Error::source(&error));
                None
            }
        }
    }
}

/// Everything below, with what stat and reading tell of it.
fn seen(top: &Path) -> BTreeMap<PathBuf, (u32, u32, u64, i64, i64, u64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for item in fs::read_dir(&dir).unwrap() {
            let path = item.unwrap().path();
            let at = fs::symlink_metadata(&path).unwrap();
            let bytes = if at.is_dir() {
                todo.push(path.clone());
                Vec::new()
            } else if at.is_file() {
                fs::read(&path).unwrap()
            } else if at.file_type().is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            let (size, nlink) = if at.is_dir() { (0, 0) } else { (at.size(), at.nlink()) };
            let facts = (at.mode(), at.uid(), size, at.mtime(), at.mtime_nsec(), nlink, bytes);
            all.insert(path.strip_prefix(top).unwrap().to_owned(), facts);
        }
    }
    all
}

#[test]
fn a_mounted_snapshot_is_what_a_restore_brings_back() {
    let mut source = super::restore::one_of_each();
    for number in 0..2000 {
        source.file(&format!("many/f{number:04}"), format!("{number}").as_bytes());
    }
    source.holed("sparse", &[(Some(3), 700_000), (None, 9_000_000), (Some(4), 700_000)]);
    // The entry of the directory above is missing on purpose: it is known by what is in it.
    source.dir("many/deep/er", 0o700);
    let scene = Scene::new(&source);
    let Some(Mount { mounted, at, told, .. }) = Mount::of(&scene) else { return };
    scene.restore(&scene.options());

    let mut top: Vec<_> =
        fs::read_dir(&at).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    top.sort();
    assert_eq!(top, ["aaaaaaaa", "bbbbbbbb", "by-date", "latest"]);
    assert_eq!(fs::read_link(at.join("latest")).unwrap().to_str(), Some("bbbbbbbb"));
    let dates: Vec<_> = fs::read_dir(at.join("by-date"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(dates, ["2023-11-14T22-13-20Z", "2023-11-14T23-14-21Z"]);
    assert!(at.join("by-date/2023-11-14T22-13-20Z/srv/app/a").is_file());

    // Directories that the snapshot knows only by their content have no metadata of their own.
    let implied = ["many", "many/deep", "srv/x"].map(PathBuf::from);
    let own = |mut all: BTreeMap<PathBuf, _>| {
        all.retain(|path, _| !implied.contains(path));
        all
    };
    let (mounted_files, restored) = (seen(&at.join("latest/")), seen(&scene.target()));
    assert_eq!(mounted_files.keys().collect::<Vec<_>>(), restored.keys().collect::<Vec<_>>());
    let (mounted_files, restored) = (own(mounted_files), own(restored));
    for (path, facts) in &restored {
        assert!(mounted_files[path] == *facts, "{}", path.display());
    }

    let twice = fs::metadata(at.join("aaaaaaaa/srv/twice")).unwrap();
    assert_eq!(twice.ino(), fs::metadata(at.join("aaaaaaaa/srv/x/again")).unwrap().ino());
    let color = xattr::get(at.join("latest/srv/xattrs"), "user.color").unwrap();
    assert_eq!(color.unwrap(), b"blue");
    assert_eq!(xattr::list(at.join("latest/srv/xattrs")).unwrap().count(), 1);
    let pipe = fs::symlink_metadata(at.join("latest/srv/app/pipe")).unwrap();
    assert!(pipe.file_type().is_fifo());
    assert!(fs::write(at.join("latest/srv/app/a"), "x").is_err(), "it is read-only");
    assert!(!at.join("latest/srv/app/none").exists());
    assert!(!at.join("cccccccc").exists());

    mounted.unmount().unwrap();
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn looking_costs_what_is_looked_at() {
    let mut source = Source::default();
    for dir in 0..40 {
        for number in 0..100 {
            source.file(&format!("d{dir:02}/f{number:03}"), &content(number, 300));
        }
    }
    source.chunked("big", &content(1, 20_000_000));
    let scene = Scene::new(&source);
    let Some(Mount { mounted, at, .. }) = Mount::of(&scene) else { return };
    scene.blobs.take_counts();
    assert_eq!(fs::read_dir(at.join("latest/")).unwrap().count(), 41);
    let listed = scene.blobs.take_counts();
    assert_eq!(listed.chunks_read, 0);
    let nodes = scene.blobs.len() as u64;
    // A name costs its way down, however much stands below it.
    assert!(listed.nodes_read <= 41 * 6 + 20, "{} of {nodes}", listed.nodes_read);

    let file = fs::File::open(at.join("latest/big")).unwrap();
    let mut middle = [0; 1000];
    file.read_exact_at(&mut middle, 10_000_000).unwrap();
    assert_eq!(middle, content(1, 20_000_000)[10_000_000..10_001_000]);
    assert!(scene.blobs.take_counts().chunks_read <= 3);
    drop(file);
    assert!(fs::read(at.join("latest/big")).unwrap() == content(1, 20_000_000));
    let Pieces::List(pieces) = scene.value("big").pieces else { panic!("a list") };
    assert!(scene.blobs.take_counts().chunks_read <= pieces.len() as u64 + 4, "each chunk once");
    mounted.unmount().unwrap();
}

#[test]
fn what_is_damaged_is_an_error_there_and_told() {
    let mut source = Source::default();
    source.chunked("bad", &content(1, 100_000)).file("good", b"good");
    source.raw(b"..", b"evil").raw(b"a/b", b"evil");
    source.entry("link", Kind::Symlink { target: b"good".to_vec() });
    let scene = Scene::new(&source);
    let Pieces::List(pieces) = scene.value("bad").pieces else { panic!("a list") };
    let lost: BlobId = pieces[0].id.unwrap();
    scene.reader.lose(lost);
    let Some(Mount { mounted, at, progress, told }) = Mount::of(&scene) else { return };
    let error = fs::read(at.join("latest/bad")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert_eq!(fs::read(at.join("latest/link")).unwrap(), b"good");
    let names: Vec<_> =
        fs::read_dir(at.join("latest/")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["bad", "good", "link"], "names that can't be are not shown");
    assert!(told.lock().unwrap().iter().all(|item| item == "bbbbbbbb:/bad"));
    assert!(!told.lock().unwrap().is_empty());

    // Ctrl-C.
    progress.cancel();
    mounted.wait(&progress, &Ambient::real("host", "user")).unwrap();
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
}

#[test]
fn a_directory_with_something_in_it_is_not_hidden() {
    let mut source = Source::default();
    source.file("f", b"f");
    let scene = Scene::new(&source);
    let at = scene.temp.path().join("mount");
    fs::create_dir_all(at.join("something")).unwrap();
    let options = Options { mountpoint: at.clone(), allow_other: false };
    let (reader, ambient) = (scene.reader.another(), Ambient::real("host", "user"));
    let mounted = mount(reader, Box::new(|| None), options, ambient, Arc::default());
    assert!(matches!(mounted, Err(Error::NotEmpty { mountpoint }) if mountpoint == at));
}

/// A mount that nobody answers for would be in everybody's way.
#[test]
fn what_is_in_use_is_detached() {
    let mut source = Source::default();
    source.file("f", b"f");
    let scene = Scene::new(&source);
    let Some(Mount { mounted, at, progress, .. }) = Mount::of(&scene) else { return };
    let used = fs::File::open(at.join("latest/f")).unwrap();
    progress.cancel();
    let unmounted = mounted.wait(&progress, &Ambient::real("host", "user")).unwrap();
    assert_eq!(unmounted, Unmounted::InUse);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "what was below is there again");
    drop(used);
}

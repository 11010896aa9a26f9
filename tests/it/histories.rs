//! Random histories against a naive model: after every step each kept snapshot restores equal.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use icecore::{
    ambient::Ambient,
    id::{BlobKind, Sid},
    progress::Progress,
    repo::{
        self, InitOptions, OpenOptions, Repository,
        collect::{Ground as Collector, MaxUnused, Options as PruneOptions, ReadData, forget},
    },
    seal::SlotParams,
    sink::TargetOptions,
    source::files::WalkOptions,
    store::{Abilities, Store, memory::MemoryStore},
    tree::Root,
    verbs::{
        backup::{self, Source, backup},
        check::check,
        prune,
        restore::{Conflict, Ground, Options, Selection, carry_out},
        undelete::undelete,
    },
};
use proptest::prelude::*;

/// One thing that an operator or the world does.
#[derive(Debug, Clone)]
enum Step {
    /// Files are written, grown, removed and renamed, as the number says.
    Change(u64),
    Backup,
    Forget(usize),
    Undelete(usize),
    Prune,
    /// Another process, with nothing in its cache.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u64>().prop_map(Step::Change),
        5 => Just(Step::Backup),
        3 => any::<usize>().prop_map(Step::Forget),
        1 => any::<usize>().prop_map(Step::Undelete),
        2 => Just(Step::Prune),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 4..16)
}

/// A tree as the naive model knows it: what lies under each path.
type Contents = BTreeMap<PathBuf, (u32, Vec<u8>)>;

struct World {
    source: tempfile::TempDir,
    memory: Arc<MemoryStore>,
    repo: Repository,
    kept: Vec<(Sid, Contents)>,
    forgotten: Vec<(Sid, Contents)>,
}

fn password() -> secrecy::SecretString {
    secrecy::SecretString::from("correct horse")
}

fn open_options() -> OpenOptions {
    OpenOptions { pack_aim_bytes: 128 << 10, ..OpenOptions::default() }
}

/// `len` bytes, the same for the same seed; half of them shrink well.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    if seed.is_multiple_of(2) {
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 4);
    }
    bytes
}

fn contents(top: &Path) -> Contents {
    let mut all = Contents::new();
    let mut dirs = vec![top.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let what = if stat.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if stat.is_dir() {
                dirs.push(path.clone());
                b"dir".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(top).unwrap().to_path_buf();
            all.insert(name, (stat.permissions().mode(), what));
        }
    }
    all
}

impl World {
    fn new() -> World {
        let memory = Arc::new(MemoryStore::new());
        let init = InitOptions {
            params: SlotParams::worthless(),
            label: "first".into(),
            abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
        };
        let store: Arc<dyn Store> = memory.clone();
        let ambient = Ambient::real("host", "user");
        let repo = Repository::init(store, &password(), &init, open_options(), ambient).unwrap();
        let source = tempfile::tempdir().unwrap();
        World { source, memory, repo, kept: Vec::new(), forgotten: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Change(seed) => self.change(*seed),
            Step::Backup => self.back_up(),
            Step::Forget(which) if !self.kept.is_empty() => {
                let gone = self.kept.remove(which % self.kept.len());
                forget(&Collector::of(&self.repo), &[gone.0], "a test").unwrap();
                self.forgotten.push(gone);
            }
            Step::Undelete(which) if !self.forgotten.is_empty() => {
                let (sid, contents) = self.forgotten.remove(which % self.forgotten.len());
                let all = self.repo.snapshots().unwrap();
                let found = all.iter().find(|kept| kept.sid == sid).unwrap();
                let again = undelete(&self.repo, found).unwrap();
                self.kept.push((again, contents));
            }
            Step::Forget(_) | Step::Undelete(_) => {}
            Step::Prune => self.prune(),
            Step::Reopen => {
                let store: Arc<dyn Store> = self.memory.clone();
                let ambient = Ambient::real("host", "user");
                self.repo = Repository::open(store, &password(), open_options(), ambient).unwrap();
            }
        }
    }

    fn change(&self, seed: u64) {
        let top = self.source.path();
        for turn in 0..1 + seed % 5 {
            let pick = seed.rotate_left(7 * turn as u32 + 3);
            let dir = top.join(format!("d{}", pick % 4));
            fs::create_dir_all(&dir).unwrap();
            let file = dir.join(format!("f{}", (pick >> 8) % 6));
            let len = [0, 10, 3000, 40_000, 900_000][(pick >> 16) as usize % 5];
            match (pick >> 24) % 6 {
                0 => drop(fs::remove_file(&file)),
                1 => drop(fs::remove_dir_all(&dir)),
                2 => drop(fs::rename(&file, dir.join("renamed"))),
                3 if fs::symlink_metadata(&file).is_err() => {
                    std::os::unix::fs::symlink("nowhere", &file).unwrap()
                }
                // Through a symbolic link nothing is written: there is nothing behind it.
                _ if file.is_symlink() => {}
                4 => {
                    let mut grown = fs::read(&file).unwrap_or_default();
                    grown.extend(bytes(pick, 1 + len / 10));
                    fs::write(&file, grown).unwrap();
                }
                _ => fs::write(&file, bytes(pick, len)).unwrap(),
            }
        }
    }

    fn back_up(&mut self) {
        let paths = vec![self.source.path().as_os_str().as_bytes().to_vec()];
        let source = Source::Paths { paths, walk: WalkOptions::default() };
        let options = backup::Options {
            tags: Vec::new(),
            excludes: Vec::new(),
            host: "host".into(),
            time: None,
            force: false,
            skip_if_unchanged: false,
        };
        let done = backup(&self.repo, source, options, &Progress::silent()).unwrap();
        assert_eq!(done.troubles, 0);
        self.kept.push((done.snapshot.unwrap(), contents(self.source.path())));
    }

    /// As greedy as may be: what was forgotten is gone, and nothing that is unused stays.
    fn prune(&mut self) {
        let options = PruneOptions {
            max_unused: MaxUnused::Bytes(0),
            undelete_days: 0,
            last_of_source_may_go: true,
            max_percent: 100,
            pack_aim_bytes: 128 << 10,
            ..PruneOptions::default()
        };
        let plan = prune::plan(&self.repo, &options, &Progress::silent()).unwrap();
        prune::carry_out(&self.repo, plan, &Progress::silent()).unwrap();
        self.forgotten.clear();
    }

    fn hold(&self) {
        let found = check(&self.repo, ReadData::All, &Progress::silent()).unwrap();
        assert!(found.is_good(), "{found:?}");
        let listed = self.repo.snapshots().unwrap();
        for (sid, expected) in &self.kept {
            let kept = listed.iter().find(|kept| kept.sid == *sid).expect("it was kept");
            assert!(kept.forgotten.is_none());
            let root = &kept.snapshot.roots[0];
            let root =
                Root { id: root.id, level: root.level, entries: root.entries, bytes: root.bytes };
            assert!(self.restored(&root) == *expected, "{sid} came back as something else");
        }
    }

    fn restored(&self, root: &Root) -> Contents {
        let target = tempfile::tempdir().unwrap();
        let reader = self.repo.reader().unwrap();
        let name = |plain: &[u8]| self.repo.keys().blob_id(BlobKind::Chunk, plain);
        let ground = Ground { reader: &reader, name: &name, is_damage: repo::Error::is_damage };
        let options = Options {
            target: target.path().to_path_buf(),
            subpath: self.source.path().as_os_str().as_bytes().to_vec(),
            selection: Selection::new(&[], &[]).unwrap(),
            conflict: Conflict::Overwrite,
            verify: true,
            workers: 2,
            target_options: TargetOptions::default(),
        };
        let done = carry_out(&ground, root, &options, &Progress::silent()).unwrap();
        assert_eq!((done.troubles, done.damaged, done.conflicts), (0, 0, 0));
        contents(target.path())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn every_kept_snapshot_restores_equal_after_every_step(steps in steps()) {
        let mut world = World::new();
        world.change(1);
        world.back_up();
        for step in &steps {
            world.take(step);
            world.hold();
        }
    }
}

//! Space that nobody needs becomes free, as much as the plan said.

use icecore::{
    format::index::Segment,
    repo::{
        collect::{self, Ground, MaxUnused, Options},
        layout,
    },
    store::{self, Name},
};

use super::*;

#[test]
fn what_is_needed_stays_and_a_second_prune_has_nothing_to_do() {
    let world = World::new(1);
    world.backup(0..30);
    let before = world.names("packs");
    let outcome = world.prune(&greedy());
    assert_eq!((outcome.packs_deleted, outcome.packs_written), (0, 0));
    assert_eq!(world.names("packs"), before);
    assert_eq!(world.names("gc"), [""; 0]);
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn a_forgotten_snapshot_frees_what_only_it_needed() {
    let world = World::new(2);
    let old = world.backup(0..40);
    let bytes_old = world.pack_bytes();
    world.backup((0..40).filter(|seed| seed % 4 == 0).chain(100..110));
    world.forget(old);
    let repo = world.repo();
    let plan = world.plan(&repo, &greedy()).unwrap();
    let totals = plan.totals;
    assert!(totals.packs_to_repack > 0 && totals.unused_bytes > bytes_old / 2);
    assert_eq!(totals.snapshots_gone, 1);
    let before = world.pack_bytes();
    let outcome = world.carry_out(&repo, plan).unwrap();
    assert_eq!(before as i64 - world.pack_bytes() as i64, outcome.freed_bytes());
    // A new pack has a frame of its own; nothing else was not foreseen.
    let frames = 100 * (outcome.packs_written + totals.packs_to_repack) as i64;
    assert!((outcome.freed_bytes() - totals.freed_bytes as i64).abs() <= frames);
    assert_eq!(outcome.packs_deleted, totals.packs_to_delete + totals.packs_to_repack);
    assert_eq!(world.all_is_well(), 1);
    let checked = world.check(collect::ReadData::All);
    assert!(checked.is_good(), "{checked:?}");
    assert_eq!(checked.unindexed, 0);
    assert_eq!(world.names("gc"), [""; 0]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new(3);
    let old = world.backup(0..20);
    world.backup(10..30);
    world.forget(old);
    for name in world.names("index") {
        world.memory.remove(&Name::parse(&name).unwrap()).unwrap();
    }
    let before = world.names("");
    let plan = world.plan(&world.repo(), &greedy()).unwrap();
    assert!(plan.totals.freed_bytes > 0);
    assert_eq!(world.names(""), before);
}

#[test]
fn little_enough_may_stay_unused() {
    let world = World::new(4);
    let old = world.backup(0..40);
    world.backup((0..40).filter(|seed| seed % 8 != 0));
    world.forget(old);
    let unused = world.plan(&world.repo(), &greedy()).unwrap().totals.unused_bytes;
    let options = |max_unused| Options { max_unused, ..greedy() };
    let left = |options: &Options| {
        let totals = world.plan(&world.repo(), options).unwrap().totals;
        (totals.unused_left_bytes, totals.packs_to_repack)
    };
    assert_eq!(left(&options(MaxUnused::Unlimited)), (unused - freed_whole(&world), 0));
    assert!(left(&options(MaxUnused::Bytes(unused / 2))).0 <= unused / 2);
    assert!(left(&options(MaxUnused::Percent(50.0))).1 == 0);
    let none = Options { max_repack_bytes: Some(0), ..greedy() };
    assert_eq!(left(&none).1, 0);
}

/// What goes with packs that hold nothing needed.
fn freed_whole(world: &World) -> u64 {
    let options = Options { max_unused: MaxUnused::Unlimited, ..greedy() };
    world.plan(&world.repo(), &options).unwrap().totals.delete_bytes
}

#[test]
fn of_two_copies_one_goes() {
    let world = World::new(5);
    let (one, two) = (world.begin(&[]), world.begin(&[]));
    let (first, second) = (world.fill(&one, 0..20), world.fill(&two, 0..21));
    one.commit(first).unwrap();
    two.commit(second).unwrap();
    let before = world.pack_bytes();
    let outcome = world.prune(&greedy());
    assert!(outcome.freed_bytes() as u64 > before / 3, "{outcome:?}");
    assert!(world.pack_bytes() < before * 6 / 10);
    assert_eq!(world.all_is_well(), 2);
    assert_eq!(world.prune(&greedy()).packs_deleted, 0);
}

#[test]
fn the_undelete_window_keeps_the_data_and_undelete_brings_it_back() {
    let world = World::new(6);
    let old = world.backup(0..20);
    world.backup(100..110);
    world.forget(old);
    let options = Options { undelete_days: 14, ..greedy() };
    assert_eq!(world.prune(&options).packs_deleted, 0);
    assert_eq!(world.all_is_well(), 1);
    let repo = world.repo();
    let reach = Lists(repo.reader().unwrap());
    let kept = repo.snapshots().unwrap().into_iter().find(|kept| kept.sid == old).unwrap();
    let back = collect::undelete(&repo, &reach, old, &kept.snapshot).unwrap();
    assert_eq!(world.all_is_well(), 2);
    // The tombstone's time is over, and the snapshot lives under its new name.
    world.advance_hours(15 * 24);
    world.prune(&options);
    assert_eq!(world.all_is_well(), 2);
    let kept = world.repo().snapshots().unwrap();
    assert_eq!(kept.iter().find(|kept| kept.sid == back).unwrap().snapshot.original, Some(old));
}

#[test]
fn a_replaced_snapshot_keeps_its_data() {
    let world = World::new(7);
    let old = world.backup(0..20);
    let repo = world.repo();
    let reach = Lists(repo.reader().unwrap());
    let mut changed = repo.snapshots().unwrap().remove(0).snapshot;
    changed.tags = vec!["kept".into()];
    let new = collect::replace(&repo, &reach, old, &changed, "tag").unwrap();
    assert_eq!(world.prune(&greedy()).packs_deleted, 0);
    assert_eq!(world.all_is_well(), 1);
    let kept = world.repo().snapshots().unwrap();
    assert_eq!(kept.iter().find(|kept| kept.sid == new).unwrap().snapshot.tags, ["kept"]);
}

#[test]
fn what_lost_its_meaning_is_tidied_after_its_time() {
    let world = World::new(8);
    let old = world.backup(0..5);
    world.backup(0..7);
    world.forget(old);
    world.prune(&greedy());
    assert_eq!((world.names("snapshots").len(), world.names("tombstones").len()), (2, 1));
    world.advance_hours(31 * 24);
    let outcome = world.prune(&greedy());
    assert_eq!((outcome.tidied.slots, outcome.tidied.tombstones), (1, 1));
    assert_eq!((world.names("snapshots").len(), world.names("tombstones").len()), (1, 0));
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn an_index_that_is_lost_is_made_again() {
    let world = World::new(9);
    world.backup(0..20);
    let old = world.backup(20..40);
    world.backup(30..50);
    world.forget(old);
    let names = world.names("index");
    for name in &names {
        world.memory.remove(&Name::parse(name).unwrap()).unwrap();
    }
    // A prune reads the packs' own tables, and puts what it found into the index.
    assert!(world.prune(&greedy()).packs_deleted > 0);
    assert_eq!(world.all_is_well(), 2);
    world.backup(0..20);
    let repo = world.repo();
    let repaired = collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
    assert_eq!(repaired.packs as usize, world.names("packs").len());
    assert_eq!(world.names("index").len(), 1);
    assert_eq!(world.all_is_well(), 3);
    assert!(world.check(collect::ReadData::All).is_good());
}

#[test]
fn segments_that_name_packs_long_gone_are_cleaned_away() {
    // With something to condemn beside it, and without.
    for forgets in [true, false] {
        let world = World::new(10);
        let parent = world.backup(0..20);
        let old = world.backup(20..40);
        let session = world.begin(&[]);
        world.fill(&session, 200..220);
        session.flush().unwrap();
        session.abort().unwrap();
        // The same under other names: of what stays, is forgotten, was given up.
        let repo = world.repo();
        let objects: Vec<_> = (world.names("index").into_iter())
            .map(|name| {
                let id = name.strip_prefix("index/").unwrap().parse().unwrap();
                let name = Name::parse(&name).unwrap();
                let object = store::get_all(&*world.memory, &name, 1 << 20).unwrap();
                let segment = Segment::open(repo.keys(), &id, &object).unwrap();
                segment.seal(repo.keys(), [7; 32]).unwrap()
            })
            .collect();
        world.forget(old);
        assert!(world.prune(&greedy()).packs_deleted > 0);
        // A session that slept puts its segment when it wakes, and so does a collector that read
        // one which another was just emptying.
        for (id, object) in objects {
            world.memory.put_new(&layout::segment(&id), object).unwrap();
        }
        assert!(!world.check(collect::ReadData::None).is_good());
        if forgets {
            let old = world.backup(300..310);
            world.forget(old);
        }
        let outcome = world.prune(&greedy());
        assert_eq!(outcome.packs_deleted > 0, forgets);
        let checked = world.check(collect::ReadData::All);
        assert!(checked.is_good() && checked.unindexed == 0, "{checked:?}");
        assert_eq!(world.begin(&[parent]).reuse(), icecore::repo::Reuse::Free);
        assert_eq!(world.all_is_well(), 1);
    }
}

#[test]
fn a_reader_goes_on_through_any_number_of_prunes() {
    let world = World::new(41);
    let mut last = world.backup(0..64);
    let repo = world.repo();
    let reader = repo.reader().unwrap();
    for step in [2, 4, 8] {
        let next = world.backup((0..64).step_by(step));
        world.forget(last);
        assert!(world.prune(&greedy()).packs_deleted > 0);
        for seed in (0..64).step_by(step) {
            let id = repo.keys().blob_id(BlobKind::Chunk, &noise(seed));
            assert_eq!(reader.read(BlobKind::Chunk, &id).unwrap(), noise(seed));
        }
        last = next;
    }
}

#[test]
fn what_was_freed_early_is_not_missed_by_a_later_prune() {
    let world = World::new(42);
    let old = world.backup(0..64);
    world.backup(40..80);
    world.forget(old);
    assert!(world.prune(&greedy()).packs_deleted > 0);
    // By the usual days the forgotten one could still come back, but its data has gone.
    world.prune(&Options { undelete_days: 14, ..greedy() });
    assert_eq!(world.all_is_well(), 1);
    assert!(world.check(collect::ReadData::All).is_good());
}

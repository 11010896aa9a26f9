//! Damage is found, told, and healed by the next backup of the same content.

use std::collections::BTreeSet;

use icecore::{
    repo::{
        collect::{Checked, Fault, ReadData},
        layout,
    },
    store::{self, Name, faulty::Faulty, get_all},
};

use super::{meanwhile::Meanwhile, *};

fn tamper(world: &World, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let name = Name::parse(name).unwrap();
    let mut bytes = get_all(&*world.memory, &name, 1 << 20).unwrap().to_vec();
    change(&mut bytes);
    world.memory.tamper(&name, bytes);
}

fn record(world: &World, checked: &Checked) {
    collect::record_damage(&Ground::of(&world.repo()), checked).unwrap();
}

#[test]
fn a_flipped_bit_is_found_and_healed() {
    let world = World::new(1);
    world.backup(0..20);
    let victim = world.names("packs")[0].clone();
    tamper(&world, &victim, |bytes| bytes[500] ^= 1);
    assert!(world.check(ReadData::None).is_good(), "nobody has read it");
    let checked = world.check(ReadData::All);
    let [damaged] = &checked.damaged[..] else { panic!("{checked:?}") };
    let Fault::Blobs(blobs) = &damaged.fault else { panic!("{checked:?}") };
    assert!(blobs.len() == 1 && victim.ends_with(&damaged.pack.to_string()));
    assert_eq!(checked.lost.len(), 1, "the snapshot can't have it");
    record(&world, &checked);
    assert_eq!(world.names("damaged").len(), 1);
    record(&world, &world.check(ReadData::All));
    assert_eq!(world.names("damaged").len(), 1, "it is said already");
    // The same content is put again, since the bad copy does not count.
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 0..20);
    assert!(session.stats().blobs_new >= 1);
    session.commit(snapshot).unwrap();
    let checked = world.check(ReadData::None);
    assert!(checked.lost.is_empty() && checked.damaged.len() == 1, "told until it is gone");
    // A prune gives the damaged pack up, and with it the record.
    world.prune(&greedy());
    assert!(!world.names("packs").contains(&victim));
    assert_eq!(world.names("damaged"), [""; 0]);
    assert!(world.check(ReadData::All).is_good());
    assert_eq!(world.all_is_well(), 2);
}

/// What can't be read there may be needed: it is read again from the store, and nothing is lost.
#[test]
fn rows_of_the_cache_that_rot_are_no_damage_of_the_repository() {
    const ROW_BYTES: usize = 28;
    let world = World::new(5);
    let old = world.backup(0..40);
    world.backup(0..20);
    world.forget(old);
    let cache = tempfile::tempdir().unwrap();
    let open = || {
        let cache_dir = Some(cache.path().to_owned());
        let options = OpenOptions { pack_aim_bytes: 64 << 10, cache_dir, ..OpenOptions::default() };
        Repository::open(world.memory.clone(), &password(), options, world.ambient.clone()).unwrap()
    };
    let rot = || {
        let repository = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
        let files = std::fs::read_dir(repository).unwrap().map(|file| file.unwrap());
        let tables = files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b"t-"));
        let rotten = tables.map(|table| {
            let mut bytes = std::fs::read(table.path()).unwrap();
            (0..20).for_each(|row| bytes[row * ROW_BYTES + 20] ^= 1);
            std::fs::write(table.path(), bytes).unwrap();
        });
        assert!(rotten.count() > 0);
    };
    drop(open().reader().unwrap());
    rot();
    let repo = open();
    let reach = Lists(repo.reader().unwrap());
    let (ground, silent) = (Ground::of(&repo), Progress::silent());
    assert!(collect::check(&ground, &reach, ReadData::None, &silent).unwrap().is_good());
    rot();
    let outcome = world.try_prune(&open(), &greedy()).unwrap();
    assert!(outcome.packs_deleted > 0);
    assert_eq!(world.all_is_well(), 1);
}

/// Each pack that is back is judged for itself.
#[test]
fn what_was_said_of_a_pack_is_replaced_by_what_is_found() {
    let world = World::new(3);
    world.backup(0..40);
    let names: Vec<Name> =
        world.names("packs").iter().map(|name| Name::parse(name).unwrap()).collect();
    let [whole, bad, gone] = &names[..3] else { panic!("{names:?}") };
    let bytes = [whole, bad, gone].map(|name| get_all(&*world.memory, name, 1 << 20).unwrap());
    for name in [whole, bad, gone] {
        world.memory.remove(name).unwrap();
    }
    record(&world, &world.check(ReadData::None));
    assert_eq!(world.names("damaged").len(), 1, "one record of all three");
    world.memory.tamper(whole, bytes[0].to_vec());
    world.memory.tamper(bad, bytes[1].to_vec());
    tamper(&world, bad.as_str(), |bytes| bytes[500] ^= 1);
    let checked = world.check(ReadData::All);
    let name = |pack: &icecore::id::PackId| layout::pack(pack);
    assert!(checked.whole_again().iter().map(name).eq([whole.clone()]));
    record(&world, &checked);
    let known = world.check(ReadData::None).known;
    let said: BTreeSet<(Name, usize)> = (known.records().iter())
        .map(|(_, record)| (name(&record.packs[0]), record.blobs.len()))
        .collect();
    assert_eq!(said, BTreeSet::from([(bad.clone(), 1), (gone.clone(), 0)]));
    world.memory.tamper(bad, bytes[1].to_vec());
    world.memory.tamper(gone, bytes[2].to_vec());
    let checked = world.check(ReadData::None);
    assert!(checked.is_good() && checked.whole_again().len() == 2);
    record(&world, &checked);
    assert_eq!(world.names("damaged"), [""; 0]);
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn a_bad_sector_is_the_damage_of_the_blob_that_lies_on_it() {
    let world = World::new(4);
    world.backup(0..20);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.repo_over(faulty.clone());
    let reader = repo.reader().unwrap();
    let below: &'static str = world.names("packs").swap_remove(0).leak();
    faulty.arm(store::faulty::Fault::BadSectors { below, from: 500, to: 501 });
    let check = || {
        let reach = Lists(repo.reader().unwrap());
        collect::check(&Ground::of(&repo), &reach, ReadData::All, &Progress::silent()).unwrap()
    };
    let checked = check();
    let [damaged] = &checked.damaged[..] else { panic!("{checked:?}") };
    let Fault::Blobs(blobs) = &damaged.fault else { panic!("{checked:?}") };
    assert!(blobs.len() == 1 && checked.lost.len() == 1, "{checked:?}");
    let read = |id: &icecore::id::BlobId| reader.read(icecore::id::BlobKind::Chunk, id);
    assert!(read(blobs.first().unwrap()).unwrap_err().is_damage());
    record(&world, &checked);
    // What is needed can't be moved: the pack stays, and nothing is lost with it.
    assert!(world.try_prune(&repo, &greedy()).is_err());
    faulty.disarm();
    let checked = check();
    assert!(checked.is_good() && checked.whole_again().len() == 1);
    record(&world, &checked);
    assert_eq!((world.names("damaged").len(), world.all_is_well()), (0, 1));
}

/// Only the index knows what is in such a pack, and the disk may give it the next time.
#[test]
fn a_repair_stops_where_the_only_word_of_a_pack_is_on_a_bad_sector() {
    let world = World::new(6);
    world.backup(0..20);
    tamper(&world, &world.names("packs")[0], |bytes| {
        let last = bytes.len() - 40;
        bytes[last] ^= 1;
    });
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.repo_over(faulty.clone());
    drop(repo.reader().unwrap());
    let before = world.names("index");
    let bad = store::faulty::Fault::BadSectors { below: "index/", from: 0, to: 1 << 20 };
    faulty.arm(bad);
    assert!(collect::repair_index(&Ground::of(&repo), &Progress::silent()).is_err());
    let after = world.names("index");
    assert!(before.iter().all(|name| after.contains(name)), "the old index is still there");
    faulty.disarm();
    collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn missing_short_and_illegible_packs_are_told_apart() {
    let world = World::new(2);
    world.backup(0..40);
    let packs = world.names("packs");
    assert!(packs.len() >= 4);
    world.memory.remove(&Name::parse(&packs[0]).unwrap()).unwrap();
    tamper(&world, &packs[1], |bytes| bytes.truncate(bytes.len() - 7));
    tamper(&world, &packs[2], |bytes| {
        let last = bytes.len() - 40;
        bytes[last] ^= 1;
    });
    let checked = world.check(ReadData::All);
    let fault = |name: &str| {
        let of = |damaged: &&collect::DamagedPack| name.ends_with(&damaged.pack.to_string());
        checked.damaged.iter().filter(of).map(|damaged| &damaged.fault).collect::<Vec<_>>()
    };
    assert!(matches!(fault(&packs[0])[..], [Fault::Missing]));
    assert!(matches!(fault(&packs[1])[..], [Fault::Size { .. }, ..]));
    assert!(matches!(fault(&packs[2])[..], [Fault::OwnTable(_)]));
    assert!(!checked.lost.is_empty() || !checked.unwalked.is_empty());
    assert!(!checked.is_good());
}

#[test]
fn a_repair_of_the_index_keeps_what_only_the_index_knows() {
    let world = World::new(5);
    world.backup(0..40);
    let packs = world.names("packs");
    // The own tables of three packs rot, and not one blob.
    for (pack, from_end) in packs.iter().zip([1, 6, 40]) {
        tamper(&world, pack, |bytes| {
            let at = bytes.len() - from_end;
            bytes[at] ^= 1;
        });
    }
    assert_eq!(world.all_is_well(), 1, "the index knows what is in them");
    for _ in 0..2 {
        let repo = world.repo();
        let repaired = collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
        let mut known: Vec<_> = repaired.remembered.iter().map(|pack| &pack.object).collect();
        known.sort();
        assert_eq!(known, packs[..3].iter().collect::<Vec<_>>());
        assert_eq!((repaired.packs as usize, repaired.strange.len()), (packs.len() - 3, 0));
        assert_eq!(world.all_is_well(), 1);
    }
    // Where no index knows them, they are left out, and told.
    for name in world.names("index") {
        world.memory.remove(&Name::parse(&name).unwrap()).unwrap();
    }
    let repo = world.repo();
    let repaired = collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
    assert_eq!((repaired.remembered.len(), repaired.strange.len()), (0, 3));
}

#[test]
fn a_pack_whose_own_table_rots_has_lost_nothing_and_goes_with_the_next_prune() {
    let world = World::new(6);
    world.backup(0..40);
    let packs = world.names("packs");
    // Of one pack, the trailer; of another, what its name is the hash of and nobody reads.
    let of_table = |fault: &Fault| matches!(fault, Fault::OwnTable(_));
    tamper(&world, &packs[0], |bytes| {
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
    });
    for _ in 0..2 {
        let checked = world.check(ReadData::All);
        let [damaged] = &checked.damaged[..] else { panic!("{checked:?}") };
        assert!(of_table(&damaged.fault) && packs[0].ends_with(&damaged.pack.to_string()));
        assert!(checked.lost.is_empty() && checked.unwalked.is_empty(), "{checked:?}");
        assert!(checked.bad_blobs().is_empty() && !checked.is_good());
        record(&world, &checked);
        let repo = world.repo();
        collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
    }
    // Nobody stores anything again for it.
    let session = world.begin(&[]);
    world.fill(&session, 0..40);
    assert_eq!(session.stats().blobs_new, 0);
    session.abort().unwrap();
    let outcome = world.prune(&Options { max_unused: MaxUnused::Unlimited, ..greedy() });
    assert_eq!((outcome.packs_deleted, outcome.bad.len()), (1, 0));
    assert!(outcome.blobs_moved > 0 && !world.names("packs").contains(&packs[0]));
    assert_eq!(world.names("damaged"), [""; 0]);
    assert!(world.check(ReadData::All).is_good());
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn a_pack_that_has_grown_has_lost_nothing_and_goes_with_the_next_prune() {
    for (is_checked, grown_by) in [(true, 100), (false, 100), (true, 40 << 20)] {
        let world = World::new(7);
        world.backup(0..40);
        let victim = world.names("packs")[0].clone();
        tamper(&world, &victim, |bytes| bytes.resize(bytes.len() + grown_by, 0));
        for read_data in [ReadData::None, ReadData::All].into_iter().filter(|_| is_checked) {
            let checked = world.check(read_data);
            let [damaged] = &checked.damaged[..] else { panic!("{checked:?}") };
            assert!(victim.ends_with(&damaged.pack.to_string()) && damaged.fault.is_harmless());
            assert!(matches!(damaged.fault, Fault::Size { .. }), "{damaged:?}");
            assert!(checked.lost.is_empty() && checked.unwalked.is_empty(), "{checked:?}");
            record(&world, &checked);
            let repo = world.repo();
            collect::repair_index(&Ground::of(&repo), &Progress::silent()).unwrap();
        }
        assert_eq!(world.all_is_well(), 1);
        let outcome = world.prune(&Options { max_unused: MaxUnused::Unlimited, ..greedy() });
        assert_eq!((outcome.packs_deleted, outcome.bad.len()), (1, 0));
        assert!(outcome.blobs_moved > 0 && !world.names("packs").contains(&victim));
        assert!(world.check(ReadData::All).is_good());
        assert_eq!(world.all_is_well(), 1);
    }
}

#[test]
fn a_pack_that_is_cut_short_has_lost_what_is_cut() {
    let world = World::new(8);
    world.backup(0..40);
    let victim = world.names("packs")[0].clone();
    // In the middle of its third blob.
    tamper(&world, &victim, |bytes| bytes.truncate(2 * CHUNK_BYTES + CHUNK_BYTES / 2));
    let pruned = world.try_prune(&world.repo(), &greedy());
    assert!(matches!(pruned, Err(collect::Error::BlobMissing { .. })), "{pruned:?}");
    let checked = world.check(ReadData::None);
    let [damaged] = &checked.damaged[..] else { panic!("{checked:?}") };
    let Fault::Size { bad, .. } = &damaged.fault else { panic!("{checked:?}") };
    let lost: Vec<BlobId> = checked.lost.iter().map(|(_, blob)| *blob).collect();
    assert!(!damaged.fault.is_harmless() && checked.blobs_read == 2, "{checked:?}");
    assert!(!lost.is_empty() && lost.len() == bad.len(), "{checked:?}");
    assert!(lost.iter().all(|blob| bad.contains(blob)) && checked.bad_blobs() == *bad);
    record(&world, &checked);
    // What is cut is put again, and no more than that.
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 0..40);
    assert_eq!(session.stats().blobs_new as usize, bad.len());
    session.commit(snapshot).unwrap();
    let checked = world.check(ReadData::None);
    assert!(checked.damaged.len() == 1 && checked.lost.is_empty(), "{checked:?}");
    let outcome = world.prune(&Options { max_unused: MaxUnused::Unlimited, ..greedy() });
    assert_eq!((outcome.packs_deleted, outcome.bad.len(), outcome.blobs_moved), (1, 0, 2));
    assert!(world.check(ReadData::All).is_good());
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn a_copy_beyond_the_end_of_a_pack_does_not_count() {
    let world = World::new(9);
    // Neither knows of the other: all is there twice.
    let (one, other) = (world.begin(&[]), world.begin(&[]));
    for session in [one, other] {
        let snapshot = world.fill(&session, 0..20);
        session.commit(snapshot).unwrap();
    }
    let repo = world.repo();
    repo.refresh().unwrap();
    let copy = |seed| repo.catalog().copies(&repo.keys().blob_id(BlobKind::Chunk, &noise(seed)));
    let kept: BTreeSet<_> = (0..20).map(|seed| copy(seed)[0].pack.id).collect();
    assert!((0..20).all(|seed| copy(seed).len() == 2) && !kept.contains(&copy(0)[1].pack.id));
    for pack in &kept {
        tamper(&world, layout::pack(pack).as_str(), |bytes| bytes.truncate(CHUNK_BYTES / 2));
    }
    // Nothing may move: the packs that are cut stay, and so must the others.
    world.prune(&Options { max_repack_bytes: Some(0), ..greedy() });
    assert_eq!(world.all_is_well(), 2);
    world.prune(&greedy());
    assert!(world.check(ReadData::All).is_good());
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn parts_together_read_everything() {
    let world = World::new(3);
    world.backup(0..60);
    let packs = world.names("packs").len() as u64;
    let read: u64 =
        (1..=3).map(|part| world.check(ReadData::Part { part, of: 3 }).packs_read).sum();
    assert_eq!(read, packs);
    let half = world.check(ReadData::Percent(50.0)).packs_read;
    assert!(half == packs.div_ceil(2));
    let some = world.check(ReadData::Bytes(200_000));
    assert!(some.bytes_read <= 200_000 && some.packs_read > 0);
    assert_eq!(world.check(ReadData::None).packs_read, 0);
}

#[test]
fn what_is_needed_and_can_t_be_moved_stays() {
    let world = World::new(4);
    let old = world.backup(0..30);
    world.backup((0..30).step_by(3));
    world.forget(old);
    // Of one pack every chunk that is still needed goes bad.
    let repo = world.repo();
    repo.refresh().unwrap();
    let chunk = |seed| repo.keys().blob_id(BlobKind::Chunk, &noise(seed));
    let copy = |seed| repo.catalog().locate(&chunk(seed)).unwrap();
    let victim = copy(0).pack.id;
    let needed = (0..30).step_by(3).map(copy).filter(|copy| copy.pack.id == victim);
    let rows: Vec<_> = needed.map(|copy| copy.row).collect();
    let holds_garbage = (0..30).any(|seed| seed % 3 != 0 && copy(seed).pack.id == victim);
    assert!(!rows.is_empty() && holds_garbage, "a prune wants to empty it");
    tamper(&world, layout::pack(&victim).as_str(), |bytes| {
        rows.iter().for_each(|row| bytes[row.offset as usize + 100] ^= 1);
    });
    let outcome = world.prune(&greedy());
    let [bad] = &outcome.bad[..] else { panic!("{outcome:?}") };
    let mut blobs: Vec<BlobId> = rows.iter().map(|row| row.id).collect();
    blobs.sort_unstable();
    let mut told = bad.blobs.clone();
    told.sort_unstable();
    assert_eq!((bad.pack, told), (victim, blobs));
    assert_eq!(outcome.sets_left, 1);
    assert!(world.names("packs").contains(&layout::pack(&victim).to_string()));
    // What is not damaged has moved, and reads.
    let reader = world.repo().reader().unwrap();
    for seed in (0..30).step_by(3) {
        let is_bad = bad.blobs.contains(&chunk(seed));
        assert_eq!(reader.read(BlobKind::Chunk, &chunk(seed)).is_err(), is_bad, "{seed}");
    }
    assert!(outcome.blobs_moved > 0);
}

#[test]
fn packs_that_no_index_names_are_no_harm_until_a_snapshot_needs_them() {
    let world = World::new(51);
    world.backup(0..20);
    // Those of a backup that did not end.
    let session = world.begin(&[]);
    world.fill(&session, 20..40);
    session.flush().unwrap();
    session.abort().unwrap();
    for name in world.names("index") {
        world.memory.remove(&Name::parse(&name).unwrap()).unwrap();
    }
    let checked = world.check(collect::ReadData::None);
    assert!(checked.only_unindexed > 0 && !checked.is_good(), "{checked:?}");
    collect::repair_index(&collect::Ground::of(&world.repo()), &Progress::silent()).unwrap();
    assert!(world.check(collect::ReadData::All).is_good());
}

#[test]
fn what_only_unindexed_packs_have_is_counted_apart_from_what_is_lost() {
    let world = World::new(53);
    let first = world.backup(0..30);
    let segments = world.names("index");
    let packs = world.names("packs");
    let second = world.backup(0..31);
    for name in segments.iter().chain([&packs[0], &packs[1]]) {
        world.memory.remove(&Name::parse(name).unwrap()).unwrap();
    }
    world.forget(first);
    for read_data in [ReadData::None, ReadData::All] {
        let checked = world.check(read_data);
        assert!(!checked.lost.is_empty() && checked.only_unindexed > 0, "{checked:?}");
        assert_eq!(checked.lost.len() as u64 + checked.only_unindexed, 30);
    }

    // Nobody needs it any more when the check ends.
    let world = Arc::new(world);
    let other = world.clone();
    let forget = move || other.forget(second);
    let store = Meanwhile::new(world.memory.clone(), "gc", 0, forget);
    let repo = world.repo_over(store.clone());
    let (reach, silent) = (Lists(repo.reader().unwrap()), Progress::silent());
    let ground = Ground::of(&repo);
    let checked = collect::check(&ground, &reach, ReadData::None, &silent).unwrap();
    assert!(store.is_done());
    assert_eq!((checked.snapshots, checked.only_unindexed, checked.lost.len()), (1, 0, 0));
}

#[test]
fn a_snapshot_that_cannot_be_read_is_damage_and_stops_a_prune() {
    let world = World::new(52);
    let sid = world.backup(0..20);
    world.backup(20..40);
    let name = layout::slot(&sid);
    tamper(&world, name.as_str(), |bytes| bytes.truncate(20));
    let checked = world.check(collect::ReadData::All);
    assert_eq!(checked.snapshots, 1);
    assert!(checked.strange.iter().any(|strange| strange.object == name.to_string()));
    let pruned = world.try_prune(&world.repo(), &greedy());
    assert!(matches!(pruned, Err(collect::Error::Unreadable { .. })));
}

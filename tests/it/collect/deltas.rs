//! Bases stay as long as a delta needs them, and deltas stay deltas when they move.

use icecore::{
    format::gc::{CondemnedSet, SetId},
    repo::{Like, layout},
    seal::Codec,
    store::recorded::{Recorded, Verb},
};

use super::*;

/// A node of many ids, of which the `version`-th differs from the others in one chunk.
fn node(world: &World, session: &Session, version: u64, like: Option<BlobId>) -> Snapshot {
    let mut list = Vec::new();
    for seed in 0..400u64 {
        let seed = if seed == 7 { 10_000 + version } else { seed };
        let small = seed.to_le_bytes();
        let written = session.write(BlobKind::Chunk, &small, None).unwrap();
        list.extend_from_slice(written.id.bytes());
    }
    let like = like.map(|id| Like { id, max_hops: 8 });
    let root = session.write(BlobKind::Node, &list, like).unwrap().id;
    world.snapshot(root)
}

fn versions(world: &World, count: u64) -> Vec<(Sid, BlobId)> {
    let mut all: Vec<(Sid, BlobId)> = Vec::new();
    for version in 0..count {
        let session = world.begin(&[]);
        let snapshot = node(world, &session, version, all.last().map(|(_, root)| *root));
        let root = snapshot.roots[0].id;
        all.push((session.commit(snapshot).unwrap(), root));
    }
    all
}

#[test]
fn a_base_that_nothing_else_needs_stays() {
    let world = World::new(1);
    let all = versions(&world, 4);
    for (sid, _) in &all[..3] {
        world.forget(*sid);
    }
    let outcome = world.prune(&greedy());
    assert!(outcome.blobs_moved > 0, "{outcome:?}");
    assert_eq!(world.all_is_well(), 1);
    assert!(world.check(collect::ReadData::All).is_good());
    // The last version is a delta still, and small.
    let repo = world.repo();
    repo.refresh().unwrap();
    let copy = repo.catalog().locate(&all[3].1).unwrap();
    assert!(matches!(copy.row.codec, Codec::Delta { .. }), "{copy:?}");
    assert!(copy.row.stored_len < 400);
}

#[test]
fn when_the_last_delta_goes_so_does_its_base() {
    let world = World::new(2);
    let all = versions(&world, 3);
    world.backup(0..3);
    for (sid, _) in &all {
        world.forget(*sid);
    }
    world.prune(&greedy());
    let repo = world.repo();
    repo.refresh().unwrap();
    assert!(all.iter().all(|(_, root)| repo.catalog().locate(root).is_none()));
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn a_delta_whose_base_is_condemned_is_not_built_on() {
    let world = World::new(3);
    let all = versions(&world, 2);
    world.forget(all[1].0);
    // C1 is a hint and may be wrong: the base's pack is condemned though it is needed, by someone
    // who has gone no further.
    let repo = world.repo();
    repo.refresh().unwrap();
    let base = repo.catalog().locate(&all[0].1).unwrap().pack.id;
    let (packs, time, host) = (vec![base], world.ambient.clock.now(), "elsewhere".into());
    let name = layout::condemned(&SetId::new([7; 32]));
    repo.put_record(&name, &CondemnedSet { packs, time, host }).unwrap();
    let session = world.begin(&[]);
    assert!(!session.depend(&all[0].1), "its pack is condemned");
    assert!(!session.depend(&all[1].1), "what it is a delta of is condemned");
    let snapshot = node(&world, &session, 1, Some(all[0].1));
    session.commit(snapshot).unwrap();
    let outcome = world.prune(&greedy());
    assert!(outcome.sets_left == 0 && outcome.packs_deleted > 0, "{outcome:?}");
    assert_eq!(world.all_is_well(), 2);
    assert!(world.check(collect::ReadData::All).is_good());
}

#[test]
fn a_base_whose_pack_was_condemned_wrongly_is_rescued() {
    let world = World::new(4);
    let all = versions(&world, 3);
    world.forget(all[0].0);
    let repo = world.repo();
    repo.refresh().unwrap();
    let base = repo.catalog().locate(&all[0].1).unwrap();
    assert!(!matches!(base.row.codec, Codec::Delta { .. }));
    let (packs, time, host) = (vec![base.pack.id], world.ambient.clock.now(), "elsewhere".into());
    let name = layout::condemned(&SetId::new([7; 32]));
    repo.put_record(&name, &CondemnedSet { packs, time, host }).unwrap();
    let outcome = world.prune(&greedy());
    assert!(outcome.blobs_moved > 0, "{outcome:?}");
    assert_eq!(world.all_is_well(), 2);
    assert!(!world.names("packs").iter().any(|name| name.ends_with(&base.pack.id.to_string())));
}

#[test]
fn a_check_reads_packs_once_and_no_base_for_each_of_its_deltas() {
    let world = World::new(5);
    let count = versions(&world, 24).len();
    let recorded = Recorded::new(world.memory.clone());
    let repo = world.repo_over(recorded.clone());
    let reach = Lists(repo.reader().unwrap());
    recorded.take();
    let (all, silent) = (collect::ReadData::All, Progress::silent());
    let checked = collect::check(&Ground::of(&repo), &reach, all, &silent).unwrap();
    assert!(checked.is_good() && checked.packs_read == checked.packs, "{checked:?}");
    // Of each pack its header, its table and its one step; and of each node one read for the walk
    // and one for the deltas of it, if the two are at it at the same time.
    let reads = recorded.count(Verb::Get, "packs");
    assert!(reads <= 3 * checked.packs as usize + 2 * count, "{reads}");
}

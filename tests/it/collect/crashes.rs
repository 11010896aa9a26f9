//! A crash at every write of everything that writes: what is committed can be read, and the next
//! run ends the work.

use icecore::{
    repo::{collect::Error, layout},
    store::{
        faulty::{Fault, Faulty},
        get_all,
    },
};

use super::*;

/// Does `work` on a copy of `world` once for each write, crashing there, before it takes effect
/// and after. Then everything must be well, and a prune must get to its end.
fn crash_everywhere(
    make: &dyn Fn() -> World,
    work: &dyn Fn(&World, &Repository) -> Result<(), Error>,
) -> usize {
    for write in 0.. {
        let mut struck = false;
        for done in [false, true] {
            let world = make();
            let live = world.all_is_well();
            let faulty = Faulty::new(world.memory.clone());
            let repo = world.repo_over(faulty.clone());
            faulty.arm(Fault::Crash { write, done });
            let result = work(&world, &repo);
            struck = faulty.has_crashed();
            assert!(result.is_err() || !struck, "an error of the store comes out");
            drop(repo);
            assert!(world.all_is_well() + 1 >= live, "at most the one that was to be forgotten");
            let checked = world.check(collect::ReadData::All);
            assert!(checked.damaged.is_empty() && checked.lost.is_empty(), "{write}: {checked:?}");
            // (A session that died is given up after the lease, between two runs.)
            world.prune(&greedy());
            world.advance_hours(7);
            let outcome = world.prune(&greedy());
            assert_eq!(outcome.sets_left, 0, "{write}");
            assert_eq!(world.names("gc"), [""; 0]);
            let checked = world.check(collect::ReadData::All);
            assert!(checked.is_good() && checked.unindexed == 0, "{write}: {checked:?}");
            let left = world.plan(&world.repo(), &greedy()).unwrap();
            assert_eq!(left.totals.freed_bytes, 0, "{write}: {:?}", left.totals);
            world.all_is_well();
        }
        if !struck {
            return write as usize;
        }
    }
    unreachable!("the work ends")
}

fn with_garbage() -> World {
    let world = World::new(1);
    let old = world.backup(0..30);
    world.backup((0..30).step_by(3));
    world.backup(100..108);
    world.forget(old);
    world
}

#[test]
fn in_a_prune() {
    let writes =
        crash_everywhere(&with_garbage, &|world, repo| world.try_prune(repo, &greedy()).map(drop));
    assert!(writes > 10, "{writes}");
}

#[test]
fn in_forget_and_prune() {
    let make = || {
        let world = World::new(2);
        world.backup(0..20);
        world.backup(10..25);
        world
    };
    crash_everywhere(&make, &|world, repo| {
        let kept = repo.snapshots()?;
        collect::forget(&Ground::of(repo), &[kept[0].sid], "test")?;
        world.try_prune(repo, &greedy()).map(drop)
    });
}

#[test]
fn in_repair_index() {
    let writes = crash_everywhere(&with_garbage, &|_, repo| {
        collect::repair_index(&Ground::of(repo), &Progress::silent()).map(drop)
    });
    assert!(writes >= 3, "{writes}");
}

#[test]
fn in_undelete_and_replace() {
    let make = || {
        let world = World::new(3);
        let old = world.backup(0..20);
        world.backup(10..25);
        world.forget(old);
        world
    };
    crash_everywhere(&make, &|_, repo| {
        let reach = Lists(repo.reader()?);
        let kept = repo.snapshots()?;
        collect::undelete(repo, &reach, kept[0].sid, &kept[0].snapshot)?;
        collect::replace(repo, &reach, kept[1].sid, &kept[1].snapshot, "test").map(drop)
    });
}

#[test]
fn another_collector_takes_up_the_set() {
    let world = with_garbage();
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.repo_over(faulty.clone());
    // The first write of a run is its set.
    faulty.arm(Fault::Crash { write: 1, done: false });
    world.try_prune(&repo, &greedy()).unwrap_err();
    assert_eq!(world.names("gc").len(), 1);
    let plan = world.plan(&world.repo(), &greedy()).unwrap();
    assert_eq!((plan.totals.sets_left_behind, plan.condemn.len()), (1, 0));
    assert!(plan.totals.freed_bytes > 0);
    let outcome = world.carry_out(&world.repo(), plan).unwrap();
    assert!(outcome.packs_deleted > 0 && outcome.sets_left == 0);
    assert_eq!(world.names("gc"), [""; 0]);
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn in_the_repair_of_the_config() {
    let make = || {
        let world = World::new(4);
        world.backup(0..3);
        world.memory.tamper(&layout::config("config"), b"garbage".to_vec());
        world.memory.remove(&layout::config("config-3")).unwrap();
        world
    };
    let writes = crash_everywhere(&make, &|_, repo| Ok(repo.repair_config().map(drop)?));
    assert_eq!(writes, 4);
    let world = make();
    let whole = get_all(&*world.memory, &layout::config("config-2"), 1 << 20).unwrap();
    assert_eq!(world.repo().damage().len(), 2);
    let repaired = world.repo().repair_config().unwrap();
    assert_eq!(repaired, [layout::config("config"), layout::config("config-3")]);
    assert!(world.repo().damage().is_empty());
    for copy in layout::CONFIGS {
        assert_eq!(get_all(&*world.memory, &layout::config(copy), 1 << 20).unwrap(), whole);
    }
    assert!(world.repo().repair_config().unwrap().is_empty());
}

//! All interleavings of small settings, and how many states each has (also in `docs/testing.md`).

use super::{
    explore::exhaust,
    rules::Rules,
    world::{Errand, Held, Setting},
};

const W: Held = Held::Whole;
const N: Held = Held::None;
const D: Held = Held::Delta(1);

const PLAIN: Errand = Errand { needs: 0b11, parent: None, retries: 0, deltas: false };
const AGAIN: Errand = Errand { retries: 1, needs: 0b11, parent: None, deltas: false };
const OTHER: Errand = Errand { needs: 0b10, parent: None, retries: 0, deltas: false };
const CHILD: Errand = Errand { needs: 0b11, parent: Some(0), retries: 0, deltas: false };
const CHILD_AGAIN: Errand = Errand { needs: 0b11, parent: Some(0), retries: 1, deltas: false };
const GRANDCHILD_OF_0: Errand = Errand { needs: 0b11, parent: Some(2), retries: 0, deltas: false };
const DELTA: Errand = Errand { needs: 0b11, parent: None, retries: 0, deltas: true };

/// A snapshot of the past needs blob 0, which lies in two packs; blob 1 is garbage that a writer
/// would like to use again. The collector condemns any of the packs, the right ones or not.
pub const ONE_AND_ONE: Setting = Setting {
    packs: &[[W, N], [W, W]],
    past: &[0b01],
    may_forget: 0b01,
    writers: &[PLAIN],
    collectors: &[1],
    condemn_max: 2,
    left_behind: &[],
    rules: Rules::ALL,
};

/// The writer is fenced, finds the abort and begins again.
pub const FENCED: Setting = Setting { writers: &[AGAIN], ..ONE_AND_ONE };
pub const TWO_WRITERS: Setting = Setting { writers: &[AGAIN, OTHER], ..ONE_AND_ONE };
/// Either may adopt the other's set, at any moment of it: the crash of a collector is in there.
pub const TWO_COLLECTORS: Setting = Setting { collectors: &[1, 1], ..ONE_AND_ONE };
pub const TWO_ROUNDS: Setting = Setting { writers: &[AGAIN], collectors: &[2], ..ONE_AND_ONE };
/// A session that names the snapshot of the past as its parent.
pub const CHILD_TWO_ROUNDS: Setting = Setting { writers: &[CHILD_AGAIN], ..TWO_ROUNDS };
pub const CHILD_TWO_COLLECTORS: Setting = Setting { writers: &[CHILD], ..TWO_COLLECTORS };
/// The parent is the other writer's snapshot, and may be forgotten as soon as it is there.
pub const GRANDCHILD: Setting =
    Setting { writers: &[PLAIN, GRANDCHILD_OF_0], may_forget: 0b101, ..ONE_AND_ONE };
/// Blob 1 lies there as a delta against blob 0; new blobs are written as deltas where they may be.
pub const DELTAS: Setting =
    Setting { packs: &[[W, N], [N, D]], past: &[0b10], writers: &[DELTA], ..TWO_ROUNDS };
/// The same, and the writer wants nothing but the delta.
pub const CHAIN: Setting = Setting { writers: &[OTHER], ..DELTAS };
/// The same, and blob 1 lies there whole too.
pub const DELTAS_AND_COPY: Setting = Setting { packs: &[[W, N], [N, D], [N, W]], ..DELTAS };
pub const DELTAS_TWO_WRITERS: Setting =
    Setting { writers: &[DELTA, OTHER], collectors: &[1], ..DELTAS };
pub const DELTAS_TWO_COLLECTORS: Setting = Setting { collectors: &[1, 1], ..DELTAS };

/// All states of `setting` are safe, and there are `states` of them.
fn holds(setting: &Setting, states: usize) {
    let explored = exhaust(setting);
    println!("{} states", explored.states);
    assert_eq!(explored.violation.unwrap_or_default(), "");
    assert_eq!(explored.states, states);
}

#[test]
fn a_writer_and_a_collector() {
    holds(&ONE_AND_ONE, 3_980);
}

#[test]
fn a_fenced_writer_and_a_collector() {
    holds(&FENCED, 6_671);
}

#[test]
fn two_writers_and_a_collector() {
    holds(&TWO_WRITERS, 454_572);
}

#[test]
fn a_writer_and_two_collectors() {
    holds(&TWO_COLLECTORS, 1_130_762);
}

#[test]
fn two_rounds() {
    holds(&TWO_ROUNDS, 251_350);
}

#[test]
fn a_child_and_two_rounds() {
    holds(&CHILD_TWO_ROUNDS, 213_142);
}

#[test]
fn a_child_and_two_collectors() {
    holds(&CHILD_TWO_COLLECTORS, 1_055_404);
}

#[test]
fn deltas_and_two_rounds() {
    holds(&DELTAS, 101_392);
}

#[test]
fn a_child_of_what_another_writer_commits() {
    holds(&GRANDCHILD, 537_932);
}

#[test]
fn only_a_delta_is_wanted() {
    holds(&CHAIN, 41_753);
}

#[test]
fn deltas_that_could_stand_on_each_other() {
    holds(&DELTAS_AND_COPY, 158_732);
}

#[test]
fn deltas_of_two_writers() {
    holds(&DELTAS_TWO_WRITERS, 337_353);
}

#[test]
fn deltas_and_two_collectors() {
    holds(&DELTAS_TWO_COLLECTORS, 2_417_812);
}

#[test]
fn not_looking_again_loses_nothing() {
    let rules = Rules { look_again_after_rescue: false, ..Rules::ALL };
    holds(&Setting { rules, ..TWO_COLLECTORS }, 610_623);
    holds(&Setting { rules, ..TWO_WRITERS }, 395_892);
}

#[test]
#[ignore = "minutes: see docs/testing.md"]
fn two_writers_and_two_rounds() {
    holds(&Setting { collectors: &[2], ..TWO_WRITERS }, 92_463_741);
}

#[test]
#[ignore = "minutes: see docs/testing.md"]
fn two_collectors_one_with_two_rounds() {
    holds(&Setting { collectors: &[2, 1], ..TWO_COLLECTORS }, 20_928_763);
}

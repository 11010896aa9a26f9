//! Each rule switched off loses a snapshot: the checker finds it, and random walks do.

use super::{
    exhaustive::*,
    explore::{exhaust, walk},
    rules::Rules,
    world::Setting,
};

const WALKS_MAX: usize = 200_000;

/// Without the rule, the exhaustive run ends in a lost blob, and so does one of many random walks.
fn is_caught(setting: &Setting, rules: Rules) {
    let mutant = Setting { rules, ..*setting };
    let explored = exhaust(&mutant);
    println!("found among {} states", explored.states);
    let trace = explored.violation.expect("the checker finds the loss");
    println!("{trace}");
    let (number, _) = walk(&mutant, 0x1ce_c04e, WALKS_MAX).expect("a random walk finds it too");
    println!("found by random walk {number}");
}

macro_rules! mutants {
    ($($rule:ident in $setting:ident,)*) => {
        $(#[test]
        fn $rule() {
            is_caught(&$setting, Rules { $rule: false, ..Rules::ALL });
        })*
    };
}

mutants! {
    announce_first in ONE_AND_ONE,
    heed_condemned in ONE_AND_ONE,
    trust_listing_only in ONE_AND_ONE,
    pin_dependencies in ONE_AND_ONE,
    pin_own_packs in TWO_COLLECTORS,
    pause_decisions in ONE_AND_ONE,
    heed_later_sets in ONE_AND_ONE,
    one_slot in ONE_AND_ONE,
    open_until_decided in ONE_AND_ONE,
    condemn_before_listing_sessions in ONE_AND_ONE,
    drain in ONE_AND_ONE,
    fence_by_slot in ONE_AND_ONE,
    roots_after_drain in ONE_AND_ONE,
    wait_before_roots in ONE_AND_ONE,
    read_unindexed_tables in TWO_COLLECTORS,
    heed_others_sets in TWO_COLLECTORS,
    sets_before_packs in TWO_COLLECTORS,
    rescue in ONE_AND_ONE,
    keep_pinned in ONE_AND_ONE,
    set_outlives_packs in ONE_AND_ONE,
    condemned_is_final in TWO_COLLECTORS,
    adopter_drains in TWO_COLLECTORS,
    fresh_names in ONE_AND_ONE,
    keep_aborted_slots in ONE_AND_ONE,
    parent_is_root in CHILD_TWO_ROUNDS,
    parent_outlives_tombstone in CHILD_TWO_ROUNDS,
    free_reuse_only_when_none_condemned in CHILD_TWO_ROUNDS,
    parent_checked_after_sets in CHILD_TWO_ROUNDS,
    chain_is_dependency in CHAIN,
    base_is_needed in DELTAS,
    generations_descend in DELTAS_AND_COPY,
}

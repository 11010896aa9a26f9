//! The rules of the protocol, each of which can be switched off to see what it is for.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Which rules the actors keep.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Rules { $($(#[$doc])* pub $name: bool,)* }

        impl Rules {
            pub const ALL: Rules = Rules { $($name: true,)* };
        }
    };
}

rules! {
    /// W1 before W2: a session is announced before the condemned sets are listed.
    announce_first,
    /// W2: condemned packs are not used.
    heed_condemned,
    /// W3: only what the pack listing shows is used; an index may name packs long gone.
    trust_listing_only,
    /// W6: a heartbeat pins what the session depends on and is condemned by the sets it has seen.
    pin_dependencies,
    /// W6: and also the packs that the session itself has put.
    pin_own_packs,
    /// W6: no decision falls between the listing of sets and the heartbeat that says "seen".
    pause_decisions,
    /// W6: what the listing shows is heeded from then on.
    heed_later_sets,
    /// W7: commit and abort compete for one name that can be made once.
    one_slot,
    /// W8: `open` stays until the slot is decided.
    open_until_decided,
    /// C2 before C3: sessions are listed after the set is on the store.
    condemn_before_listing_sessions,
    /// C4: sessions are waited for.
    drain,
    /// C4: a session is given up only through its slot.
    fence_by_slot,
    /// C5 after C4: snapshots are listed when all sessions are drained.
    roots_after_drain,
    /// C5: after the drain a collector waits until what was committed during it is in listings.
    wait_before_roots,
    /// C5: what a condemned pack holds is read from the pack when no index tells it.
    read_unindexed_tables,
    /// C6: copies in packs that anybody has condemned do not count.
    heed_others_sets,
    /// C6: sets are listed before packs.
    sets_before_packs,
    /// C7: what is needed and nowhere else is copied away.
    rescue,
    /// C7: after a rescue sets and packs are listed again. The one rule whose loss loses nothing:
    /// see `exhaustive::not_looking_again_loses_nothing`.
    look_again_after_rescue,
    /// C9: pinned packs stay.
    keep_pinned,
    /// C10: a set is taken away only after its last pack.
    set_outlives_packs,
    /// A condemned set is final: nobody takes it back.
    condemned_is_final,
    /// Adoption begins at C3: an adopter waits for the sessions it sees.
    adopter_drains,
    /// Names are never used again: a rescued pack is a new one.
    fresh_names,
    /// An aborted slot stays, so that a commit sent long ago still finds it.
    keep_aborted_slots,
    /// A parent is a root for every collector that meets the session.
    parent_is_root,
    /// A parent counts as root even when it has been forgotten meanwhile.
    parent_outlives_tombstone,
    /// Reuse of a parent without looking is for sessions that saw no condemned set at W2.
    free_reuse_only_when_none_condemned,
    /// The parent is looked up, and found neither gone nor forgotten, after W2.
    parent_checked_after_sets,
    /// Bases: a delta may be used only if a base of a lower generation may be used, and the packs
    /// of the whole chain are dependencies.
    chain_is_dependency,
    /// Bases: a collector counts the base of a needed delta as needed.
    base_is_needed,
    /// Bases: only a copy of lower generation is a base, so that chains end.
    generations_descend,
}

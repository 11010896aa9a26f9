//! The repository protocol as a model small enough to try every interleaving of it.
//!
//! Read `world` (what lies on the store), `writer` and `collector` (each line of the protocol is
//! one step here), `rules` (what each rule is for) and then `exhaustive` and `mutants`.
//!
//! **What is checked.** After every step, every snapshot that is committed and not forgotten has
//! all its blobs readable from the packs that are there.
//!
//! **What a step is.** One call to the store, together with the thinking that follows it. Steps of
//! different actors interleave in every way. So a slow host, a request that lands late, and a crash
//! need no steps of their own: an actor that has crashed is one that takes no further step, and
//! every state is checked whether or not its actors ever move again. What comes after a crash is
//! there too: fences may fall at any time (no clock is modelled, every lease may be over), a second
//! collector may adopt the first one's set at any moment, a fenced writer tries again.
//!
//! **What is left out, and why that is sound.** Index segments: rules W3 and C5 take what exists
//! from the pack listing and what is inside from the packs' own tables, so no correct actor's
//! choice depends on an index; the two mutants that do trust it use `born`, an index that never
//! forgets.
//! The visibility delay: a wait that turns a slow listing into the exact one modelled here. The
//! waits are after W1, after C2 and an adoption, between C4 and C5, and before C10's listing
//! (`docs/decisions/0011-where-a-collector-waits.md`); the one that was forgotten once, before C5,
//! has a mutant, in which a listing may lack what was committed since C2.
//!
//! **How states are kept small.** Thinking is joined to the store call before it. Decisions about
//! blobs depend on nothing but what their writer has listed, so they are joined to that writer's
//! next call. What a finished actor remembers is cleared, so that states differing only in memories
//! are one. A session is waited for, and a pack deleted, in the order of names.

mod collector;
mod exhaustive;
mod explore;
mod mutants;
mod rules;
mod world;
mod writer;

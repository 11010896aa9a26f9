//! Which older blob a new one is stored as a delta of: few hops, and short strides.
//!
//! A skip-delta (Subversion's idea) bounds the hops to a whole blob by sometimes taking an older
//! base than the newest. With `n & (n - 1)` the strides average 2.6 generations over 30 versions;
//! the rule here spends the hops it is allowed (binomially, as checkpoints are spread in
//! reverse-mode differentiation: Griewank 1992) and averages 1.8, so deltas are a third smaller.

use crate::id::BlobId;

/// One blob on the way from a blob to the whole one that it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub id: BlobId,
    /// How many versions lie between it and the whole blob, which has 0.
    pub generation: u16,
}

/// A base for a new blob, and the generation that the new blob then has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub id: BlobId,
    pub generation: u16,
    /// So many deltas stand between the new blob and a whole one.
    pub hops: u8,
}

/// The base for a blob that resembles `chain[0]`. The chain is newest first, each step being
/// stored as a delta of the next, and ends with a whole blob. `None`: store it whole.
///
/// Depth of a step is its distance from the chain's end. While there are hops left the base is
/// the newest step. Then the run of shortest strides at the deep end is given up, and the new blob
/// replaces it by one longer stride from the step before the run.
pub fn choose_base(chain: &[Step], max_hops: u8) -> Option<Base> {
    let newest = chain.first()?;
    let generation = newest.generation.checked_add(1)?;
    let max_hops = usize::from(max_hops);
    if max_hops == 0 {
        return None;
    }
    // Steps deeper than `max_hops - 1` can't be bases; one at `max_hops` tells of the last stride.
    let usable = &chain[chain.len().saturating_sub(max_hops + 1)..];
    let at_depth = |depth: usize| usable[usable.len() - 1 - depth];
    let mut depth = usable.len() - 1;
    if depth == max_hops {
        let stride = |depth: usize| {
            let from = at_depth(depth - 1).generation;
            class(at_depth(depth).generation.saturating_sub(from), max_hops - depth + 1)
        };
        let shortest = stride(depth);
        while depth > 1 && stride(depth - 1) <= shortest {
            depth -= 1;
        }
        depth -= 1;
    }
    let hops = u8::try_from(depth + 1).expect("at most max_hops, which is a u8");
    Some(Base { id: at_depth(depth).id, generation, hops })
}

/// Whether a delta is worth its hops: a whole blob again when it exceeds half.
pub fn is_worth_it(delta_bytes: usize, whole_bytes: usize) -> bool {
    delta_bytes <= whole_bytes / 2
}

/// How many shorter strides one of `stride` generations stands for, with `room` depths left for
/// them: the largest c with stride >= binomial(room + c, c).
fn class(stride: u16, room: usize) -> u32 {
    let (mut class, mut binomial) = (0, 1u64);
    loop {
        let next = u64::from(class + 1);
        binomial = binomial * (room as u64 + next) / next;
        if binomial > u64::from(stride) {
            return class;
        }
        class += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(version: u16) -> BlobId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&version.to_le_bytes());
        BlobId::new(bytes)
    }

    /// Generations of the bases that versions 1.. get, and the longest chain met.
    fn history(versions: u16, max_hops: u8) -> (Vec<u16>, usize) {
        let mut chain = vec![Step { id: id(0), generation: 0 }];
        let (mut bases, mut longest) = (Vec::new(), 0);
        for version in 1..=versions {
            let base = choose_base(&chain, max_hops).unwrap();
            assert_eq!(base.generation, version);
            let from = chain.iter().position(|step| step.id == base.id).unwrap();
            bases.push(chain[from].generation);
            chain.drain(..from);
            chain.insert(0, Step { id: id(version), generation: version });
            assert_eq!(usize::from(base.hops), chain.len() - 1);
            longest = longest.max(chain.len() - 1);
        }
        (bases, longest)
    }

    #[test]
    fn the_schedule_is_binomial() {
        let (bases, _) = history(12, 3);
        assert_eq!(bases, [0, 1, 2, 0, 4, 5, 4, 7, 7, 0, 10, 11]);
    }

    #[test]
    fn hops_are_bounded_and_strides_short() {
        for max_hops in 1..=8 {
            let (bases, longest) = history(1000, max_hops);
            assert_eq!(longest, usize::from(max_hops));
            if max_hops >= 6 {
                let strides: u32 = (1..=27).map(|n| u32::from(n - bases[usize::from(n) - 1])).sum();
                assert!(strides <= 49, "{strides} over 27 versions");
            }
        }
    }

    #[test]
    fn a_chain_longer_than_allowed_is_cut_back() {
        let chain: Vec<_> = (0..9).rev().map(|n| Step { id: id(n), generation: n }).collect();
        let base = choose_base(&chain, 2).unwrap();
        assert_eq!((base.id, base.hops, base.generation), (id(0), 1, 9));
        assert_eq!(choose_base(&chain, 0), None);
        assert_eq!(choose_base(&[], 8), None);
        let last = [Step { id: id(1), generation: u16::MAX }];
        assert_eq!(choose_base(&last, 8), None, "a generation more can't be told");
    }
}

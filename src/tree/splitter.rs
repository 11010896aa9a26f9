//! Where nodes end: a rule on keys and sizes that only a repository's secret can foretell.
//!
//! Dolt's rule: after each row, the node ends with the probability that a Weibull distribution
//! (shape 4) of node sizes gives to an end within this row, given that it did not end before; the
//! dice are a keyed hash of the row's key. So sizes gather around the aim, and an edge depends on
//! the key and on how many bytes of the node stand before it, never on what the bytes are.
//!
//! What that means for changes: a value that keeps its length never moves an edge. A value that
//! grows by d bytes shifts the sizes at the rows behind it, up to the node's end, and moves that
//! end with a probability of about 4 d / aim; edges meet again after a node or two.
//!
//! All arithmetic is on integers: the canonical form must not hang on a machine's `exp`.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// Sizes of one kind of node, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No node ends before (but the last, and those beside a row that is too long).
    pub min: usize,
    /// The scale of the distribution: nodes average nine tenths of it.
    pub aim: usize,
    /// The row that reaches it is the node's last. A longer row has a leaf for itself.
    pub max: usize,
}

/// Sizes of the nodes of a repository's trees; they never change in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aims {
    pub leaf: Bounds,
    pub inner: Bounds,
}

impl Default for Aims {
    fn default() -> Self {
        use crate::limits::{
            INNER_AIM_BYTES, INNER_MAX_BYTES, INNER_MIN_BYTES, LEAF_AIM_BYTES, LEAF_MAX_BYTES,
            LEAF_MIN_BYTES,
        };
        Aims {
            leaf: Bounds { min: LEAF_MIN_BYTES, aim: LEAF_AIM_BYTES, max: LEAF_MAX_BYTES },
            inner: Bounds { min: INNER_MIN_BYTES, aim: INNER_AIM_BYTES, max: INNER_MAX_BYTES },
        }
    }
}

/// Sizes that no tree can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node sizes {min}/{aim}/{max} are not in order or out of bounds")]
pub struct BadAims {
    pub min: usize,
    pub aim: usize,
    pub max: usize,
}

/// Past this the arithmetic of `Splitter::ends` would overflow.
const SIZE_MAX: usize = 1 << 22;

impl Aims {
    /// A reader of a repository's config must ask this before it makes a `Splitter`.
    pub fn check(self) -> Result<Self, BadAims> {
        for Bounds { min, aim, max } in [self.leaf, self.inner] {
            if !(0 < min && min < aim && aim < max && max <= SIZE_MAX) {
                return Err(BadAims { min, aim, max });
            }
        }
        Ok(self)
    }
}

/// Decides node ends. Copied freely.
#[derive(Clone, Copy)]
pub struct Splitter {
    key: (u64, u64),
    aims: Aims,
}

impl Splitter {
    /// `secret` is the repository's, and `aims` have been checked.
    pub fn new(secret: [u8; 32], aims: Aims) -> Self {
        // SipHash-2-4 takes 16 bytes of key, and is made for keyed hashes of short texts: it
        // takes some 20 ns for a key where BLAKE3 takes 100, and is as hard to foretell.
        let word = |at: usize| {
            u64::from_le_bytes(secret[at..at + 8].try_into().expect("eight bytes of 32"))
        };
        Splitter { key: (word(0), word(8)), aims }
    }

    pub(super) fn bounds(&self, level: u8) -> Bounds {
        if level == 0 { self.aims.leaf } else { self.aims.inner }
    }

    /// Whether the row of `key`, which fills the node from `before` bytes to `after`, is its last.
    pub(super) fn ends(&self, level: u8, key: &[u8], before: usize, after: usize) -> bool {
        let Bounds { min, aim, max } = self.bounds(level);
        if after < min || after >= max {
            return after >= max;
        }
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&[level]);
        hasher.write(key);
        // The chance to end within the row is 1 - exp(-(after^4 - before^4) / aim^4); a dice of
        // exponential distribution decides alike and needs no exp.
        let fourth = |size: usize| (size as u128).pow(4);
        let (hash, aim) = (hasher.finish(), fourth(aim));
        let grown = (fourth(after) - fourth(before)) << DICE_BITS;
        // Nearly all rows are far from being the last: a bound tells that, and takes no logarithm.
        grown >= u128::from(exponential_min(hash)) * aim
            && grown >= u128::from(exponential(hash)) * aim
    }
}

const DICE_BITS: u32 = 24;
/// The natural logarithm of 2, with 32 bits behind the point.
const LN_2: u128 = 2_977_044_472;

/// What `exponential` is at least: -ln(x) is never below 1 - x.
fn exponential_min(hash: u64) -> u64 {
    (u64::MAX - hash) >> (64 - DICE_BITS)
}

/// -ln((hash + 1) / 2^64) with `DICE_BITS` bits behind the point: exponentially distributed.
fn exponential(hash: u64) -> u64 {
    let Some(number) = hash.checked_add(1) else { return 0 };
    let whole = number.ilog2();
    // The bits of a binary logarithm come from squaring: each square over 2 is a bit of 1.
    let mut mantissa = number << (63 - whole);
    let mut log = u64::from(whole);
    for _ in 0..DICE_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let over = (square >> 127) as u64;
        log = log << 1 | over;
        mantissa = (square >> (63 + over)) as u64;
    }
    let halvings = (64u64 << DICE_BITS) - log;
    u64::try_from((u128::from(halvings) * LN_2) >> 32).expect("64 times 2^24 at most")
}

const _: () = {
    use crate::limits::{INNER_MAX_BYTES, LEAF_MAX_BYTES};
    assert!(LEAF_MAX_BYTES <= SIZE_MAX && INNER_MAX_BYTES <= SIZE_MAX);
    // fourth(SIZE_MAX) << DICE_BITS, and a dice below 2^31 times it, fit u128.
    assert!(4 * SIZE_MAX.ilog2() + 31 < 128);
};

#[cfg(test)]
mod tests {
    use super::*;

    const AIMS: Aims = Aims {
        leaf: Bounds { min: 1000, aim: 10_000, max: 40_000 },
        inner: Bounds { min: 500, aim: 5_000, max: 20_000 },
    };

    /// Sizes of the nodes that `rows` rows of `row_bytes` fall into.
    fn sizes(secret: u8, rows: u64, row_bytes: usize) -> Vec<usize> {
        let splitter = Splitter::new([secret; 32], AIMS);
        let (mut sizes, mut size) = (Vec::new(), 0);
        for row in 0..rows {
            size += row_bytes;
            if splitter.ends(0, &row.to_be_bytes(), size - row_bytes, size) {
                sizes.push(std::mem::take(&mut size));
            }
        }
        sizes
    }

    #[test]
    fn sizes_follow_the_distribution() {
        let sizes = sizes(1, 400_000, 100);
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        let deviation = (sizes.iter().map(|&size| (size as f64 - mean).powi(2)).sum::<f64>()
            / sizes.len() as f64)
            .sqrt();
        // Weibull, shape 4: mean 0.906, deviation 0.254 of the scale; half a row is rounded up.
        assert!((9_000.0..9_250.0).contains(&mean), "{mean}");
        assert!((2_450.0..2_650.0).contains(&deviation), "{deviation}");
    }

    #[test]
    fn the_dice_are_exponential() {
        for (hash, wanted) in
            [(u64::MAX, 0.0), (u64::MAX / 2, std::f64::consts::LN_2), (0, 44.361_419)]
        {
            let found = exponential(hash) as f64 / f64::from(1u32 << DICE_BITS);
            assert!((found - wanted).abs() < 1e-5, "{found} for {hash}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_bound_holds(hash: u64, shift in 0u32..64) {
            for hash in [hash, hash >> shift, !(hash >> shift)] {
                proptest::prop_assert!(exponential_min(hash) <= exponential(hash));
            }
        }
    }

    #[test]
    fn golden_edges() {
        assert_eq!(sizes(7, 400, 150), GOLDEN);
        assert_ne!(sizes(8, 400, 150), GOLDEN);
    }

    const GOLDEN: [usize; 6] = [8250, 9900, 7950, 10_200, 11_100, 12_300];

    #[test]
    fn aims_out_of_order_are_refused() {
        let mut aims = AIMS;
        aims.inner.max = aims.inner.aim;
        assert_eq!(aims.check(), Err(BadAims { min: 500, aim: 5_000, max: 5_000 }));
        aims.inner.max = SIZE_MAX + 1;
        assert!(aims.check().is_err());
        assert!(AIMS.check().is_ok());
    }
}

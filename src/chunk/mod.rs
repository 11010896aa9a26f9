//! Craft: content cut into chunks, at places that the content itself and a secret decide.
//!
//! FastCDC (Xia and others, 2020) by the `fastcdc` crate's public `cut_gear`, over a gear table
//! that every repository draws from its own secret, so that chunk sizes do not say which known
//! file was cut. DESIGN.md 5 tells how far that protects, and how far it does not.

use std::num::NonZeroUsize;

use fastcdc::v2020::{Normalization, cut_gear, select_masks};

const GEAR_CONTEXT: &str = "icecore v1 gear table";

/// Finds the cuts of content. Cheap to share between threads; holds two tables of 2 KiB.
pub struct Cutter {
    gear: Box<[u64; 256]>,
    /// The same table, each value shifted left by one: the scan takes two bytes a step.
    gear_shifted: Box<[u64; 256]>,
    sizes: Sizes,
    strict: u64,
    loose: u64,
}

/// How large chunks are to be, in bytes. All three even, for the scan takes two bytes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub min: usize,
    /// A power of two.
    pub aim: usize,
    pub max: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        use crate::limits::{CHUNK_AIM_BYTES, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES};
        Sizes { min: CHUNK_MIN_BYTES, aim: CHUNK_AIM_BYTES, max: CHUNK_MAX_BYTES }
    }
}

/// Sizes that can't be cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk sizes {min}/{aim}/{max} are not even, not in order or out of bounds")]
pub struct BadSizes {
    pub min: usize,
    pub aim: usize,
    pub max: usize,
}

impl Sizes {
    /// Refuses what the scan can't do: a reader of a repository's config must ask before `Cutter`.
    pub fn check(self) -> Result<Self, BadSizes> {
        use fastcdc::v2020::{AVERAGE_MAX, AVERAGE_MIN, MINIMUM_MAX, MINIMUM_MIN};
        let Sizes { min, aim, max } = self;
        let in_bounds = (MINIMUM_MIN..=MINIMUM_MAX).contains(&min)
            && (AVERAGE_MIN..=AVERAGE_MAX).contains(&aim)
            && max <= crate::limits::BLOB_MAX_BYTES;
        let even = min % 2 == 0 && max % 2 == 0 && aim.is_power_of_two();
        if in_bounds && even && min < aim && aim < max {
            Ok(self)
        } else {
            Err(BadSizes { min, aim, max })
        }
    }
}

impl Cutter {
    /// The same secret and sizes cut alike for ever (golden vectors hold it).
    pub fn new(secret: &[u8; 32], sizes: Sizes) -> Result<Self, BadSizes> {
        let Sizes { aim, .. } = sizes.check()?;
        let mut stream = blake3::Hasher::new_derive_key(GEAR_CONTEXT);
        stream.update(secret);
        let mut stream = stream.finalize_xof();
        let mut gear = Box::new([0; 256]);
        for value in gear.iter_mut() {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
        }
        let gear_shifted = Box::new(gear.map(|value| value << 1));
        let (strict, loose) = select_masks(aim, Normalization::Level1);
        Ok(Cutter { gear, gear_shifted, sizes, strict, loose })
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The length of the first chunk of `buffer`, or `None`: more bytes are needed to tell
    /// (or there are none at all). With `at_end`, nothing follows `buffer`, and what is left
    /// is a chunk. A buffer of `sizes().max` bytes always has an answer, and what is said of a
    /// shorter one stays true of the longer, so cuts don't depend on how the stream was fed.
    pub fn cut(&self, buffer: &[u8], at_end: bool) -> Option<NonZeroUsize> {
        let Sizes { min, aim, max } = self.sizes;
        let (_, length) = cut_gear(
            buffer,
            min,
            aim,
            max,
            self.strict,
            self.loose,
            self.strict << 1,
            self.loose << 1,
            &self.gear[..],
            &self.gear_shifted[..],
        );
        // A cut that was found lies before the end; the end itself means that none was found.
        let decided = length < buffer.len() || length == max || at_end;
        NonZeroUsize::new(length).filter(|_| decided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{KIB, MIB};
    use proptest::prelude::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    fn all_cuts(cutter: &Cutter, mut content: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some(length) = cutter.cut(content, true) {
            lengths.push(length.get());
            content = &content[length.get()..];
        }
        lengths
    }

    fn fed_cuts(cutter: &Cutter, content: &[u8], feeds: &[usize]) -> Vec<usize> {
        let (mut lengths, mut start, mut end) = (Vec::new(), 0, 0);
        let mut feeds = feeds.iter().cycle();
        loop {
            match cutter.cut(&content[start..end], end == content.len()) {
                Some(length) => {
                    lengths.push(length.get());
                    start += length.get();
                }
                None if end == content.len() => return lengths,
                None => end = (end + feeds.next().unwrap()).min(content.len()),
            }
        }
    }

    const GOLDEN_SMALL: [usize; 11] = [1016, 1529, 934, 1098, 1090, 447, 265, 572, 533, 1384, 1132];
    const SMALL: Sizes = Sizes { min: 256, aim: 1024, max: 4096 };

    #[test]
    fn golden_cuts() {
        let cutter = Cutter::new(&[7; 32], Sizes::default()).unwrap();
        let lengths = all_cuts(&cutter, &noise(1, 8 * MIB + 12_345));
        assert_eq!(lengths.iter().sum::<usize>(), 8 * MIB + 12_345);
        assert_eq!(lengths, [1_108_820, 2_313_000, 1_774_111, 1_061_361, 1_655_117, 488_544]);
        let small = Cutter::new(&[7; 32], SMALL).unwrap();
        assert_eq!(all_cuts(&small, &noise(2, 10_000)), GOLDEN_SMALL);
    }

    #[test]
    fn another_secret_cuts_elsewhere() {
        let content = noise(3, 256 * KIB);
        let cuts = |secret| all_cuts(&Cutter::new(&[secret; 32], SMALL).unwrap(), &content);
        assert_ne!(cuts(1), cuts(2));
    }

    #[test]
    fn zeros_are_cut_at_the_maximum_and_nothing_is_no_chunk() {
        let cutter = Cutter::new(&[7; 32], SMALL).unwrap();
        assert_eq!(all_cuts(&cutter, &[0; 10_000]), [4096, 4096, 1808]);
        assert_eq!(cutter.cut(&[], true), None);
        assert_eq!(cutter.cut(&[1; 100], false), None);
        assert_eq!(cutter.cut(&[1; 100], true).unwrap().get(), 100);
    }

    #[test]
    fn an_inserted_byte_moves_few_cuts() {
        let cutter = Cutter::new(&[7; 32], SMALL).unwrap();
        let mut content = noise(4, 512 * KIB);
        let before: std::collections::HashSet<Vec<u8>> = chunks(&cutter, &content).collect();
        content.insert(200_000, 1);
        let new = chunks(&cutter, &content).filter(|chunk| !before.contains(chunk)).count();
        assert!((1..=4).contains(&new), "{new} new chunks");
    }

    fn chunks<'a>(cutter: &Cutter, content: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let mut start = 0;
        all_cuts(cutter, content).into_iter().map(move |length| {
            start += length;
            content[start - length..start].to_vec()
        })
    }

    #[test]
    fn sizes_out_of_bounds_are_refused() {
        for (min, aim, max) in [(255, 1024, 4096), (256, 1000, 4096), (2048, 1024, 4096), (2, 4, 8)]
        {
            assert!(Cutter::new(&[0; 32], Sizes { min, aim, max }).is_err());
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_depend_on_the_feeding(
            seed: u64,
            length in 0..60_000usize,
            feeds in prop::collection::vec(1..9000usize, 1..8),
        ) {
            let cutter = Cutter::new(&[7; 32], SMALL).unwrap();
            let content = noise(seed, length);
            prop_assert_eq!(fed_cuts(&cutter, &content, &feeds), all_cuts(&cutter, &content));
        }
    }
}

//! Making bytes smaller, where that is worth the time, with contexts that are used again.

use std::{cell::RefCell, str::FromStr};

use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound};

use super::Codec;
use crate::limits::KIB;

/// How hard to squeeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// A good trade of time for size (zstd 2; 1 for nodes and long binaries: `docs/benchmarks.md`).
    #[default]
    Auto,
    /// Everything is stored as it is; deltas of nodes are still made.
    Off,
    Fastest,
    Better,
    Max,
}

impl Compression {
    pub const NAMES: [&str; 5] = ["auto", "off", "fastest", "better", "max"];

    /// How nodes are squeezed in this mode. Rows of documents are alike: zstd 1 makes them smaller
    /// than zstd 2 and is faster both ways.
    pub fn of_nodes(self) -> Self {
        match self {
            Compression::Auto => Compression::Fastest,
            other => other,
        }
    }

    /// zstd's level, `None` for off.
    pub fn level(self) -> Option<i32> {
        match self {
            Compression::Auto => Some(2),
            Compression::Off => None,
            Compression::Fastest => Some(1),
            Compression::Better => Some(9),
            Compression::Max => Some(19),
        }
    }
}

/// A text that names no mode of compression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a compression: wanted auto, off, fastest, better or max")]
pub struct NotACompression;

impl FromStr for Compression {
    type Err = NotACompression;
    fn from_str(text: &str) -> Result<Self, NotACompression> {
        match text {
            "auto" => Ok(Compression::Auto),
            "off" => Ok(Compression::Off),
            "fastest" => Ok(Compression::Fastest),
            "better" => Ok(Compression::Better),
            "max" => Ok(Compression::Max),
            _ => Err(NotACompression),
        }
    }
}

/// Plain bytes at least this long are probed before the work is done; below, the probe costs more
/// than it saves (DEPENDENCIES: a loss at 64 KiB, a gain at 1 MiB).
const PROBE_FROM_BYTES: usize = 256 * KIB;
/// Of long binaries level 1 makes 107 % of what level 2 does, in 78 % of the time; of text it makes
/// 121 %, in 97 % (docs/benchmarks.md).
const BINARY_LEVEL: i32 = 1;
const PROBE_SAMPLES: usize = 3;
const PROBE_SAMPLE_BYTES: usize = 4 * KIB;
const PROBE_LEVEL: i32 = -5;
/// Squeezed bytes must be smaller by a 32nd (3 %), or opening them is not worth it.
const GAIN_SHIFT: u32 = 5;
/// Level 6 makes deltas of documents a sixth smaller than level 3; 9 gains nothing more, 12 takes
/// sixty times as long. Below 3, a base of 200 KiB is not found again at all. A delta is what makes
/// trees cheap, so `off` does not switch it off.
const DELTA_LEVEL_MIN: i32 = 6;
/// Where little of a long plain is new, level 1 with a search for long matches finds what level 6
/// does in a fraction of the time (docs/benchmarks.md).
const LONG_MATCHES_LEVEL: i32 = 1;
const LONG_MATCHES_FROM_BYTES: usize = 128 * KIB;
/// What is told in more than a 64th of its bytes has more in it than long matches.
const SPARSE_SHIFT: u32 = 6;
/// Up to this sum of base and plain the level's own window and tables reach over the base.
const WINDOW_SUFFICES_BYTES: usize = 1024 * KIB;
/// zstd would read a base that begins so as one of its dictionaries, not as plain bytes.
const DICTIONARY_MAGIC: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();

/// A compressor to keep: its context and buffers are used again and again.
pub struct Squeezer {
    context: CCtx<'static>,
    buffer: Vec<u8>,
}

impl Default for Squeezer {
    fn default() -> Self {
        Squeezer { context: CCtx::create(), buffer: Vec::new() }
    }
}

impl Squeezer {
    /// The bytes to seal for `plain` and how they were made: `Zstd`, or `Raw` and `plain` itself
    /// when that would not be smaller by a few percent.
    pub fn squeeze<'a>(
        &'a mut self,
        plain: &'a [u8],
        compression: Compression,
    ) -> (Codec, &'a [u8]) {
        let Some(level) = compression.level() else { return (Codec::Raw, plain) };
        let is_long = plain.len() >= PROBE_FROM_BYTES;
        if is_long && !self.promises(plain) {
            return (Codec::Raw, plain);
        }
        let length = match compression {
            Compression::Auto if is_long && is_binary(plain) => self.compress(plain, BINARY_LEVEL),
            Compression::Auto if is_long => self.compress_short_matches(plain, level),
            _ => self.compress(plain, level),
        };
        match length {
            Some(length) if gains(plain.len(), length) => (Codec::Zstd, &self.buffer[..length]),
            _ => (Codec::Raw, plain),
        }
    }

    /// `plain` told as what differs from `base`; `None` when that is not smaller than half of
    /// `plain`. Whether it is small enough beside the squeezed whole is the caller's to say.
    pub fn squeeze_delta<'a>(
        &'a mut self,
        plain: &[u8],
        base: &[u8],
        compression: Compression,
    ) -> Option<&'a [u8]> {
        if !may_be_base(base) {
            return None;
        }
        let level = compression.level().unwrap_or(DELTA_LEVEL_MIN).max(DELTA_LEVEL_MIN);
        let length = match self.compress_sparse(plain, base, level) {
            Some(length) => length,
            None if plain.len() + base.len() <= WINDOW_SUFFICES_BYTES => {
                self.make_room(plain.len());
                self.context.compress_using_dict(&mut self.buffer, plain, base, level).ok()?
            }
            None => self.compress_far(plain, base, level)?,
        };
        (length * 2 < plain.len()).then(|| &self.buffer[..length])
    }

    /// `None` if that would not do as well as `level`.
    fn compress_sparse(&mut self, plain: &[u8], base: &[u8], level: i32) -> Option<usize> {
        if level > DELTA_LEVEL_MIN || plain.len() < LONG_MATCHES_FROM_BYTES {
            return None;
        }
        let length = self.compress_far(plain, base, LONG_MATCHES_LEVEL)?;
        (length <= plain.len() >> SPARSE_SHIFT).then_some(length)
    }

    fn compress(&mut self, plain: &[u8], level: i32) -> Option<usize> {
        self.make_room(plain.len());
        self.context.compress(&mut self.buffer, plain, level).ok()
    }

    /// Level 2 looks for matches of six bytes in inputs so long, of four or five in shorter ones.
    /// With five, and a table twice as long, text becomes 3 % smaller, for 9 % more time.
    fn compress_short_matches(&mut self, plain: &[u8], level: i32) -> Option<usize> {
        self.make_room(plain.len());
        self.context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        self.context.set_parameter(CParameter::MinMatch(5)).ok()?;
        self.context.set_parameter(CParameter::HashLog(17)).ok()?;
        self.context.compress2(&mut self.buffer, plain).ok()
    }

    // A window over both needs a parameter, and a prefix with parameters needs a context that does
    // not outlive it.
    fn compress_far(&mut self, plain: &[u8], base: &[u8], level: i32) -> Option<usize> {
        self.make_room(plain.len());
        let window_log = usize::BITS - (plain.len() + base.len()).leading_zeros();
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        context.set_parameter(CParameter::WindowLog(window_log)).ok()?;
        context.set_parameter(CParameter::EnableLongDistanceMatching(true)).ok()?;
        context.ref_prefix(base).ok()?;
        context.compress2(&mut self.buffer, plain).ok()
    }

    fn make_room(&mut self, plain_len: usize) {
        // zstd writes into a vector's spare room: what it does not fill is never touched.
        let bound = compress_bound(plain_len);
        self.buffer.clear();
        if self.buffer.capacity() < bound {
            self.buffer = Vec::with_capacity(bound);
        }
    }

    /// Whether samples from the beginning, the middle and the end shrink.
    fn promises(&mut self, plain: &[u8]) -> bool {
        samples(plain).any(|sample| {
            let length = self.compress(sample, PROBE_LEVEL);
            length.is_some_and(|length| gains(sample.len(), length))
        })
    }
}

/// Whether most samples hold a byte that no text holds.
fn is_binary(plain: &[u8]) -> bool {
    samples(plain).filter(|sample| sample.contains(&0)).count() * 2 > PROBE_SAMPLES
}

/// A few bytes from the beginning, the middle and the end.
fn samples(plain: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = (plain.len() - PROBE_SAMPLE_BYTES) / (PROBE_SAMPLES - 1);
    (0..PROBE_SAMPLES).map(move |sample| &plain[sample * step..][..PROBE_SAMPLE_BYTES])
}

fn gains(plain_len: usize, squeezed_len: usize) -> bool {
    squeezed_len + (plain_len >> GAIN_SHIFT) < plain_len
}

/// Whether these bytes may be a delta's base.
pub(super) fn may_be_base(base: &[u8]) -> bool {
    !base.starts_with(&DICTIONARY_MAGIC)
}

thread_local! {
    static SQUEEZER: RefCell<Squeezer> = RefCell::default();
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Works with this thread's own squeezer, made when it is first asked for.
pub fn with_squeezer<T>(work: impl FnOnce(&mut Squeezer) -> T) -> T {
    SQUEEZER.with_borrow_mut(work)
}

/// Bytes that are no squeezed form of as many plain bytes as was said.
pub(super) struct NotSqueezed;

/// `plain` becomes exactly `raw_len` bytes. The caller has checked `raw_len` against its bound; no
/// room is made for more.
pub(super) fn expand(
    squeezed: &[u8],
    base: Option<&[u8]>,
    raw_len: usize,
    plain: &mut Vec<u8>,
) -> Result<(), NotSqueezed> {
    plain.clear();
    // zstd writes into a vector's spare room, which need not be made zero first.
    plain.reserve_exact(raw_len);
    let written = CONTEXT.with_borrow_mut(|context| match base {
        None => context.decompress(plain, squeezed),
        Some(base) => context.decompress_using_dict(plain, squeezed, base),
    });
    if written == Ok(raw_len) {
        return Ok(());
    }
    plain.clear();
    Err(NotSqueezed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MIB;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn expanded(squeezed: &[u8], base: Option<&[u8]>, raw_len: usize) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        expand(squeezed, base, raw_len, &mut plain).ok().map(|()| plain)
    }

    const ALL: [Compression; 5] = [
        Compression::Auto,
        Compression::Off,
        Compression::Fastest,
        Compression::Better,
        Compression::Max,
    ];

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let mut squeezer = Squeezer::default();
        for length in [0, 1, 20, 4096, 300 * KIB] {
            let plain = noise(length);
            for compression in ALL {
                let (codec, bytes) = squeezer.squeeze(&plain, compression);
                assert_eq!((codec, bytes), (Codec::Raw, &plain[..]));
            }
        }
    }

    #[test]
    fn one_promising_sample_is_enough() {
        let mut plain = noise(MIB);
        plain[MIB - 300 * KIB..].fill(7);
        let mut squeezer = Squeezer::default();
        let (codec, bytes) = squeezer.squeeze(&plain, Compression::Auto);
        assert_eq!(codec, Codec::Zstd);
        assert!(bytes.len() < MIB - 299 * KIB);
        assert_eq!(expanded(bytes, None, MIB).unwrap(), plain);
    }

    #[test]
    fn modes_are_known_by_their_names() {
        for (mode, name) in ALL.iter().zip(Compression::NAMES) {
            assert_eq!(name.parse(), Ok(*mode));
        }
        assert_eq!("zstd".parse::<Compression>(), Err(NotACompression));
    }

    #[test]
    fn a_delta_is_small_and_needs_its_base() {
        let base = noise(100 * KIB);
        let mut plain = base.clone();
        plain[50_000] ^= 1;
        plain.splice(70_000..70_000, *b"inserted");
        let mut squeezer = Squeezer::default();
        for compression in ALL {
            let delta = squeezer.squeeze_delta(&plain, &base, compression).unwrap().to_vec();
            assert!(delta.len() < 200, "{}", delta.len());
            assert_eq!(expanded(&delta, Some(&base), plain.len()).unwrap(), plain);
            assert_ne!(expanded(&delta, Some(&noise(50)), plain.len()), Some(plain.clone()));
        }
        assert_eq!(squeezer.squeeze_delta(&noise(4096), &[1; 4096], Compression::Auto), None);
    }

    #[test]
    fn where_every_document_changed_a_delta_is_what_level_6_makes() {
        let text = noise(100 * KIB);
        let documents = |stamp: usize| -> Vec<u8> {
            let document = |(n, part): (usize, &[u8])| {
                let part: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("_id:{n:08};at:{:08};text:{part}", n * 7919 * stamp).into_bytes()
            };
            text.chunks(32).enumerate().flat_map(document).collect()
        };
        let (base, plain) = (documents(1), documents(2));
        let mut wanted = Vec::with_capacity(compress_bound(plain.len()));
        CCtx::create().compress_using_dict(&mut wanted, &plain, &base, 6).unwrap();
        let mut squeezer = Squeezer::default();
        let quick = squeezer.compress_far(&plain, &base, LONG_MATCHES_LEVEL).unwrap();
        assert!(quick > wanted.len(), "or the second try is in vain");
        let delta = squeezer.squeeze_delta(&plain, &base, Compression::Auto).unwrap();
        assert_eq!(delta, wanted);
    }

    #[test]
    fn every_level_looks_back_over_the_whole_base() {
        for kib in [4, 60, 120, 250, 255, 300, 600] {
            let base = noise(kib * KIB);
            let mut squeezer = Squeezer::default();
            for compression in ALL {
                // A copy: zstd takes no prefix that overlaps what it squeezes.
                let plain = base.clone();
                let delta = squeezer.squeeze_delta(&plain, &base, compression);
                let delta = delta.unwrap_or_else(|| panic!("{kib} {compression:?}")).to_vec();
                assert!(delta.len() < 100 + kib, "{kib} {compression:?} {}", delta.len());
                assert!(expanded(&delta, Some(&base), base.len()).unwrap() == base);
            }
        }
    }

    #[test]
    fn a_base_of_nothing_or_nearly_nothing_does_no_harm() {
        let plain = b"abcdefgh".repeat(100);
        for base in [&b""[..], b"a", b"abcdefg", b"abcdefgh"] {
            let mut squeezer = Squeezer::default();
            let delta = squeezer.squeeze_delta(&plain, base, Compression::Auto).unwrap().to_vec();
            assert_eq!(expanded(&delta, Some(base), plain.len()).unwrap(), plain);
        }
    }

    #[test]
    fn a_delta_reaches_over_a_large_base() {
        let base = noise(9 * MIB);
        let mut plain = base.clone();
        plain[8 * MIB] ^= 1;
        let mut squeezer = Squeezer::default();
        let delta = squeezer.squeeze_delta(&plain, &base, Compression::Auto).unwrap().to_vec();
        assert!(delta.len() < 20 * KIB, "{}", delta.len());
        assert!(expanded(&delta, Some(&base), plain.len()).unwrap() == plain);
    }

    #[test]
    fn a_base_that_looks_like_a_dictionary_is_no_base() {
        let base = [&DICTIONARY_MAGIC[..], &noise(1000)].concat();
        assert_eq!(Squeezer::default().squeeze_delta(&base, &base, Compression::Auto), None);
    }

    #[test]
    fn a_frame_that_says_more_than_allowed_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * MIB], 3).unwrap();
        assert_eq!(expanded(&bomb, None, 1000), None);
        let small = zstd::bulk::compress(&[0; 1000], 3).unwrap();
        assert_eq!(expanded(&small, None, 1001), None);
        assert_eq!(expanded(&small, None, 999), None);
        assert_eq!(expanded(&small, None, 1000), Some(vec![0; 1000]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn squeezed_bytes_come_back(
            words in proptest::collection::vec("[a-e]{1,6}", 0..2000),
            mode in 0usize..5,
        ) {
            let plain = words.concat().into_bytes();
            let mut squeezer = Squeezer::default();
            let (codec, bytes) = squeezer.squeeze(&plain, ALL[mode]);
            match codec {
                Codec::Raw => prop_assert_eq!(bytes, &plain[..]),
                _ => {
                    prop_assert!(bytes.len() < plain.len());
                    prop_assert_eq!(expanded(bytes, None, plain.len()), Some(plain.clone()));
                }
            }
        }
    }
}

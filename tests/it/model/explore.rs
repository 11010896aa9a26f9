//! Every interleaving of a setting, or many random ones.

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use super::world::{Setting, World};

/// What an exhaustive run found.
pub struct Explored {
    pub states: usize,
    /// The steps that lead to an unsafe state, if there is one.
    pub violation: Option<String>,
}

struct Frame {
    step: (&'static str, usize),
    next: Vec<(&'static str, usize, World)>,
}

impl Frame {
    fn new(setting: &Setting, step: (&'static str, usize), world: World) -> Frame {
        let mut next = Vec::new();
        setting.steps(&world, &mut |name, actor, after| next.push((name, actor, after)));
        Frame { step, next }
    }
}

/// Depth first through all states. A state is remembered by a 64-bit hash: among ten million
/// states the chance that any two share one is about 3 in a million.
pub fn exhaust(setting: &Setting) -> Explored {
    let mut met = HashSet::<u64, BuildHasherDefault<Verbatim>>::default();
    let start = setting.start();
    met.insert(fingerprint(&start));
    let mut path = vec![Frame::new(setting, ("start", 0), start)];
    while let Some(top) = path.last_mut() {
        let Some((name, actor, world)) = top.next.pop() else {
            path.pop();
            continue;
        };
        if !met.insert(fingerprint(&world)) {
            continue;
        }
        path.push(Frame::new(setting, (name, actor), world));
        if !setting.is_safe(&world) {
            let steps = path.iter().map(|frame| frame.step);
            return Explored { states: met.len(), violation: Some(tell(steps, &world)) };
        }
    }
    Explored { states: met.len(), violation: None }
}

/// Up to `walks` random runs to their ends; the number of the first that met an unsafe state.
pub fn walk(setting: &Setting, seed: u64, walks: usize) -> Option<(usize, String)> {
    let mut dice = seed | 1;
    for number in 1..=walks {
        let mut trace = Vec::new();
        let mut frame = Frame::new(setting, ("start", 0), setting.start());
        while !frame.next.is_empty() {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let (name, actor, world) = frame.next[(dice % frame.next.len() as u64) as usize];
            trace.push((name, actor));
            if !setting.is_safe(&world) {
                return Some((number, tell(trace.into_iter(), &world)));
            }
            // Two collectors can look again for ever in a mutant; no walk is that long otherwise.
            if trace.len() > 200 {
                break;
            }
            frame = Frame::new(setting, (name, actor), world);
        }
    }
    None
}

fn tell(steps: impl Iterator<Item = (&'static str, usize)>, world: &World) -> String {
    let mut text = String::new();
    for (name, actor) in steps {
        let _ = writeln!(text, "  {actor}: {name}");
    }
    let _ = writeln!(text, "  packs {:b}, live snapshots {:b}", world.packs, world.live());
    text
}

fn fingerprint(world: &World) -> u64 {
    let mut mixer = Mixer(0x9e37_79b9_7f4a_7c15);
    world.hash(&mut mixer);
    mixer.finish()
}

/// Folded multiplication, a word at a time: the keys are small integers, many to a state.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        let wide =
            u128::from(self.0 ^ word).wrapping_mul(0x2d35_8dcc_aa6c_78a5_8bb8_4b93_962e_acc9);
        self.0 = (wide as u64 ^ (wide >> 64) as u64).rotate_left(23).wrapping_add(word);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mix(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value) + 1);
    }
    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value) + 1);
    }
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64 + 1);
    }
    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64 + 1);
    }
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

/// Takes a fingerprint for its own hash.
#[derive(Default)]
struct Verbatim(u64);

impl Hasher for Verbatim {
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are words")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

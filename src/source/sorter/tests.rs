//! A sort beside the plain one of the library; a disk that is full, that lies, that is looked at.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use proptest::prelude::*;

use super::*;

fn sorter(dir: &Path, memory_bytes: usize) -> Sorter {
    Sorter::new(SorterOptions { memory_bytes, spill_dir: dir.to_owned(), key: [5; 32] })
}

fn sorted(sorter: Sorter) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = sorter.finish().unwrap().map(Result::unwrap);
    pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn as_a_stable_sort_in_memory(
        // Few different keys, some that begin alike, and empty ones.
        keys in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..12), 0..600),
        memory_bytes in prop_oneof![Just(1usize), Just(4 << 20), 100usize..2_000],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = sorter(dir.path(), memory_bytes);
        let value = |number: usize| format!("{number}").repeat(number % 40).into_bytes();
        let mut pairs: Vec<_> =
            keys.into_iter().enumerate().map(|(number, key)| (key, value(number))).collect();
        for (key, value) in &pairs {
            sorter.push(key, value).unwrap();
        }
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert!(sorted(sorter) == pairs);
    }
}

#[test]
fn more_runs_than_are_merged_at_once() {
    let dir = tempfile::tempdir().unwrap();
    // Each pair is a run of its own.
    let mut sorter = sorter(dir.path(), 1);
    // All but the last become runs: as many as may wait on two levels.
    let count = (SORT_RUNS_MAX * SORT_RUNS_MAX) as u32;
    for number in 0..count {
        let key = (number.wrapping_mul(2_654_435_761) % 50).to_be_bytes();
        sorter.push(&key, &number.to_be_bytes()).unwrap();
    }
    assert_eq!(sorter.runs.len(), 2 * (SORT_RUNS_MAX - 1));
    assert!(sorter.spilled_bytes() > 0);
    let pairs = sorted(sorter);
    assert_eq!(pairs.len(), count as usize);
    assert!(pairs.is_sorted(), "of one key the oldest comes first");
}

#[test]
fn memory_is_bounded_and_large_pairs_pass() {
    let dir = tempfile::tempdir().unwrap();
    let memory_bytes = 4 << 20;
    let mut sorter = sorter(dir.path(), memory_bytes);
    let value = vec![7; SORT_PAIR_MAX_BYTES - 4];
    for number in (0..9u32).rev() {
        sorter.push(&number.to_be_bytes(), &value).unwrap();
        assert!(sorter.held.bytes() <= memory_bytes + SORT_PAIR_MAX_BYTES);
    }
    assert!(matches!(sorter.push(b"12345", &value), Err(SortError::TooLong { .. })));
    let pairs = sorted(sorter);
    assert!(pairs.is_sorted() && pairs.len() == 9 && pairs.iter().all(|pair| pair.1 == value));
}

#[test]
fn nothing_lies_in_the_directory_and_nothing_is_told_by_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut sorter = sorter(dir.path(), 1);
    let secret = b"a very secret document that repeats and repeats and repeats";
    for number in 0..20u8 {
        sorter.push(&[number], secret).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files without a name");
    assert!(sorter.runs.len() > 1);
    for run in &mut sorter.runs {
        let bytes = content(run.file());
        assert!(bytes.len() > 20);
        let any_of_it = secret.windows(6).any(|part| bytes.windows(6).any(|here| here == part));
        assert!(!any_of_it, "plain bytes on the disk");
    }
}

#[test]
fn a_changed_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    for byte in [0, 3, 5, 9, 30] {
        let mut sorter = sorter(dir.path(), 1);
        for number in 0..3u8 {
            sorter.push(&[number], b"some bytes").unwrap();
        }
        let file = sorter.runs[1].file();
        let mut bytes = content(file);
        bytes[byte] ^= 0x40;
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&bytes).unwrap();
        let result: Result<Vec<_>, _> = match sorter.finish() {
            Ok(sorted) => sorted.collect(),
            Err(error) => Err(error),
        };
        assert!(result.is_err(), "byte {byte}");
    }
}

#[test]
fn no_directory_and_no_space() {
    let dir = tempfile::tempdir().unwrap();
    let mut without = sorter(&dir.path().join("none"), 1);
    without.push(b"a", b"").unwrap();
    let error = without.push(b"b", b"").unwrap_err();
    assert!(matches!(error, SortError::Spill { .. }), "{error}");

    let ground = Ground { dir: dir.path().to_owned(), key: ScratchKey::new([0; 32]) };
    let mut writer = RunWriter::create(ground.into(), 0, 0).unwrap();
    writer.replace_file(File::options().write(true).open("/dev/full").unwrap());
    writer.push(b"key", b"value").unwrap();
    let error = writer.finish().err().unwrap();
    assert!(matches!(error, SortError::Full { .. }), "{error}");
}

fn content(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

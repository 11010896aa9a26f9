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
fn pairs_of_no_bytes_stay_where_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut sorter = sorter(dir.path(), 4 << 20);
    // Each second one lies where the next begins.
    let values: Vec<_> =
        (0..400u32).map(|number| number.to_be_bytes().repeat(number as usize % 2)).collect();
    for value in &values {
        sorter.push(b"", value).unwrap();
    }
    assert!(sorted(sorter).into_iter().map(|pair| pair.1).eq(values));
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
    let value = vec![7; 2 << 20];
    for number in (0..9u32).rev() {
        sorter.push(&number.to_be_bytes(), &value).unwrap();
        assert!(sorter.held.bytes() <= memory_bytes + value.len() + (1 << 20));
    }
    sorter.push(&9u32.to_be_bytes(), &vec![7; SORT_PAIR_MAX_BYTES - 4]).unwrap();
    let too_long = sorter.push(b"12345", &vec![7; SORT_PAIR_MAX_BYTES - 4]);
    assert!(matches!(too_long, Err(SortError::TooLong { .. })));
    let pairs = sorted(sorter);
    assert!(pairs.is_sorted() && pairs.len() == 10);
    assert!(pairs[..9].iter().all(|pair| pair.1 == value));
    assert_eq!(pairs[9].1.len(), SORT_PAIR_MAX_BYTES - 4);
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

/// What a window gives, what came too late for it, and whether it saw disorder when it was full.
fn through_window(keys: &[u32], bytes_max: usize) -> (Vec<u32>, Vec<u32>, Option<bool>) {
    let number = |key: &Bytes| u32::from_be_bytes(key[..].try_into().unwrap());
    let (mut window, mut given, mut late) = (Window::new(bytes_max), Vec::new(), Vec::new());
    let mut disorder = None;
    for key in keys {
        let bytes = key.to_be_bytes();
        if window.is_too_late(&bytes) {
            late.push(*key);
            continue;
        }
        window.push(&bytes, &[0; 200]);
        assert!(window.held.bytes() < bytes_max + (1 << 20));
        if window.is_full() {
            disorder.get_or_insert(window.is_in_disorder());
            given.extend(window.take_lower_half().iter().map(|pair| number(&pair.0)));
        }
    }
    given.extend(window.take_all().map(|pair| number(&pair.0)));
    (given, late, disorder)
}

#[test]
fn a_window_orders_what_is_nearly_in_order() {
    let count = 60_000u32;
    let mixed = |number: u32| number.wrapping_mul(2_654_435_761);
    // Displaced by up to 1,000 places.
    let mut nearly: Vec<u32> = (0..count).collect();
    nearly.sort_by_key(|number| number + mixed(*number) % 1000);
    let (given, late, disorder) = through_window(&nearly, 4 << 20);
    assert!(late.is_empty() && given.iter().copied().eq(0..count));
    assert_eq!(disorder, Some(false));

    let random: Vec<u32> = (0..count).map(mixed).collect();
    let (given, late, disorder) = through_window(&random, 4 << 20);
    assert!(given.is_sorted() && given.len() + late.len() == random.len());
    assert_eq!(disorder, Some(true));

    // A few that come far too late.
    let (front, back) = (count..2 * count, [5u32, 9, 7]);
    let few: Vec<u32> = front.clone().chain(back).collect();
    let (given, late, disorder) = through_window(&few, 4 << 20);
    assert!(given.into_iter().eq(front) && late == back && disorder == Some(false));
}

#[test]
fn pairs_of_one_key_leave_a_window_in_the_order_they_came() {
    let mut window = Window::new(1);
    window.push(b"a", b"1");
    window.push(b"a", b"2");
    window.push(b"b", b"3");
    let taken = window.take_lower_half();
    let values: Vec<&[u8]> = taken.iter().map(|pair| &pair.1[..]).collect();
    assert!(values.starts_with(&[b"1", b"2"]));
    assert!(window.is_too_late(b"a") && !window.is_too_late(b"c"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is copied when a half is given, and whatever stays where it lies.
    #[test]
    fn a_window_is_stable(
        pairs in proptest::collection::vec((0u8..12, 0usize..400_000), 0..60),
        bytes_max in prop_oneof![Just(1usize), 1usize << 19..4 << 20],
    ) {
        let (mut window, mut given, mut wanted) = (Window::new(bytes_max), Vec::new(), Vec::new());
        for (number, (key, bytes)) in pairs.into_iter().enumerate() {
            if window.is_too_late(&[key]) {
                continue;
            }
            let mut value = number.to_be_bytes().to_vec();
            value.resize(8 + bytes, key);
            window.push(&[key], &value);
            wanted.push((key, number));
            if window.is_full() {
                given.extend(window.take_lower_half());
            }
        }
        given.extend(window.take_all());
        wanted.sort();
        let number = |value: &[u8]| usize::from_be_bytes(value[..8].try_into().unwrap());
        let given: Vec<_> = given.iter().map(|(key, value)| (key[0], number(value))).collect();
        prop_assert_eq!(given, wanted);
    }
}

//! Sorted rows of one width in a file, found by interpolation.
//!
//! ```text
//! rows   one fence for every 128 rows: the row's first 8 bytes   footer
//! footer: magic[8]  width u32  rows u64  BLAKE3[32] of fences and the fields before it
//! ```
//! Numbers are big-endian. Ids are uniformly distributed, so from the fences around a key its row
//! can be guessed to within a few dozen: a look-up touches one page of rows, seldom two.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{entry, mapped::Mapped};

const MAGIC: [u8; 8] = *b"icectab2";
const FENCE_EVERY: usize = 128;
const FENCE_BYTES: usize = 8;
/// Rows of the catalog are no wider.
const WIDTH_MAX: usize = 64;
/// Each table is at least four times as large as the next, so all that are mapped stay below twice
/// this.
#[cfg(not(test))]
const MAPPED_MAX_BYTES: usize = 48 << 20;
#[cfg(test)]
const MAPPED_MAX_BYTES: usize = 60_000;
/// An honest row is within half of this of where it is guessed, by two and a half standard
/// deviations (of 5.7 rows at most, halfway between two fences). Of what a look-up reads most is
/// in no processor's cache: half as many rows take a seventh less time.
const WINDOW_ROWS: usize = 28;
const FOOTER_BYTES: usize = 8 + 4 + 8 + 32;

/// A finished table.
pub(super) struct Table {
    /// `None`: too large to be resident. Rows are read then, a page at a time, which costs less
    /// than mapping pages that must be given back (`docs/benchmarks.md`).
    mapped: Option<Mapped>,
    width: usize,
    count: usize,
    /// The first 8 bytes of every 128th row.
    fences: Vec<u64>,
    file: File,
}

impl Table {
    /// `InvalidData` when these are not the bytes of a finished table of this width. Rows are not
    /// read: each carries its own check.
    pub fn open(path: &Path, width: usize) -> io::Result<Table> {
        let torn = || io::Error::from(io::ErrorKind::InvalidData);
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let footer_at = size.checked_sub(FOOTER_BYTES as u64).ok_or_else(torn)?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_at)?;
        let count = u64::from_be_bytes(footer[12..20].try_into().expect("8 bytes")) as usize;
        let fence_count = count.div_ceil(FENCE_EVERY);
        let rows_bytes = count.checked_mul(width).ok_or_else(torn)?;
        let fences_bytes = fence_count * FENCE_BYTES;
        if footer[..12] != head(width) || rows_bytes + fences_bytes != footer_at as usize {
            return Err(torn());
        }
        let mut fences = vec![0; fences_bytes];
        file.read_exact_at(&mut fences, rows_bytes as u64)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&fences).update(&footer[..20]);
        if hasher.finalize() != footer[20..] {
            return Err(torn());
        }
        let fences = fences.chunks_exact(FENCE_BYTES).map(first_word).collect();
        let mapped = if rows_bytes <= MAPPED_MAX_BYTES { Some(Mapped::new(&file)?) } else { None };
        Ok(Table { mapped, width, count, fences, file })
    }

    pub fn reader(&self) -> TableReader<'_> {
        TableReader { table: self, next: 0, buffer: Vec::new(), at: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// All rows that begin with `key` (at least 8 bytes), one after the other.
    pub fn find(&self, key: &[u8]) -> impl Iterator<Item = Found> {
        self.find_numbered(key).map(|(_, row)| row)
    }

    /// The same, each with its number in the table. What can't be read is given as a row of zeros,
    /// which is whole by nobody's check.
    pub fn find_numbered(&self, key: &[u8]) -> impl Iterator<Item = (usize, Found)> {
        let found = self
            .collect(key)
            .unwrap_or_else(|_| vec![(0, Found { bytes: [0; WIDTH_MAX], width: self.width })]);
        found.into_iter()
    }

    fn collect(&self, key: &[u8]) -> io::Result<Vec<(usize, Found)>> {
        let mut window = Window { table: self, start: 0, bytes: WINDOW.take() };
        let found = self.collect_in(key, &mut window);
        WINDOW.set(window.bytes);
        found
    }

    fn collect_in(&self, key: &[u8], window: &mut Window) -> io::Result<Vec<(usize, Found)>> {
        let mut at = self.lower_bound(key, window)?;
        let mut found = Vec::new();
        while at < self.count {
            let row = window.row(at)?;
            if !row.starts_with(key) {
                break;
            }
            let mut bytes = [0; WIDTH_MAX];
            bytes[..self.width].copy_from_slice(row);
            found.push((at, Found { bytes, width: self.width }));
            at += 1;
        }
        Ok(found)
    }

    /// The first row that is not below `key`.
    fn lower_bound(&self, key: &[u8], window: &mut Window) -> io::Result<usize> {
        let word = first_word(key);
        let count = self.fences.len();
        let after =
            gallop(guess(word, 0, u64::MAX, count), count, |at| Ok(self.fences[at] < word))?;
        // Rows that begin with the word may begin before the first fence that equals it, and go
        // on until the block of the last one ends.
        let equal = self.fences[after..].iter().take_while(|fence| **fence == word).count();
        let start = after.saturating_sub(1) * FENCE_EVERY;
        let end = ((after + equal) * FENCE_EVERY).min(self.count);
        let low = self.fences.get(after.saturating_sub(1)).copied().unwrap_or(0);
        let high = self.fences.get(after + equal).copied().unwrap_or(u64::MAX);
        let near = guess(word, low, high, end - start);
        window.look_at(start + near.min(end - start))?;
        let below = |at: usize| Ok(&window.row(start + at)?[..key.len()] < key);
        Ok(start + gallop(near, end - start, below)?)
    }
}

/// A copy of a row.
pub(super) struct Found {
    bytes: [u8; WIDTH_MAX],
    width: usize,
}

impl std::ops::Deref for Found {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.width]
    }
}

thread_local! {
    /// The bytes of the last window, for the next.
    static WINDOW: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The rows that one look-up sees: of a mapped table all, else a few dozen read at once.
struct Window<'a> {
    table: &'a Table,
    start: usize,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Reads the rows around this one, if they are not mapped. The first thing a look-up does:
    /// until then the bytes are those of another one.
    fn look_at(&mut self, row: usize) -> io::Result<()> {
        if self.table.mapped.is_some() {
            return Ok(());
        }
        let Table { width, count, .. } = *self.table;
        self.start = row.saturating_sub(WINDOW_ROWS / 2);
        let end = (self.start + WINDOW_ROWS).min(count);
        self.bytes.resize((end - self.start) * width, 0);
        self.table.file.read_exact_at(&mut self.bytes, (self.start * width) as u64)
    }

    fn row(&mut self, at: usize) -> io::Result<&[u8]> {
        let width = self.table.width;
        if let Some(mapped) = &self.table.mapped {
            return Ok(&mapped[at * width..][..width]);
        }
        if at < self.start || (at - self.start + 1) * width > self.bytes.len() {
            self.look_at(at)?;
        }
        Ok(&self.bytes[(at - self.start) * width..][..width])
    }
}

/// Where among `count` things, spread evenly from `low` to `high`, `word` should be.
fn guess(word: u64, low: u64, high: u64, count: usize) -> usize {
    let step = (high.saturating_sub(low) / count.max(1) as u64).saturating_add(1);
    (word.saturating_sub(low) / step) as usize
}

/// The first of `0..count` that is not below, given that those below come first: doubling steps
/// away from `guess`, then halves.
fn gallop(
    guess: usize,
    count: usize,
    mut below: impl FnMut(usize) -> io::Result<bool>,
) -> io::Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let guess = guess.min(count - 1);
    let mut step = 1;
    let (mut low, mut high);
    if below(guess)? {
        low = guess + 1;
        high = count;
        while low < count {
            let at = (guess + step).min(count - 1);
            if !below(at)? {
                high = at;
                break;
            }
            low = at + 1;
            step *= 2;
        }
    } else {
        low = 0;
        high = guess;
        while high > 0 {
            let at = guess.saturating_sub(step);
            if below(at)? {
                low = at + 1;
                break;
            }
            high = at;
            step *= 2;
        }
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn head(width: usize) -> [u8; 12] {
    let mut head = [0; 12];
    head[..8].copy_from_slice(&MAGIC);
    head[8..].copy_from_slice(&(width as u32).to_be_bytes());
    head
}

fn first_word(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.first_chunk().expect("rows and keys are longer than a word"))
}

/// A table in the making. Its rows come sorted; of equal rows one is kept.
pub(super) struct TableWriter {
    file: BufWriter<File>,
    width: usize,
    count: usize,
    fences: Vec<u8>,
    last: Vec<u8>,
}

impl TableWriter {
    pub fn create(path: &Path, width: usize) -> io::Result<TableWriter> {
        let file = BufWriter::with_capacity(1 << 18, File::create_new(path)?);
        Ok(TableWriter { file, width, count: 0, fences: Vec::new(), last: Vec::new() })
    }

    pub fn push(&mut self, row: &[u8]) -> io::Result<()> {
        debug_assert_eq!(row.len(), self.width);
        debug_assert!(self.last.as_slice() <= row);
        if self.last == row {
            return Ok(());
        }
        if self.count.is_multiple_of(FENCE_EVERY) {
            self.fences.extend_from_slice(&row[..FENCE_BYTES]);
        }
        self.last.clear();
        self.last.extend_from_slice(row);
        self.count += 1;
        self.file.write_all(row)
    }

    /// Durable on return.
    pub fn finish(mut self) -> io::Result<()> {
        let mut footer = [0; FOOTER_BYTES];
        footer[..12].copy_from_slice(&head(self.width));
        footer[12..20].copy_from_slice(&(self.count as u64).to_be_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.fences).update(&footer[..20]);
        footer[20..].copy_from_slice(hasher.finalize().as_bytes());
        self.file.write_all(&self.fences)?;
        self.file.write_all(&footer)?;
        self.file.into_inner().map_err(|error| error.into_error())?.sync_data()
    }
}

/// Reads a table's rows one after the other, past the map, so that none of it becomes resident.
pub(super) struct TableReader<'a> {
    table: &'a Table,
    next: usize,
    buffer: Vec<u8>,
    at: usize,
}

const READ_ROWS: usize = 2048;

impl TableReader<'_> {
    /// The next row, or `None` after the last. A row whose check fails is an error.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let width = self.table.width;
        if self.at == self.buffer.len() {
            let rows = READ_ROWS.min(self.table.count - self.next);
            if rows == 0 {
                return Ok(None);
            }
            self.buffer.resize(rows * width, 0);
            self.table.file.read_exact_at(&mut self.buffer, (self.next * width) as u64)?;
            self.next += rows;
            self.at = 0;
        }
        let row = &self.buffer[self.at..self.at + width];
        self.at += width;
        if !entry::is_whole(row) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(rows: &[[u8; 24]]) -> (tempfile::TempDir, Table) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let mut writer = TableWriter::create(&path, 24).unwrap();
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap();
        let table = Table::open(&path, 24).unwrap();
        (dir, table)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        // Keys are both spread evenly and crowded in a few places, with many equal ones.
        #[test]
        fn every_key_is_found_with_all_its_rows(
            spread in proptest::collection::vec(any::<[u8; 3]>(), 0..3000),
            crowded in proptest::collection::vec(0u8..3, 0..3000),
        ) {
            let mut rows: Vec<[u8; 24]> = Vec::new();
            for (number, start) in spread.iter().enumerate() {
                let mut row = [0; 24];
                row[..3].copy_from_slice(start);
                row[20..].copy_from_slice(&(number as u32).to_be_bytes());
                rows.push(row);
            }
            for (number, place) in crowded.iter().enumerate() {
                let mut row = [place * 127; 24];
                row[20..].copy_from_slice(&(number as u32).to_be_bytes());
                rows.push(row);
            }
            rows.sort();
            let (_dir, table) = written(&rows);
            prop_assert_eq!(table.len(), rows.len());
            for row in rows.iter().step_by(37) {
                let key = &row[..20];
                let wanted = rows.iter().filter(|row| row.starts_with(key));
                let wanted: Vec<Vec<u8>> = wanted.map(|row| row.to_vec()).collect();
                let found: Vec<Vec<u8>> = table.find(key).map(|row| row.to_vec()).collect();
                prop_assert_eq!(wanted, found);
            }
            for absent in [[1; 20], [0xfe; 20], [0xff; 20]] {
                let wanted = rows.iter().filter(|row| row.starts_with(&absent)).count();
                prop_assert_eq!(table.find(&absent).count(), wanted);
            }
        }
    }

    #[test]
    fn equal_rows_become_one() {
        let (_dir, table) = written(&[[1; 24], [1; 24], [2; 24]]);
        assert_eq!(table.len(), 2);
        assert_eq!(table.find(&[1; 20]).count(), 1);
    }

    #[test]
    fn a_torn_table_is_refused() {
        let rows: Vec<[u8; 24]> = (0..=255).map(|n| [n; 24]).collect();
        let (dir, _table) = written(&rows);
        let path = dir.path().join("t");
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 10, FOOTER_BYTES, whole.len() - 24, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Table::open(&path, 24).is_err(), "{length}");
        }
        for flipped in whole.len() - FOOTER_BYTES - FENCE_BYTES..whole.len() {
            let mut bytes = whole.clone();
            bytes[flipped] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert!(Table::open(&path, 24).is_err(), "{flipped}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Table::open(&path, 48).is_err());
        assert!(Table::open(&path, 24).is_ok());
    }
}

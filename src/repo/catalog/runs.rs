//! Rows in any order become sorted tables, in bounded memory.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    path::{Path, PathBuf},
};

use roaring::RoaringBitmap;

use super::{
    entry::pack_of,
    table::{Table, TableReader, TableWriter},
};
use crate::limits::CATALOG_RUN_BYTES;

/// Tables with fewer rows than this are always merged with one another.
const SMALL_ROWS: usize = 1 << 16;
/// A table is left alone when it is larger than this many times all smaller ones.
const GROWTH: usize = 4;

/// Rows that are coming in: sorted in memory, written out whenever there are too many.
pub(super) struct Runs<const W: usize> {
    rows: Vec<[u8; W]>,
    max_rows: usize,
    files: Vec<PathBuf>,
}

impl<const W: usize> Runs<W> {
    pub fn new() -> Self {
        Runs { rows: Vec::new(), max_rows: CATALOG_RUN_BYTES / W, files: Vec::new() }
    }

    /// `next_path` names a file that does not exist yet, for when the rows must be written out.
    pub fn push(&mut self, row: [u8; W], next_path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() >= self.max_rows {
            self.write_out(next_path())?;
        }
        Ok(())
    }

    fn write_out(&mut self, path: PathBuf) -> io::Result<()> {
        self.rows.sort_unstable();
        let mut writer = TableWriter::create(&path, W)?;
        for row in &self.rows {
            writer.push(row)?;
        }
        writer.finish()?;
        self.rows.clear();
        self.files.push(path);
        Ok(())
    }

    /// The files, each a table. They are the caller's from here on.
    pub fn finish(mut self, next_path: impl FnOnce() -> PathBuf) -> io::Result<Vec<PathBuf>> {
        if !self.rows.is_empty() {
            self.write_out(next_path())?;
        }
        Ok(self.files)
    }
}

/// Which of these tables (given by their rows) to merge into one, so that few are left and each
/// row is rewritten a logarithmic number of times: some of the smallest, or none.
pub(super) fn choose(sizes: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| sizes[*at]);
    let (mut chosen, mut sum) = (0, 0);
    for (rank, at) in order.iter().enumerate() {
        if sizes[*at] < SMALL_ROWS || (rank > 0 && sizes[*at] <= sum * GROWTH) {
            chosen = rank + 1;
        }
        sum += sizes[*at];
    }
    order.truncate(if chosen > 1 { chosen } else { 0 });
    order
}

/// One table from several. Rows of the packs in `without` are left out.
pub(super) fn merge<const W: usize>(
    tables: &[&Table],
    without: Option<&RoaringBitmap>,
    path: &Path,
) -> io::Result<()> {
    let mut readers: Vec<TableReader> = tables.iter().map(|table| table.reader()).collect();
    let mut heap = BinaryHeap::with_capacity(readers.len());
    for (at, reader) in readers.iter_mut().enumerate() {
        if let Some(row) = next_row::<W>(reader)? {
            heap.push(Reverse((row, at)));
        }
    }
    let mut writer = TableWriter::create(path, W)?;
    while let Some(mut top) = heap.peek_mut() {
        let Reverse((row, at)) = *top;
        if without.is_none_or(|gone| !gone.contains(pack_of(&row))) {
            writer.push(&row)?;
        }
        match next_row(&mut readers[at])? {
            Some(next) => *top = Reverse((next, at)),
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
    }
    writer.finish()
}

fn next_row<const W: usize>(reader: &mut TableReader) -> io::Result<Option<[u8; W]>> {
    let row = reader.next()?;
    Ok(row.map(|row| row.try_into().expect("the table was opened with this width")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_amortised_and_leaves_few_tables() {
        let (mut sizes, mut rewritten) = (Vec::<usize>::new(), 0);
        let (sessions, rows) = (2000, 40_000);
        for _ in 0..sessions {
            sizes.push(rows);
            let mut chosen = choose(&sizes);
            if !chosen.is_empty() {
                let sum: usize = chosen.iter().map(|at| sizes[*at]).sum();
                rewritten += sum;
                chosen.sort_unstable();
                for at in chosen.into_iter().rev() {
                    sizes.remove(at);
                }
                sizes.push(sum);
            }
            assert!(sizes.len() <= 8, "{sizes:?}");
        }
        assert_eq!(sizes.iter().sum::<usize>(), sessions * rows);
        assert!(rewritten / (sessions * rows) < 20, "{}", rewritten / (sessions * rows));
    }

    #[test]
    fn equal_runs_are_merged_at_once_and_giants_left_alone() {
        assert_eq!(choose(&[1 << 20; 100]).len(), 100);
        assert_eq!(choose(&[100_000_000, 10, 10]), [1, 2]);
        assert_eq!(choose(&[100_000_000, 1_000_000]), [0; 0]);
        assert_eq!(choose(&[5]), [0; 0]);
        assert_eq!(choose(&[]), [0; 0]);
    }
}

//! Where results go: data to standard output, as text or JSON; everything else to standard error.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;

/// How much a person wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only, and the data that was asked for.
    Quiet,
    Normal,
    /// Each item that was not left as it was.
    Verbose,
    /// Each item.
    VeryVerbose,
}

/// Standard output, and how to use it.
pub struct Screen {
    pub json: bool,
    pub loudness: Loudness,
    out: BufWriter<Stdout>,
}

impl Screen {
    pub fn new(json: bool, loudness: Loudness) -> Self {
        Screen { json, loudness, out: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    /// One line of text.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// A line that `--quiet` leaves out.
    pub fn chat(&mut self, line: &str) -> Result<(), Failure> {
        if self.loudness == Loudness::Quiet { Ok(()) } else { self.line(line) }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::Output)
    }

    /// One JSON document on a line of its own.
    pub fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document)?;
        self.line(&text)
    }

    /// The bytes as a person may see them: control characters made harmless on a terminal.
    pub fn path(&mut self, path: &[u8]) -> Result<(), Failure> {
        if io::stdout().is_terminal() {
            let shown = printable(path);
            self.bytes(shown.as_bytes())
        } else {
            self.bytes(path)
        }
    }

    /// Standard output holds everything now.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }
}

/// A name as text: what is not UTF-8 replaced, what moves a terminal's cursor escaped.
pub fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.chars().any(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
            .collect()
    } else {
        text.into_owned()
    }
}

/// A table with a line below its head and none around it; as wide as it needs to be. `numbers`:
/// the columns that stand at the right.
pub fn table(
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    numbers: &[usize],
) -> String {
    let style = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|title| title.to_string()));
    table.add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// What went wrong or wants to be known beside the data; `None` when one need not hear it.
pub fn warn(text: &str) {
    // Nobody may be listening; that is no reason to stop.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The same for programs: a line of the type `error`.
pub fn warn_json(during: &str, item: &str, message: &str) {
    warn(
        &json!({
            "message_type": "error",
            "error": { "message": message },
            "during": during,
            "item": item,
        })
        .to_string(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_play_with_the_terminal() {
        assert_eq!(printable(b"plain name"), "plain name");
        assert_eq!(printable("größe".as_bytes()), "größe");
        assert_eq!(printable(b"a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}

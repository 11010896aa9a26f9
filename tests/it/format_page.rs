//! The dumps of docs/format.md are made here, from the inputs of the vectors.

use std::{fmt::Write as _, fs};

use icecore::format::pack::Codec;

use crate::format_vectors::{config, golden, pack, pack_table, slot, slot_header};

const PAGE: &str = "docs/format.md";
const BEGIN: &str = "<!-- made by tests/it/format_page.rs: begin -->\n";
const END: &str = "<!-- made by tests/it/format_page.rs: end -->\n";
const BYTES_A_LINE: usize = 16;

/// A field after another: its bytes in hexadecimal, and what they are.
struct Dump<'a> {
    bytes: &'a [u8],
    at: usize,
    text: String,
}

impl<'a> Dump<'a> {
    fn new(title: &str, bytes: &'a [u8]) -> Self {
        let text = format!("### {title}, {} bytes\n\n```\n", bytes.len());
        Dump { bytes, at: 0, text }
    }

    fn field(&mut self, length: usize, meaning: &str) {
        let mut meaning = meaning;
        for line in self.bytes[self.at..self.at + length].chunks(BYTES_A_LINE) {
            let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let line_text = format!("{:04x}  {:<48} {meaning}", self.at, hex.join(" "));
            writeln!(self.text, "{}", line_text.trim_end()).unwrap();
            self.at += line.len();
            meaning = "";
        }
    }

    fn end(mut self) -> String {
        assert_eq!(self.at, self.bytes.len(), "every byte is explained");
        self.text.push_str("```\n\n");
        self.text
    }
}

fn pack_dump() -> String {
    let (table, bytes) = pack();
    let mut dump = Dump::new("A pack of three blobs", &bytes);
    dump.field(8, "\"icecpack\"");
    dump.field(2, "version 1");
    dump.field(32, "salt");
    for (row, what) in table.rows.iter().zip(["a chunk", "a node", "a delta of that node"]) {
        let how = match row.codec {
            Codec::Raw => "as it is",
            Codec::Zstd | Codec::Delta { .. } => "one zstd frame",
        };
        let text = format!("{what}, {how}: {} plain bytes", row.raw_len);
        dump.field(row.stored_len as usize - 16, &text);
        dump.field(16, "its tag");
    }
    let table_bytes = bytes.len() - dump.at - 12;
    dump.field(table_bytes - 16, "the table: count, 41 + 41 + 75 bytes of rows");
    dump.field(16, "its tag");
    dump.field(4, &format!("length of the sealed table: {table_bytes}"));
    dump.field(8, "\"packends\"");
    let plain = pack_table(&bytes);
    let mut opened = Dump::new("Its table, opened", &plain);
    opened.field(4, "count");
    for row in &table.rows {
        opened.field(32, "id");
        opened.field(1, &format!("{:?}, codec {}", row.kind, row.codec.tag()));
        opened.field(4, &format!("stored length: {}", row.stored_len));
        opened.field(4, &format!("raw length: {}", row.raw_len));
        if let Codec::Delta { generation, .. } = row.codec {
            opened.field(32, "the base's id");
            opened.field(2, &format!("generation {generation}"));
        }
    }
    dump.end() + &opened.end()
}

fn slot_dump() -> String {
    let bytes = slot();
    let json = serde_json::to_string(&slot_header()).unwrap();
    let mut dump = Dump::new("A key slot", &bytes);
    dump.field(8, "\"icecslot\"");
    dump.field(2, "version 1");
    dump.field(2, &format!("length of the header: {}", json.len()));
    dump.field(json.len(), "the header, JSON (below)");
    dump.field(32, "commitment");
    dump.field(12, "nonce");
    dump.field(32, "the master key, wrapped");
    dump.field(16, "its tag");
    let text = serde_json::to_string_pretty(&slot_header()).unwrap();
    format!("{}Its header (a real one costs more):\n\n```json\n{text}\n```\n\n", dump.end())
}

fn config_dump() -> String {
    let (config, bytes) = config();
    let mut dump = Dump::new("The config", &bytes);
    dump.field(8, "\"icecctrl\"");
    dump.field(2, "version 1");
    dump.field(1, "kind 1, the config");
    dump.field(16, "repository id");
    dump.field(32, "salt");
    dump.field(bytes.len() - dump.at - 16, "the frame: 01, length u32, one zstd frame");
    dump.field(16, "its tag");
    let text = serde_json::to_string_pretty(&config).unwrap();
    format!("{}Opened:\n\n```json\n{text}\n```\n\n", dump.end())
}

#[test]
fn the_page_shows_what_is_written() {
    let page = format!("{}/{PAGE}", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(page).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the dumps begin");
    let (_, after) = rest.split_once(END).expect("where the dumps end");
    let dumps = [pack_dump(), slot_dump(), config_dump()].concat();
    golden(PAGE, &format!("{before}{BEGIN}\n{dumps}{END}{after}"));
}

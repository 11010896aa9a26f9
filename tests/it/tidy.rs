//! Reads the sources and holds them to the rules of the house: arrows between rooms, sizes, words.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Each room and its rank (docs/architecture.md). A room may use rooms of lower rank, and itself.
const ROOMS: &[(&str, u8)] = &[
    ("id", 0),
    ("limits", 0),
    ("buffers", 0),
    ("ambient", 0),
    ("progress", 0),
    ("chunk", 1),
    ("seal", 1),
    ("format", 1),
    ("document", 1),
    ("mongo", 2),
    ("source", 2),
    ("store", 2),
    ("sink", 2),
    ("repo", 3),
    ("tree", 3),
    ("verbs", 4),
    ("cli", 6),
    ("main", 6),
];

/// Arrows between rooms of one rank; nothing else looks sideways.
const SIDEWAYS: &[(&str, &str)] = &[
    ("tree", "repo"),
    ("format", "seal"),
    ("format", "document"),
    ("source", "mongo"),
    ("sink", "mongo"),
    ("main", "cli"),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;

/// Names that say nothing: a thing without a name in the story has no room.
const EMPTY_WORDS: &[&str] = &["util", "utils", "misc", "helpers", "common"];
/// Words no committed source may hold: unfinished work, and paths of the machine it was made on.
const NOT_COMMITTED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("/wo", "rk/"), concat!("dbg", "!(")];
/// What only the binary does: speak, read the environment, end the process.
const ONLY_THE_BINARY: &[&str] =
    &["println!", "print!", "eprintln!", "eprint!", "env::var", "process::exit", "anyhow"];

struct Source {
    path: PathBuf,
    /// As `src/repo/mod.rs`.
    name: String,
    text: String,
    /// The same text with comments, strings and characters made blank; same offsets, same lines.
    code: String,
}

impl Source {
    fn room(&self) -> Option<&str> {
        let inside = self.name.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// How many modules deep the file itself lies: 1 for `src/id.rs` and `src/repo/mod.rs`.
    fn depth(&self) -> usize {
        let parts = self.name.matches('/').count();
        if self.name.ends_with("/mod.rs") { parts - 1 } else { parts }
    }
}

fn sources() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        collect(top, &top.join(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found below {}", top.display());
    found
}

fn collect(top: &Path, folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            found.push(Source { code: blank(&text), path, name, text });
        }
    }
}

fn hold(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn no_room_looks_up_or_sideways() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some(room) = source.room().filter(|room| *room != "lib") else { continue };
        let Some(rank) = rank(room) else {
            broken.push(format!("{}: the room `{room}` has no row in ROOMS", source.name));
            continue;
        };
        for (offset, other) in seen_rooms(&source) {
            let at = format!("{}:{}", source.name, source.line_of(offset));
            match self::rank(&other) {
                None => broken.push(format!("{at}: `{other}` is no room")),
                Some(_) if other == room || SIDEWAYS.contains(&(room, &other)) => {}
                Some(theirs) if theirs < rank => {}
                Some(theirs) => {
                    broken.push(format!("{at}: {room} ({rank}) looks at {other} ({theirs})"));
                }
            }
        }
    }
    hold("a room uses lower ranks and itself (docs/architecture.md)", broken);
}

fn rank(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// Every room that a file names, with where it does: `crate::x`, `crate::{x, y}`, the library by
/// its name from the binary, and `super::` chains that climb out of the room.
fn seen_rooms(source: &Source) -> Vec<(usize, String)> {
    let mut seen = Vec::new();
    let root = if source.room() == Some("cli") { "icecore::" } else { "crate::" };
    for root in ["crate::", root] {
        for (offset, _) in source.code.match_indices(root) {
            for name in names_after(&source.code[offset + root.len()..]) {
                seen.push((offset, name));
            }
        }
    }
    let inline = inline_modules(&source.code);
    let mut offset = 0;
    while let Some(at) = source.code[offset..].find("super::").map(|at| at + offset) {
        let mut end = at;
        while source.code[end..].starts_with("super::") {
            end += "super::".len();
        }
        let climbed = (end - at) / "super::".len();
        let depth = source.depth() + inline.iter().filter(|range| range.contains(&at)).count();
        if climbed >= depth {
            seen.push((at, "super".into()));
        }
        offset = end;
    }
    seen
}

/// The first names of a path, or of each path of a braced list.
fn names_after(code: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = code.strip_prefix('{') else { return vec![identifier(code)] };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (offset, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                names.push(identifier(&list[start..offset]));
                start = offset + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn inline_modules(code: &str) -> Vec<Range<usize>> {
    let mut modules = Vec::new();
    for (offset, _) in code.match_indices("mod ") {
        let rest = &code[offset + 4..];
        let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        if name > 0 && rest[name..].trim_start().starts_with('{') {
            modules.push(body(code, offset).expect("a brace follows"));
        }
    }
    modules
}

/// From the first `{` after `offset` to its partner; `None` when a `;` comes first.
fn body(code: &str, offset: usize) -> Option<Range<usize>> {
    let (mut depth, mut start) = (0, None);
    let mut brackets = 0;
    for (at, byte) in code.bytes().enumerate().skip(offset) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if start.is_none() && brackets == 0 => return None,
            b'{' => {
                depth += 1;
                start = start.or(Some(at));
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return start.map(|start| start..at);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for source in sources() {
        for (offset, _) in source.code.match_indices("fn ") {
            let before = source.code[..offset].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let name: String = names_after(&source.code[offset + 3..]).concat();
            let Some(body) = body(&source.code, offset).filter(|_| !name.is_empty()) else {
                continue;
            };
            let lines = source.line_of(body.end) - source.line_of(offset) + 1;
            if lines > FUNCTION_LINES_MAX {
                let line = source.line_of(offset);
                broken.push(format!("{}:{line}: {name} has {lines} lines", source.name));
            }
        }
    }
    hold("a function has at most 70 lines", broken);
}

#[test]
fn files_and_lines_are_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{} has {lines} lines", source.name));
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE_CHARS_MAX {
                broken.push(format!("{}:{} is too long", source.name, number + 1));
            }
        }
    }
    hold("a file has at most 500 lines, a line at most 100 characters", broken);
}

#[test]
fn every_file_says_what_it_is_for() {
    let opens = |text: &str| {
        let first: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let sentence = first.iter().take_while(|line| line.trim() != "//!").copied();
        sentence.last().is_some_and(|line| line.ends_with(['.', ')', '`']))
    };
    let broken = sources().into_iter().filter(|source| !opens(&source.text));
    hold("a file opens with one `//!` sentence", broken.map(|source| source.name).collect());
}

#[test]
fn words_that_say_nothing_and_work_left_lying_stay_out() {
    let mut broken = Vec::new();
    for source in sources() {
        for part in source.path.with_extension("").components() {
            if EMPTY_WORDS.iter().any(|word| part.as_os_str() == *word) {
                broken.push(format!("{}: a name that says nothing", source.name));
            }
        }
        for (number, line) in source.text.lines().enumerate() {
            for word in NOT_COMMITTED.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{}: {word}", source.name, number + 1));
            }
        }
    }
    hold("finish it, or name it", broken);
}

#[test]
fn the_library_prints_nothing_reads_no_environment_and_never_exits() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        if ["cli", "main"].contains(&room) {
            continue;
        }
        // Unit tests stand at the bottom of a file.
        let tests = source.code.find("#[cfg(test)]\nmod tests").unwrap_or(source.code.len());
        for word in ONLY_THE_BINARY {
            for (offset, _) in source.code[..tests].match_indices(word) {
                let before = source.code[..offset].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    broken.push(format!("{}:{}: {word}", source.name, source.line_of(offset)));
                }
            }
        }
    }
    hold("only the binary speaks to people", broken);
}

#[test]
fn unsafe_code_stands_in_three_files() {
    let with: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.room().is_some() && source.code.contains("unsafe {"))
        .map(|source| source.name)
        .collect();
    let allowed = ["src/cli/memory.rs", "src/repo/catalog/mapped.rs", "src/seal/memory.rs"];
    let others: Vec<_> = with.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "more than two mappings and the allocator's setting: {others:?}");
}

/// Comments, strings and character literals made blank, newlines kept.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).expect("whole literals were replaced")
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let until = |needle: &[u8], from: usize| {
        let found = rest[from..].windows(needle.len()).position(|window| window == needle);
        at + found.map_or(rest.len(), |found| from + found + needle.len())
    };
    if rest.starts_with(b"//") {
        return until(b"\n", 2) - usize::from(rest.contains(&b'\n'));
    }
    if rest.starts_with(b"/*") {
        return until(b"*/", 2);
    }
    let raw = rest.strip_prefix(b"b").unwrap_or(rest);
    if let Some(after) = raw.strip_prefix(b"r").filter(|_| !inside_word) {
        let hashes = after.iter().take_while(|byte| **byte == b'#').count();
        if after.get(hashes) == Some(&b'"') {
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            return until(&close, rest.len() - after.len() + hashes + 1);
        }
    }
    if rest[0] == b'"' {
        return at + 1 + quoted(&rest[1..], b'"');
    }
    // A character, not a lifetime: a quote that closes after one (escaped) character.
    if rest[0] == b'\'' && rest.len() > 2 {
        let character = std::str::from_utf8(&rest[1..rest.len().min(6)])
            .map_or_else(|error| error.valid_up_to(), str::len);
        let first = std::str::from_utf8(&rest[1..1 + character]).expect("valid so far");
        let width = first.chars().next().map_or(1, char::len_utf8);
        if rest[1] == b'\\' || rest.get(1 + width) == Some(&b'\'') {
            return at + 1 + quoted(&rest[1..], b'\'');
        }
    }
    at
}

fn quoted(rest: &[u8], close: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != close {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let text = "use crate::{id::{A, B}, store};\nfn f<'a>() { let s = \"} crate::x\"; '}' ; }\n\
                // crate::y\nlet r = r#\"crate::z \" {\"#; crate::repo::go(b'{', '\\'');\n";
    let source = Source {
        path: PathBuf::new(),
        name: "src/seal/mod.rs".into(),
        text: text.into(),
        code: blank(text),
    };
    let mut rooms: Vec<String> = seen_rooms(&source).into_iter().map(|(_, name)| name).collect();
    rooms.dedup();
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms, ["id", "repo", "store"]);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(body(&source.code, source.code.find("fn f").unwrap()).unwrap().len(), 30);
    assert!(seen_rooms(&Source { code: "use super::tree;".into(), ..source }).len() == 1);
}

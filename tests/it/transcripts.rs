//! The transcripts of README and docs/operations.md, typed again: what they show is what happens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a block shows: a command, and all that it says.
struct Step {
    line: usize,
    command: String,
    says: Vec<String>,
}

/// The steps of all ```console blocks of a page, in order. One page is one session.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: number + 1, command: command.into(), says: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            // A long command goes on in lines that begin with `>`.
            match line.strip_prefix("> ") {
                Some(more) if step.says.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.says.push(line.to_owned()),
            }
        }
    }
    steps
}

/// The line with what differs from run to run masked: ids, times, sizes. Everything else counts.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let (word, taken) = mask(words[at], next);
        out.push(word);
        at += taken;
    }
    // The line below a table's head is as wide as its ids and sizes are.
    out.iter()
        .map(|word| if word.starts_with("----") { "----" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The word for show, and how many words it stands for.
fn mask(word: &str, next: &str) -> (String, usize) {
    let core = word.trim_matches(|c: char| ",.;:()[]`".contains(c));
    let around = |shown: &str| word.replacen(core, shown, 1);
    let is_number = core.starts_with(|c: char| c.is_ascii_digit())
        && core.chars().all(|c| c.is_ascii_digit() || ".,".contains(c));
    let unit = next.trim_end_matches(|c: char| ",.;:()".contains(c));
    let hex = core.len() >= 8 && core.chars().all(|c| c.is_ascii_hexdigit());
    let digits = |pattern: &str| {
        core.len() == pattern.len()
            && core
                .chars()
                .zip(pattern.chars())
                .all(|(c, p)| if p == 'd' { c.is_ascii_digit() } else { c == p })
    };
    if hex {
        (around("ID"), 1)
    } else if digits("dddd-dd-dd") {
        (around("DATE"), 1)
    } else if digits("dd:dd:dd") {
        (around("TIME"), 1)
    } else if is_number
        && ["B", "KiB", "MiB", "GiB", "KiB/s", "MiB/s", "GiB/s", "B/s"].contains(&unit)
    {
        (format!("{}{}", around("SIZE"), &next[unit.len()..]), 2)
    } else if is_number && unit == "s" {
        (format!("{}{}", around("SECONDS"), &next[unit.len()..]), 2)
    } else if is_number && unit == "x" {
        (format!("{}{}", around("TIMES"), &next[unit.len()..]), 2)
    } else if is_number && unit == "%" {
        (format!("{}{}", around("SHARE"), &next[unit.len()..]), 2)
    } else {
        (word.to_owned(), 1)
    }
}

/// Types every command of the page into one directory, and compares all that is said. With
/// SNAPSHOTS=overwrite in the environment the page shows afterwards what was said.
fn replay(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap();
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{page} has no transcript");
    // As long as the name that the page shows, so that tables stand straight there.
    let home = tempfile::Builder::new().prefix("").rand_bytes(4).tempdir_in("/tmp").unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut wrong = Vec::new();
    let mut moved = 0isize;
    for step in steps {
        let said = type_in(home.path(), &step.command);
        let shown: Vec<String> = step.says.iter().map(|line| masked(line)).collect();
        let really: Vec<String> = said.lines().map(masked).collect();
        if !same(&shown, &really) {
            let at = format!("{page}:{}: $ {}", step.line, step.command);
            wrong
                .push(format!("{at}\n--- it shows\n{}\n--- it says\n{said}", step.says.join("\n")));
            let start = (step.line + step.command.matches('\n').count()).strict_add_signed(moved);
            let new: Vec<String> = said.lines().map(str::to_owned).collect();
            moved += new.len() as isize - step.says.len() as isize;
            lines.splice(start..start + step.says.len(), new);
        }
    }
    if std::env::var("SNAPSHOTS").is_ok_and(|value| value == "overwrite") {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

/// A line `...` stands for any number of lines.
fn same(shown: &[String], really: &[String]) -> bool {
    match shown {
        [] => really.iter().all(|line| line.is_empty()),
        [dots, rest @ ..] if dots == "..." => {
            (0..=really.len()).any(|at| same(rest, &really[at..]))
        }
        [first, rest @ ..] if first.is_empty() && really.first().is_none_or(|l| !l.is_empty()) => {
            same(rest, really)
        }
        [first, rest @ ..] => really.first() == Some(first) && same(rest, &really[1..]),
    }
}

/// Standard output and error of a command in a fixed environment, as they would come to a person.
fn type_in(home: &Path, command: &str) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_icecore"));
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", binary.parent().unwrap().display());
    let command = command.replace("/home/you", home.to_str().unwrap());
    // What was exported is kept for the next command, as in a person's shell.
    let state = home.join(".state");
    let script = format!(
        "[ -f {state} ] && . {state}\n{{ {command}\n}} 2>&1\ncode=$?\nexport -p > {state}\n\
         [ $code = 0 ] || echo \"[exit code $code]\"\n",
        state = state.display(),
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(home)
        .env_clear()
        .envs([("HOME", home.as_os_str()), ("PATH", path.as_ref()), ("TZ", "UTC".as_ref())])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).replace(home.to_str().unwrap(), "/home/you")
}

#[test]
fn readme() {
    replay("README.md");
}

#[test]
fn operations() {
    replay("docs/operations.md");
}

#[test]
fn masks_hide_what_differs_and_nothing_else() {
    assert_eq!(
        masked("snapshot 3f9a12bc saved, 12 files, 1.234 MiB in 0.4 s (33.3 %)"),
        "snapshot ID saved, 12 files, SIZE in SECONDS (SHARE)"
    );
    assert_eq!(masked("3f9a12bc  2026-11-21 10:39:22   web"), "ID DATE TIME web");
    assert_eq!(masked("-----------"), "----");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(same(&lines("a\n...\nz"), &lines("a\nb\nc\nz")));
    assert!(!same(&lines("a\n...\nz"), &lines("a\nb\nc")));
    assert!(!same(&lines("a"), &lines("a\nb")));
}

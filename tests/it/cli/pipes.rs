//! A reader that has seen enough is no failure; only progress and troubles go to standard error.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::Desk;

#[test]
fn a_closed_pipe_is_success() {
    let desk = Desk::new();
    desk.init();
    for n in 0..3000 {
        desk.write(&format!("data/a-file-with-quite-a-long-name-number-{n}"), "");
    }
    desk.ok(&["backup", "data"]);
    for arguments in
        [["ls", "latest"].as_slice(), &["ls", "latest", "--json"], &["find", "a-file*"]]
    {
        let mut command = desk.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut out = BufReader::with_capacity(16, child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn no_bar_and_no_colour_where_no_terminal_is() {
    let desk = Desk::new();
    desk.write("data/file", "x");
    desk.init();
    let said = desk.run(&["backup", "data"]);
    assert_eq!(said.err, "");
    assert!(!said.out.contains('\u{1b}'), "{:?}", said.out);
    let said = desk.run(&["backup", "data", "--quiet"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    for verb in ["snapshots", "stats", "--help"] {
        assert!(!desk.ok(&[verb]).contains('\u{1b}'), "{verb}");
    }
}

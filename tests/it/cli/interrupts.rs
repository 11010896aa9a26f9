//! Ctrl-C and SIGTERM: a clean stop that leaves nothing behind, and the next run goes on.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Desk, said};

/// Something of this session is in the store: it is at work.
fn is_at_work(desk: &Desk) -> bool {
    let packs = fs::read_dir(desk.path("repository/packs")).unwrap();
    packs.flatten().any(|folder| fs::read_dir(folder.path()).unwrap().next().is_some())
}

/// All is queued at once, and most of it is dropped.
#[test]
fn a_restore_that_is_interrupted_says_so_and_goes_on_later() {
    let desk = Desk::new();
    desk.init();
    let mut noise = vec![0; 12 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::create_dir(desk.path("data")).unwrap();
    fs::write(desk.path("data/noise"), &noise).unwrap();
    desk.ok(&["backup", "data"]);
    let place = format!("latest:{}", desk.text("data"));
    let restore = ["restore", &place, "--target", "back"];
    let mut command = desk.command(&[&restore[..], &["--limit-download", "1500"]].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What it writes into has the file's whole length.
    while !fs::read_dir(desk.path("back")).is_ok_and(|mut dir| dir.next().is_some()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was at work");
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let got = said(child.wait_with_output().unwrap());
    assert_eq!(got.code, 130, "{}\n{}", got.out, got.err);
    assert!(got.err.contains("the same command goes on from here"), "{}", got.err);
    assert!(!desk.path("back/noise").exists());
    desk.ok(&restore);
    assert!(fs::read(desk.path("back/noise")).unwrap() == noise);
}

#[test]
fn a_backup_stops_cleanly_and_goes_on_later() {
    for signal in [Signal::INT, Signal::TERM] {
        let desk = Desk::new();
        desk.init();
        let mut noise = vec![0; 140 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        fs::create_dir(desk.path("data")).unwrap();
        fs::write(desk.path("data/noise"), &noise).unwrap();
        // So slow, and so much more than waits to be sent, that it is at work when we ask.
        let mut command = desk.command(&["backup", "data", "--limit-upload", "16000"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        while !is_at_work(&desk) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was at work");
            thread::sleep(Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let got = said(child.wait_with_output().unwrap());
        assert_eq!(got.code, 130, "{}\n{}", got.out, got.err);
        assert!(got.err.contains("stopping cleanly"), "{}", got.err);
        assert_eq!(desk.json(&["snapshots"]), serde_json::json!([]));
        let sessions = fs::read_dir(desk.path("repository/sessions"));
        assert_eq!(sessions.map_or(0, |left| left.flatten().count()), 0, "a session is left");

        desk.ok(&["backup", "data"]);
        desk.ok(&["restore", &format!("latest:{}", desk.text("data")), "--target", "back"]);
        assert!(fs::read(desk.path("back/noise")).unwrap() == noise);
        desk.ok(&["check"]);
    }
}

#[test]
fn a_dead_mount_in_the_way_is_told_as_one() {
    let desk = Desk::with_snapshots();
    fs::create_dir(desk.path("mnt")).unwrap();
    let mut command = desk.command(&["mount", "mnt"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // It says so when it is there.
    if child.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).is_err() {
        child.wait().unwrap();
        eprintln!("SKIPPED: cannot mount here");
        return;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = desk.run(&["mount", "mnt"]);
    let mut helper = Command::new("fusermount3");
    if !helper.arg("-uz").arg(desk.path("mnt")).status().is_ok_and(|status| status.success()) {
        let detached = Command::new("umount").arg("-l").arg(desk.path("mnt")).status();
        assert!(detached.unwrap().success());
    }
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("hint: `fusermount3 -uz mnt`"), "{}", said.err);
}

//! Patterns mean the same to every verb that takes them.

use super::Desk;

/// A pattern that does not begin with a slash matches at any depth, as in restic.
#[test]
fn a_slash_in_the_middle_anchors_nothing() {
    let desk = Desk::new();
    desk.init();
    desk.write("xs/c", "c");
    desk.write("xs/d", "d");
    let (c, d) = (desk.text("xs/c"), desk.text("xs/d"));
    for (at, pattern) in ["xs/d", "*/d", "x?/d"].iter().enumerate() {
        let left_out = desk.path(&format!("excluded{at}"));
        desk.ok(&["backup", "xs", "--exclude", pattern, "--tag", pattern]);
        let listed = desk.ok(&["ls", "latest", "--tag", pattern]);
        assert!(listed.contains(&c) && !listed.contains(&d), "{pattern}: {listed}");

        desk.ok(&["backup", "xs", "--tag", "whole"]);
        let target = left_out.to_str().unwrap();
        let restore = ["restore", "latest", "--tag", "whole", "--target", target];
        let said = desk.run(&[&restore[..], &["--exclude", pattern]].concat());
        assert_eq!((said.code, said.err.contains("matches")), (0, false), "{}", said.err);
        let below = |path: &str| left_out.join(path.trim_start_matches('/'));
        assert!(below(&c).exists() && !below(&d).exists(), "{pattern}");
        desk.ok(&[&restore[..], &["--include", pattern]].concat());
        assert!(below(&d).exists(), "{pattern}");

        let found = desk.ok(&["find", pattern, "--snapshot", "latest"]);
        assert!(found.contains(&d) && !found.contains(&c), "{pattern}: {found}");
    }
}

#[test]
fn an_exclude_that_matches_nothing_is_told() {
    let desk = Desk::with_snapshots();
    let said = desk.run(&["restore", "latest", "--target", "back", "--exclude", "/mistyped"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let told = "warning: no path that was looked at matches --exclude /mistyped";
    assert!(said.err.lines().any(|line| line == told), "{}", said.err);
}

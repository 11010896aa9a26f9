//! The policy against restic's documented behaviour, rule by rule.

use jiff::{civil::DateTime, tz};

use super::*;

/// Times of day in UTC, each with its tags.
fn run(policy: &Policy, snapshots: &[(&str, &[&str])], zone: &TimeZone) -> Vec<Vec<String>> {
    let tags: Vec<Vec<String>> =
        snapshots.iter().map(|(_, tags)| tags.iter().map(|t| t.to_string()).collect()).collect();
    let candidates: Vec<Candidate> = snapshots
        .iter()
        .zip(&tags)
        .map(|((time, _), tags)| Candidate { time: utc(time), tags })
        .collect();
    let reasons = decide(policy, &candidates, zone);
    reasons.into_iter().map(|all| all.iter().map(Reason::to_string).collect()).collect()
}

fn utc(time: &str) -> Timestamp {
    let civil: DateTime = time.parse().unwrap();
    civil.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

/// The snapshots that stay, as `time: reason, reason`.
fn kept(policy: &Policy, times: &[&str]) -> Vec<String> {
    let snapshots: Vec<(&str, &[&str])> = times.iter().map(|time| (*time, &[][..])).collect();
    let reasons = run(policy, &snapshots, &TimeZone::UTC);
    times
        .iter()
        .zip(reasons)
        .filter(|(_, reasons)| !reasons.is_empty())
        .map(|(time, reasons)| format!("{time}: {}", reasons.join(", ")))
        .collect()
}

fn keep(period: Period, count: &str) -> Policy {
    let mut policy = Policy::default();
    policy.counts[period as usize] = count.parse().unwrap();
    policy
}

#[test]
fn counts_as_they_are_typed() {
    assert_eq!("0".parse(), Ok(Keep::None));
    assert_eq!("7".parse(), Ok(Keep::Count(NonZeroU32::new(7).unwrap())));
    assert_eq!("unlimited".parse(), Ok(Keep::Unlimited));
    assert_eq!("-1".parse(), Ok(Keep::Unlimited));
    for bad in ["", "-2", "x", "1.5", "Unlimited", "99999999999"] {
        assert_eq!(bad.parse::<Keep>(), Err(NotACount), "{bad:?}");
    }
}

#[test]
fn nothing_comes_of_nothing() {
    assert!(Policy::default().is_empty());
    assert!(!keep(Period::Weekly, "1").is_empty());
    assert_eq!(decide(&keep(Period::Last, "3"), &[], &TimeZone::UTC), Vec::<Vec<Reason>>::new());
    assert_eq!(kept(&Policy::default(), &["2026-01-01T00:00"]), Vec::<String>::new());
}

#[test]
fn the_last_are_counted_from_the_newest_whatever_the_order() {
    let times = ["2026-01-03T10:00", "2026-01-01T10:00", "2026-01-02T10:00"];
    assert_eq!(kept(&keep(Period::Last, "1"), &times), ["2026-01-03T10:00: last snapshot"]);
    assert_eq!(
        kept(&keep(Period::Last, "2"), &times),
        ["2026-01-03T10:00: last snapshot", "2026-01-02T10:00: last snapshot"]
    );
    assert_eq!(kept(&keep(Period::Last, "9"), &times).len(), 3);
    assert_eq!(kept(&keep(Period::Last, "unlimited"), &times).len(), 3);
}

#[test]
fn snapshots_of_the_same_instant_are_each_their_own() {
    let times = ["2026-01-01T10:00", "2026-01-01T10:00", "2026-01-01T10:00"];
    assert_eq!(kept(&keep(Period::Last, "2"), &times).len(), 2);
}

#[test]
fn of_each_period_the_newest_stays() {
    let table: [(Period, [&str; 4], [&str; 2]); 5] = [
        (
            Period::Hourly,
            ["2026-01-01T10:59:59", "2026-01-01T10:00", "2026-01-01T09:59:59", "2026-01-01T09:01"],
            ["2026-01-01T10:59:59: hourly snapshot", "2026-01-01T09:59:59: hourly snapshot"],
        ),
        (
            Period::Daily,
            ["2026-01-02T23:59:59", "2026-01-02T00:00", "2026-01-01T23:59", "2026-01-01T00:00"],
            ["2026-01-02T23:59:59: daily snapshot", "2026-01-01T23:59: daily snapshot"],
        ),
        (
            // 2026-01-05 is a Monday; the week before it began in the old year.
            Period::Weekly,
            ["2026-01-06T00:00", "2026-01-05T00:00", "2026-01-04T23:59", "2025-12-29T00:00"],
            ["2026-01-06T00:00: weekly snapshot", "2026-01-04T23:59: weekly snapshot"],
        ),
        (
            Period::Monthly,
            ["2026-02-28T00:00", "2026-02-01T00:00", "2026-01-31T23:59", "2026-01-01T00:00"],
            ["2026-02-28T00:00: monthly snapshot", "2026-01-31T23:59: monthly snapshot"],
        ),
        (
            Period::Yearly,
            ["2026-12-31T00:00", "2026-01-01T00:00", "2025-12-31T23:59", "2025-01-01T00:00"],
            ["2026-12-31T00:00: yearly snapshot", "2025-12-31T23:59: yearly snapshot"],
        ),
    ];
    for (period, times, stay) in table {
        assert_eq!(kept(&keep(period, "2"), &times), stay, "{period:?}");
        assert_eq!(kept(&keep(period, "1"), &times), stay[..1], "{period:?}");
    }
}

#[test]
fn the_same_hour_of_another_day_is_another_hour() {
    let times = ["2026-02-02T10:00", "2026-02-01T10:00", "2026-01-02T10:00", "2025-02-02T10:00"];
    assert_eq!(kept(&keep(Period::Hourly, "4"), &times).len(), 4);
    assert_eq!(kept(&keep(Period::Daily, "4"), &times).len(), 4);
    // The same month of another year is another month; the two of February 2026 are one, but the
    // count has room for three more.
    assert_eq!(kept(&keep(Period::Monthly, "4"), &times).len(), 3);
}

#[test]
fn empty_periods_are_not_counted() {
    // One backup every Sunday for twelve weeks: --keep-daily 4 keeps the last four Sundays.
    let sundays: Vec<String> = (0..12)
        .map(|week| {
            (utc("2026-06-07T04:00") - jiff::SignedDuration::from_hours(week * 168)).to_string()
        })
        .map(|time| time.trim_end_matches('Z').to_owned())
        .collect();
    let sundays: Vec<&str> = sundays.iter().map(String::as_str).collect();
    let stay = kept(&keep(Period::Daily, "4"), &sundays);
    assert_eq!(stay.len(), 4);
    assert!(stay[3].starts_with("2026-05-17"), "{stay:?}");
}

#[test]
fn the_oldest_stays_while_counts_are_left() {
    let times = ["2026-01-01T12:00", "2026-01-01T11:00", "2026-01-01T10:00"];
    assert_eq!(
        kept(&keep(Period::Yearly, "5"), &times),
        ["2026-01-01T12:00: yearly snapshot", "2026-01-01T10:00: oldest yearly snapshot"]
    );
    assert_eq!(
        kept(&keep(Period::Yearly, "unlimited"), &times),
        ["2026-01-01T12:00: yearly snapshot", "2026-01-01T10:00: oldest yearly snapshot"]
    );
    assert_eq!(kept(&keep(Period::Yearly, "1"), &times), ["2026-01-01T12:00: yearly snapshot"]);
}

#[test]
fn a_lone_snapshot_is_the_newest_of_everything() {
    let counts = ["1"; 6].map(|count| count.parse().unwrap());
    let policy = Policy { counts, ..Policy::default() };
    assert_eq!(
        kept(&policy, &["2026-01-01T12:00"]),
        ["2026-01-01T12:00: last snapshot, hourly snapshot, daily snapshot, weekly snapshot, \
          monthly snapshot, yearly snapshot"]
    );
}

#[test]
fn rules_are_counted_apart_and_added() {
    // Daily backups for a hundred years, and restic's own example of a policy.
    let newest = utc("2026-11-21T04:00");
    let day = jiff::SignedDuration::from_hours(24);
    let times: Vec<Timestamp> = (0..36_525).map(|n| newest - day * n).collect();
    let candidates: Vec<Candidate> =
        times.iter().map(|&time| Candidate { time, tags: &[] }).collect();
    let counts = ["0", "0", "7", "5", "12", "75"].map(|count| count.parse().unwrap());
    let policy = Policy { counts, ..Policy::default() };
    let reasons = decide(&policy, &candidates, &TimeZone::UTC);
    let with = |wanted: Reason| reasons.iter().filter(|all| all.contains(&wanted)).count();
    assert_eq!(with(Reason::Newest(Period::Daily)), 7);
    assert_eq!(with(Reason::Newest(Period::Weekly)), 5);
    assert_eq!(with(Reason::Newest(Period::Monthly)), 12);
    assert_eq!(with(Reason::Newest(Period::Yearly)), 75);
    assert_eq!(with(Reason::Newest(Period::Last)), 0);
    // The newest is of all four kinds, the Sunday before it daily and weekly: 99 less 4; and the
    // last of December is monthly and yearly.
    assert_eq!(reasons.iter().filter(|all| !all.is_empty()).count(), 99 - 4 - 1);
}

#[test]
fn within_counts_back_from_the_newest_and_leaves_its_own_start_out() {
    let policy = Policy { within: Some("2d".parse().unwrap()), ..Policy::default() };
    let times = ["2020-01-05T12:00", "2020-01-03T12:00:01", "2020-01-03T12:00", "2020-01-01T12:00"];
    assert_eq!(
        kept(&policy, &times),
        ["2020-01-05T12:00: within 2d", "2020-01-03T12:00:01: within 2d"]
    );
}

#[test]
fn within_a_period_keeps_one_each_and_never_beyond() {
    let times = [
        "2026-01-10T12:00",
        "2026-01-10T10:00",
        "2026-01-09T12:00",
        "2026-01-09T10:00",
        "2026-01-07T12:00",
        "2026-01-01T12:00",
    ];
    let mut policy = Policy::default();
    policy.within_periods[Period::Daily as usize] = Some("4d".parse().unwrap());
    assert_eq!(
        kept(&policy, &times),
        [
            "2026-01-10T12:00: daily within 4d",
            "2026-01-09T12:00: daily within 4d",
            "2026-01-07T12:00: daily within 4d",
        ]
    );
    // The oldest of all stays as well when it lies within.
    assert_eq!(
        kept(&policy, &times[..4]),
        [
            "2026-01-10T12:00: daily within 4d",
            "2026-01-09T12:00: daily within 4d",
            "2026-01-09T10:00: daily within 4d",
        ]
    );
}

#[test]
fn tags_keep_whatever_the_age() {
    let snapshots: [(&str, &[&str]); 4] = [
        ("2026-01-04T00:00", &["db", "nightly"]),
        ("2026-01-03T00:00", &["db"]),
        ("2026-01-02T00:00", &[]),
        ("2026-01-01T00:00", &["nightly"]),
    ];
    let names = |lists: &[&[&str]]| -> Policy {
        let own = |list: &&[&str]| list.iter().map(|tag| tag.to_string()).collect();
        Policy { tags: lists.iter().map(own).collect(), ..Policy::default() }
    };
    let places = |policy: Policy| -> Vec<usize> {
        let reasons = run(&policy, &snapshots, &TimeZone::UTC);
        (0..4).filter(|&at| !reasons[at].is_empty()).collect()
    };
    assert_eq!(places(names(&[&["db"]])), [0, 1]);
    assert_eq!(places(names(&[&["db", "nightly"]])), [0], "all of one list");
    assert_eq!(places(names(&[&["db"], &["nightly"]])), [0, 1, 3], "any of several lists");
    assert_eq!(places(names(&[&[""]])), [2], "no tag at all");
    assert_eq!(places(names(&[&["other"]])), Vec::<usize>::new());
}

#[test]
fn a_day_is_a_day_where_the_operator_lives() {
    let auckland = TimeZone::fixed(tz::offset(13));
    let snapshots: [(&str, &[&str]); 2] = [("2026-01-01T12:00", &[]), ("2026-01-01T10:00", &[])];
    let stay = |zone: &TimeZone| {
        let reasons = run(&keep(Period::Daily, "1"), &snapshots, zone);
        reasons.iter().filter(|all| !all.is_empty()).count()
    };
    assert_eq!(stay(&TimeZone::UTC), 1);
    let both = run(&keep(Period::Daily, "2"), &snapshots, &auckland);
    assert_eq!(both, [["daily snapshot"], ["daily snapshot"]], "midnight lies between them");
}

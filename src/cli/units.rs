//! Numbers as people read and type them: sizes, counts, stretches of time.

use std::time::Duration;

use icecore::format::snapshot::{Consistency, Mongodb, Summary};
use jiff::{Timestamp, tz::TimeZone};

/// `1.234 GiB`; whole bytes below one KiB.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.3} {unit}") }
}

/// `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// How many files and documents a snapshot holds.
pub fn content(summary: &Summary) -> String {
    let documents = summary.docs_new + summary.docs_changed + summary.docs_unmodified;
    let files = counted(summary.total_files_processed, "file", "files");
    match (summary.collections, summary.total_files_processed) {
        (0, _) => files,
        (_, 0) => counted(documents, "document", "documents"),
        _ => format!("{files}, {}", counted(documents, "document", "documents")),
    }
}

/// What moment of a deployment a snapshot holds.
pub fn moment(mongodb: &Mongodb) -> String {
    match (mongodb.consistency, mongodb.cluster_time) {
        (Consistency::None, _) | (_, None) => "not a point in time".to_owned(),
        (_, Some(time)) => format!("as of cluster time {time}"),
    }
}

/// `0.4 s`, `12 s`, `3:07`, `1:02:03`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// `2026-11-21 10:39:22` where the person lives.
pub fn local(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a size is a number and perhaps a unit, as in `500K`, `10MiB` or `2G`")]
pub struct NotASize;

/// `4096`, `500K`, `10MiB`, `2g`: powers of 1024, as in restic.
pub fn parse_bytes(text: &str) -> Result<u64, NotASize> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(NotASize),
    };
    let value: f64 = number.parse().map_err(|_| NotASize)?;
    let size = value * 1024f64.powi(power);
    if size.is_finite() && size < 2f64.powi(62) { Ok(size as u64) } else { Err(NotASize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_and_read() {
        for (size, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.000 KiB"),
            (1_500_000, "1.431 MiB"),
            (u64::MAX, "16384.000 PiB"),
        ] {
            assert_eq!(bytes(size), shown);
        }
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("1k", 1024),
            ("1KiB", 1024),
            ("2 MB", 2 << 20),
            ("1.5G", 3 << 29),
        ] {
            assert_eq!(parse_bytes(text), Ok(size), "{text}");
        }
        for bad in ["", "K", "-1", "1X", "1..2", "9999999P", "1 K K"] {
            assert_eq!(parse_bytes(bad), Err(NotASize), "{bad}");
        }
    }

    #[test]
    fn counts_and_times_are_shown() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(1000, "file", "files"), "1,000 files");
        assert_eq!(duration(Duration::from_millis(420)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(187)), "3:07");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }
}

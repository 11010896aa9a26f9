//! A stretch of calendar time as people type it: `1y5m7d2h`, `2w`.

use std::{fmt, str::FromStr};

use jiff::{Span, Zoned};

/// Years, months, weeks, days and hours; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Within {
    years: i32,
    months: i32,
    weeks: i32,
    days: i32,
    hours: i32,
}

/// Why a text is no stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAStretch {
    #[error("a stretch of time is numbers and units, as in `1y5m7d2h` or `2w`")]
    Unreadable,
    #[error("the unit `{unit}` stands twice")]
    Twice { unit: char },
    #[error("a stretch of no time keeps nothing")]
    Empty,
    #[error("so long a stretch reaches before the calendar begins")]
    TooLong,
}

impl Within {
    /// The moment this long before `end`, on the calendar of `end`'s time zone: a month before
    /// 31 March is the last day of February.
    pub fn before(&self, end: &Zoned) -> Zoned {
        let Within { years, months, weeks, days, hours } = *self;
        let span = Span::new().try_years(years).and_then(|span| span.try_months(months));
        let span = span.and_then(|span| span.try_weeks(weeks)).and_then(|s| s.try_days(days));
        let span = span.and_then(|span| span.try_hours(hours)).expect("parsing bounded each");
        // Before the calendar begins there is no snapshot: its first moment will do.
        end.checked_sub(span)
            .unwrap_or_else(|_| jiff::Timestamp::MIN.to_zoned(end.time_zone().clone()))
    }
}

impl FromStr for Within {
    type Err = NotAStretch;

    fn from_str(text: &str) -> Result<Self, NotAStretch> {
        let mut within = Within::default();
        let (mut number, mut seen) = (String::new(), String::new());
        for c in text.chars() {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            let place = match c {
                'y' => &mut within.years,
                'm' => &mut within.months,
                'w' => &mut within.weeks,
                'd' => &mut within.days,
                'h' => &mut within.hours,
                _ => return Err(NotAStretch::Unreadable),
            };
            if seen.contains(c) {
                return Err(NotAStretch::Twice { unit: c });
            }
            seen.push(c);
            if number.is_empty() {
                return Err(NotAStretch::Unreadable);
            }
            // 9,998 years of each unit but hours; of hours, a thousand years.
            *place = number.parse().ok().filter(|n| *n <= 9_998).ok_or(NotAStretch::TooLong)?;
            number.clear();
        }
        if !number.is_empty() || seen.is_empty() {
            return Err(NotAStretch::Unreadable);
        }
        if within == Within::default() { Err(NotAStretch::Empty) } else { Ok(within) }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.years, 'y'),
            (self.months, 'm'),
            (self.weeks, 'w'),
            (self.days, 'd'),
            (self.hours, 'h'),
        ];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for text in ["1y5m7d2h", "2w", "36h", "1y2m3w4d5h", "9998d"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
        assert_eq!("2h1y".parse::<Within>().unwrap().to_string(), "1y2h");
        for (text, why) in [
            ("", NotAStretch::Unreadable),
            ("7", NotAStretch::Unreadable),
            ("d", NotAStretch::Unreadable),
            ("-1d", NotAStretch::Unreadable),
            ("1d ", NotAStretch::Unreadable),
            ("1s", NotAStretch::Unreadable),
            ("1d2d", NotAStretch::Twice { unit: 'd' }),
            ("0d", NotAStretch::Empty),
            ("9999d", NotAStretch::TooLong),
            ("99999999999999d", NotAStretch::TooLong),
        ] {
            assert_eq!(text.parse::<Within>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn the_calendar_is_walked_not_the_clock() {
        let end: Zoned = "2026-03-31T12:00:00[Europe/Berlin]".parse().unwrap();
        for (text, start) in [
            ("1m", "2026-02-28T12:00:00+01:00[Europe/Berlin]"),
            // Two days before, across the change to summer time: the same hour of the day.
            ("3d", "2026-03-28T12:00:00+01:00[Europe/Berlin]"),
            // 72 hours before are 72 hours.
            ("72h", "2026-03-28T11:00:00+01:00[Europe/Berlin]"),
            ("1y", "2025-03-31T12:00:00+02:00[Europe/Berlin]"),
            ("2w", "2026-03-17T12:00:00+01:00[Europe/Berlin]"),
        ] {
            assert_eq!(text.parse::<Within>().unwrap().before(&end).to_string(), start);
        }
        let before_all = "9998y".parse::<Within>().unwrap().before(&end);
        assert!(before_all < end);
        assert!("9998y9998m".parse::<Within>().unwrap().before(&end) <= before_all);
    }
}

//! Moments as Extended JSON writes them: ISO 8601 for the years 1970 to 9999.

use jiff::{Timestamp, civil};

const DAY_MILLIS: i64 = 86_400_000;
/// 1 January of the year 10000.
const END_MILLIS: i64 = 253_402_300_800_000;

/// `2012-12-24T12:15:30.5Z` as `2012-12-24T12:15:30.500Z`; whole seconds without a fraction.
/// `None`: not a year from 1970 to 9999.
pub fn to_text(millis: i64) -> Option<String> {
    if !(0..END_MILLIS).contains(&millis) {
        return None;
    }
    let (year, month, day) = civil_of_days(millis / DAY_MILLIS);
    let of_day = millis % DAY_MILLIS;
    let (seconds, fraction) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        text.push_str(&format!(".{fraction:03}"));
    }
    text.push('Z');
    Some(text)
}

/// Milliseconds since 1970 of an ISO 8601 moment with `Z` or an offset.
pub fn of_text(text: &str) -> Option<i64> {
    // Beyond what an instant holds elsewhere lies the last day of 9999, which many mean by "never".
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        let time: civil::DateTime = local.parse().ok()?;
        let days = time.date().since(civil::date(1970, 1, 1)).ok()?.get_days();
        let of_day = time.time().duration_since(civil::Time::midnight());
        return Some(i64::from(days) * DAY_MILLIS + i64::try_from(of_day.as_millis()).ok()?);
    }
    Some(text.parse::<Timestamp>().ok()?.as_millisecond())
}

/// The Gregorian date so many days after 1 January 1970; eras of 400 years begin in March.
fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_356_351_330_501, "2012-12-24T12:15:30.501Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (END_MILLIS - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(to_text(millis).as_deref(), Some(text));
            assert_eq!(of_text(text), Some(millis), "{text}");
        }
        assert_eq!((to_text(-1), to_text(END_MILLIS)), (None, None));
        assert_eq!(of_text("2012-12-24T13:15:30.501+01:00"), Some(1_356_351_330_501));
        assert_eq!(of_text("1969-12-31T23:59:59.999Z"), Some(-1));
        for text in ["", "yesterday", "2012-12-24", "2012-12-24T12:15:30", "2012-13-24T12:15:30Z"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_is_the_day_after_the_one_before() {
        let mut date = civil::date(1970, 1, 1);
        for day in (0..END_MILLIS / DAY_MILLIS).step_by(13) {
            let found = civil_of_days(day);
            let wanted = (date.year().into(), date.month().into(), date.day().into());
            assert_eq!(found, wanted);
            let Ok(next) = date.checked_add(jiff::Span::new().days(13)) else { break };
            date = next;
        }
    }
}

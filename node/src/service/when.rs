//! Times for people, in UTC and saying so: the zone of a device is not known here, and a wrong one would be
//! worse than none. Programs get milliseconds and write them as they like.

use aidmesh_core::time::Wall;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Time of day; with its date if that is not today.
pub(super) fn clock(at: Wall, now: Wall) -> String {
    let (day, minute) = (at.0 / DAY_MS, at.0 % DAY_MS / 60_000);
    let time = format!("{:02}:{:02} UTC", minute / 60, minute % 60);
    match day == now.0 / DAY_MS {
        true => time,
        false => format!("{} {time}", date(day)),
    }
}

/// Days since 1970 in the Gregorian calendar, after Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`.
fn date(days: u64) -> String {
    let from_march_0000 = days + 719_468;
    let (era, day) = (from_march_0000 / 146_097, from_march_0000 % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let at = Wall(1_800_000_000_000);
        assert_eq!(clock(at, at), "08:00 UTC");
        assert_eq!(clock(at, Wall(at.0 + DAY_MS)), "2027-01-15 08:00 UTC");
    }

    #[test]
    fn dates_follow_the_calendar() {
        let days = [0, 58, 59, 11_016, 11_017, 19_782, 20_514, 24_837];
        let dates = days.map(date);
        let expected = [
            "1970-01-01",
            "1970-02-28",
            "1970-03-01",
            "2000-02-29",
            "2000-03-01",
            "2024-02-29",
            "2026-03-02",
            "2038-01-01",
        ];
        assert_eq!(dates, expected);
    }
}

//! Civil date and time of a capture.
//!
//! A monitor writes the time of its own wall clock, mostly without a time zone.
//! It is kept as written; turning it into an instant needs an offset that only
//! the caller can know (the monitor's clock may also be wrong). Invariant: the
//! date exists in the Gregorian calendar and the time in a day; second 60 is
//! refused.

/// A wall-clock moment, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilTime {
    year: u16,
    month: u8,
    day: u8,
    ms_of_day: u32,
    utc_offset_min: Option<i16>,
}

const MS_PER_DAY: i64 = 86_400_000;
/// Offsets in use on Earth, DICOM PS3.5 6.2 (DT): -1200 to +1400.
const OFFSETS_MIN: std::ops::RangeInclusive<i16> = -720..=840;

impl CivilTime {
    /// `None` if there is no such day, time or offset. Years 1900 to 9999.
    #[must_use]
    pub fn new(date: (u16, u8, u8), ms_of_day: u32, utc_offset_min: Option<i16>) -> Option<Self> {
        let (year, month, day) = date;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        let fits = (1900..=9999).contains(&year) && (1..=days).contains(&day);
        let offset_fits = utc_offset_min.is_none_or(|offset| OFFSETS_MIN.contains(&offset));
        let known = fits && i64::from(ms_of_day) < MS_PER_DAY && offset_fits;
        known.then_some(Self {
            year,
            month,
            day,
            ms_of_day,
            utc_offset_min,
        })
    }

    /// Year, month, day.
    #[must_use]
    pub fn date(&self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Hour, minute, second, millisecond.
    #[must_use]
    pub fn time(&self) -> (u32, u32, u32, u32) {
        let ms = self.ms_of_day;
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }

    /// Minutes ahead of UTC, where the file states it.
    #[must_use]
    pub fn utc_offset_min(&self) -> Option<i16> {
        self.utc_offset_min
    }

    /// Milliseconds from 1970-01-01T00:00 to this wall clock, both read without
    /// a time zone. Subtract the offset to get an instant.
    #[must_use]
    pub fn wall_ms(&self) -> i64 {
        days_from_1970(self.year, self.month, self.day) * MS_PER_DAY + i64::from(self.ms_of_day)
    }

    /// The inverse of [`CivilTime::wall_ms`].
    #[must_use]
    pub fn from_wall_ms(wall_ms: i64, utc_offset_min: Option<i16>) -> Option<Self> {
        let days = wall_ms.div_euclid(MS_PER_DAY);
        let ms_of_day = u32::try_from(wall_ms.rem_euclid(MS_PER_DAY)).ok()?;
        let date = date_from_days(days)?;
        Self::new(date, ms_of_day, utc_offset_min)
    }
}

/// Days from civil, after Howard Hinnant, "chrono-compatible low-level date
/// algorithms".
fn days_from_1970(year: u16, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = (i64::from(month) + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_from_days(days: i64) -> Option<(u16, u8, u8)> {
    let shifted = days.checked_add(719_468)?;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = u8::try_from(of_year - (153 * shifted_month + 2) / 5 + 1).ok()?;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((u16::try_from(year).ok()?, u8::try_from(month).ok()?, day))
}

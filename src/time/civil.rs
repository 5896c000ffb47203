//! Days and dates: the proleptic Gregorian calendar on integers.

/// Days from 1970-01-01 to a date. `month` is 1 to 12; `day` counts from 1 and may lie beyond
/// the month's end.
#[inline]
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last day of its year.
    let early = month <= 2;
    let year = year - i64::from(early);
    let month = i64::from(if early { month + 12 } else { month });
    let century = year.div_euclid(100);
    let before_year = (year * 1461).div_euclid(4) - century + century.div_euclid(4);
    let before_month = (979 * month - 2919) / 32;
    before_year + before_month + i64::from(day) - 719_469
}

/// The date `days` after 1970-01-01: year, month 1 to 12, day 1 to 31.
#[inline]
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(ERA);
    let of_era = shifted.rem_euclid(ERA) as u32;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Whether `year` has a 29th of February.
#[inline]
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Number of days in a month (`month` 1 to 12; 0 for other months).
#[inline]
pub fn month_length(year: i64, month: u32) -> u32 {
    const LENGTHS: [u8; 16] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0];
    if month > 12 {
        return 0;
    }
    u32::from(LENGTHS[month as usize & 15]) + u32::from(month == 2 && is_leap(year))
}

/// Day of the week: 0 is Monday.
#[inline]
pub fn weekday(days: i64) -> u32 {
    (days + 3).rem_euclid(7) as u32
}

/// ISO week-numbering year and week of a day.
pub fn iso_week(days: i64) -> (i64, u32) {
    // A week belongs to the year of its Thursday.
    let thursday = days - i64::from(weekday(days)) + 3;
    let (year, _, _) = civil_from_days(thursday);
    let week = (thursday - days_from_civil(year, 1, 1)) / 7 + 1;
    (year, week as u32)
}

/// `2007-01-31`: the ISO form of a day; years before 0 and after 9999 carry a sign.
pub fn iso_date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{}-{month:02}-{day:02}", iso_year(year))
}

/// `2007`: the ISO form of a year; years before 0 and after 9999 carry a sign.
pub fn iso_year(year: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+06}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse_and_continuous() {
        let mut expected = (1599, 12, 31);
        for days in days_from_civil(1600, 1, 1)..days_from_civil(2401, 1, 1) {
            let date = civil_from_days(days);
            let (year, month, day) = expected;
            expected = if day < month_length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            assert_eq!(date, expected);
            assert_eq!(days_from_civil(date.0, date.1, date.2), days);
        }
    }

    #[test]
    fn known_days() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
        assert_eq!(civil_from_days(-719_528), (0, 1, 1));
        assert_eq!(weekday(0), 3);
        assert_eq!(iso_date(-1), "1969-12-31");
        assert_eq!(iso_date(days_from_civil(12_000, 2, 3)), "+12000-02-03");
    }

    #[test]
    fn iso_weeks_at_the_turn_of_the_year() {
        assert_eq!(iso_week(days_from_civil(2007, 1, 31)), (2007, 5));
        assert_eq!(iso_week(days_from_civil(2005, 1, 1)), (2004, 53));
        assert_eq!(iso_week(days_from_civil(2008, 12, 29)), (2009, 1));
    }
}

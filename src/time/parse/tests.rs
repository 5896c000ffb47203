//! Tests of the parsers: examples, round trips, any bytes.

use super::super::civil::{civil_from_days, iso_date};
use super::*;
use proptest::prelude::*;

const ORDERS: [DateOrder; 3] = [DateOrder::Dmy, DateOrder::Mdy, DateOrder::Ymd];

fn layout(order: DateOrder) -> Layout {
    Layout::new(Some(order))
}

fn day(order: DateOrder, text: &str) -> Result<String, TimeError> {
    layout(order).date(text.as_bytes()).map(iso_date)
}

fn local(date: &str, time: &str) -> i64 {
    let days = Layout::new(None).date(date.as_bytes()).unwrap();
    days * DAY + time_of_day(time.as_bytes()).unwrap()
}

#[test]
fn dates_in_each_order() {
    for (order, text, iso) in [
        (DateOrder::Dmy, "16/12/2006", "2006-12-16"),
        (DateOrder::Dmy, "1/2/2007", "2007-02-01"),
        (DateOrder::Dmy, "1.12.2007", "2007-12-01"),
        (DateOrder::Dmy, "31-1-2007", "2007-01-31"),
        (DateOrder::Dmy, "1/1/07", "2007-01-01"),
        (DateOrder::Dmy, "14/1/70", "1970-01-14"),
        (DateOrder::Dmy, "14/11/69", "2069-11-14"),
        (DateOrder::Dmy, "2007-01-31", "2007-01-31"),
        (DateOrder::Mdy, "2007/1/31", "2007-01-31"),
        (DateOrder::Mdy, "12/16/2006", "2006-12-16"),
        (DateOrder::Mdy, "1,2,2007", "2007-01-02"),
        (DateOrder::Ymd, "2008-02-29", "2008-02-29"),
        (DateOrder::Ymd, " 07.1.2 ", "2007-01-02"),
        (DateOrder::Ymd, "9999/12/31", "9999-12-31"),
        (DateOrder::Ymd, "0001-01-01", "0001-01-01"),
    ] {
        assert_eq!(day(order, text).as_deref(), Ok(iso), "{text}");
    }
}

#[test]
fn what_is_no_date_is_refused_with_its_reason() {
    use TimeError::{NoSuchDay, NotDate};
    for (order, text, error) in [
        (DateOrder::Dmy, "30/2/2007", NoSuchDay),
        (DateOrder::Dmy, "29/02/2007", NoSuchDay),
        (DateOrder::Dmy, "29/02/1900", NoSuchDay),
        (DateOrder::Dmy, "12/16/2006", NoSuchDay),
        (DateOrder::Dmy, "0/1/2007", NoSuchDay),
        (DateOrder::Dmy, "1/0/2007", NoSuchDay),
        (DateOrder::Ymd, "0000-01-01", NoSuchDay),
        (DateOrder::Ymd, "2007-00-10", NoSuchDay),
        (DateOrder::Ymd, "2007-13-10", NoSuchDay),
        (DateOrder::Dmy, "", NotDate),
        (DateOrder::Dmy, "1/1", NotDate),
        (DateOrder::Dmy, "1/1/200", NotDate),
        (DateOrder::Dmy, "1/1/20071", NotDate),
        (DateOrder::Dmy, "1-1/2007", NotDate),
        (DateOrder::Dmy, "001/1/2007", NotDate),
        (DateOrder::Dmy, "1/1/2007x", NotDate),
        (DateOrder::Dmy, "1 1 2007", NotDate),
        (DateOrder::Dmy, "//2007", NotDate),
        (DateOrder::Ymd, "31/01/2007", NotDate),
        (DateOrder::Dmy, "-1/1/2007", NotDate),
        (DateOrder::Dmy, "1/1/+007", NotDate),
    ] {
        assert_eq!(day(order, text), Err(error), "{text}");
    }
}

#[test]
fn times_of_day() {
    for (text, us) in [
        ("17:24:00", 17 * HOUR + 24 * MINUTE),
        ("7:05", 7 * HOUR + 5 * MINUTE),
        ("7:5:9", 7 * HOUR + 5 * MINUTE + 9 * SECOND),
        ("00:00", 0),
        ("24:00", DAY),
        ("24:00:00.000", DAY),
        ("12:00 AM", 0),
        ("12:30pm", 12 * HOUR + 30 * MINUTE),
        ("1:00:00 Pm", 13 * HOUR),
        ("23:59:59.999999", DAY - 1),
        ("23:59:59,5", DAY - SECOND / 2),
        ("0:00:00.1234567", 123_456),
    ] {
        assert_eq!(time_of_day(text.as_bytes()), Ok(us), "{text}");
    }
}

#[test]
fn what_is_no_time_is_refused() {
    use TimeError::{NoSuchTime, NotTime};
    for (text, error) in [
        ("", NotTime),
        ("12", NotTime),
        ("12:", NotTime),
        (":12", NotTime),
        ("12:00:", NotTime),
        ("12:00:00.", NotTime),
        ("12:00 A", NotTime),
        ("12:00x", NotTime),
        ("12:00:00Z", NotTime),
        ("123:00", NotTime),
        ("25:00", NoSuchTime),
        ("24:01", NoSuchTime),
        ("24:00:01", NoSuchTime),
        ("12:60", NoSuchTime),
        ("23:59:60", NoSuchTime),
        ("13:00 PM", NoSuchTime),
        ("0:00 AM", NoSuchTime),
    ] {
        assert_eq!(time_of_day(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn stamps_with_and_without_offset() {
    let at = local("2007-01-31", "13:15");
    for (text, parsed) in [
        ("2007-01-31T13:15:00", Parsed::Local(at)),
        ("2007-01-31 13:15", Parsed::Local(at)),
        ("31/1/2007 1:15 PM", Parsed::Local(at)),
        ("31.01.07   13:15:00.000", Parsed::Local(at)),
        ("2007-01-31T13:15:00Z", Parsed::Utc(at)),
        ("2007-01-31T13:15:00.000000z", Parsed::Utc(at)),
        ("2007-01-31 14:15:00+01:00", Parsed::Utc(at)),
        ("2007-01-31 14:15:00 +01", Parsed::Utc(at)),
        ("2007-01-31T07:45:00-0530", Parsed::Utc(at)),
        (
            "2007-01-30T24:00",
            Parsed::Local(at - 13 * HOUR - 15 * MINUTE),
        ),
        ("31/01/2007", Parsed::Local(at - 13 * HOUR - 15 * MINUTE)),
    ] {
        assert_eq!(
            layout(DateOrder::Dmy).stamp(text.as_bytes()),
            Ok(parsed),
            "{text}"
        );
    }
}

#[test]
fn an_offset_leads_out_of_no_year() {
    let stamp = |text: &str| Layout::new(None).stamp(text.as_bytes());
    assert_eq!(
        stamp("9999-12-31T23:59:59.999999+00:00"),
        Ok(Parsed::Utc(LAST))
    );
    assert_eq!(stamp("0001-01-01T00:00:00+00:00"), Ok(Parsed::Utc(FIRST)));
    assert_eq!(
        stamp("9999-12-31T23:30:00-05:00"),
        Err(TimeError::NoSuchDay)
    );
    assert_eq!(
        stamp("0001-01-01T00:30:00+01:00"),
        Err(TimeError::NoSuchDay)
    );
}

#[test]
fn what_is_no_stamp_is_refused() {
    use TimeError::{BadOffset, NoSuchDay, NoSuchTime, NotDate, NotTime};
    for (text, error) in [
        ("2007-01-31T", NotTime),
        ("2007-01-31Tx", NotTime),
        ("2007-01-31x13:15", NotDate),
        ("2007-02-30T13:15", NoSuchDay),
        ("2007-01-31T25:15", NoSuchTime),
        ("2007-01-31T13:15 CET", NotTime),
        ("2007-01-31T13:15Zx", NotTime),
        ("2007-01-31T13:15+1", BadOffset),
        ("2007-01-31T13:15+01:0", BadOffset),
        ("2007-01-31T13:15+01:", BadOffset),
        ("2007-01-31T13:15+24", BadOffset),
        ("2007-01-31T13:15+01:60", BadOffset),
    ] {
        assert_eq!(
            layout(DateOrder::Ymd).stamp(text.as_bytes()),
            Err(error),
            "{text}"
        );
    }
}

/// Bytes that come close to dates and times.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(
        b"0123456789012345678901234567890123456789/-.,: TZ+apm\xff\0".to_vec(),
    );
    prop::collection::vec(byte, 0..30)
}

/// The general reader alone.
fn plain(order: DateOrder, text: &[u8]) -> Result<i64, TimeError> {
    layout(order).any_date(text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn fast_and_general_readers_agree_on_any_bytes(text in nearly()) {
        for order in ORDERS {
            prop_assert_eq!(layout(order).date(&text), plain(order, &text));
            prop_assert_eq!(layout(order).stamp(&text), layout(order).any_stamp(&text));
        }
        prop_assert_eq!(time_of_day(&text), any_time(&text));
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..40)) {
        for order in ORDERS {
            prop_assert_eq!(layout(order).date(&text), plain(order, &text));
            prop_assert_eq!(layout(order).stamp(&text), layout(order).any_stamp(&text));
        }
        prop_assert_eq!(time_of_day(&text), any_time(&text));
    }

    #[test]
    fn dates_come_back(
        days in -719_162_i64..2_932_896, mark in prop::sample::select(vec!['/', '-', '.', ',']), padded: bool,
    ) {
        let (year, month, day) = civil_from_days(days);
        for order in ORDERS {
            let (d, m) = if padded { (format!("{day:02}"), format!("{month:02}")) } else { (day.to_string(), month.to_string()) };
            let text = match order {
                DateOrder::Dmy => format!("{d}{mark}{m}{mark}{year:04}"),
                DateOrder::Mdy => format!("{m}{mark}{d}{mark}{year:04}"),
                DateOrder::Ymd => format!("{year:04}{mark}{m}{mark}{d}"),
            };
            prop_assert_eq!(layout(order).date(text.as_bytes()), Ok(days));
            prop_assert_eq!(plain(order, text.as_bytes()), Ok(days));
        }
    }

    #[test]
    fn short_years_come_back(days in 0_i64..36_524, padded: bool) {
        let (year, month, day) = civil_from_days(days);
        let year = year % 100;
        let text = if padded { format!("{day:02}.{month:02}.{year:02}") } else { format!("{day}.{month}.{year:02}") };
        prop_assert_eq!(layout(DateOrder::Dmy).date(text.as_bytes()), Ok(days));
    }

    #[test]
    fn times_come_back(us in 0..=DAY, offset in -1439_i64..1440) {
        let (hour, minute, second) = (us / HOUR, us % HOUR / MINUTE, us % MINUTE / SECOND);
        let text = format!("{hour:02}:{minute:02}:{second:02}.{:06}", us % SECOND);
        prop_assert_eq!(time_of_day(text.as_bytes()), Ok(us));
        let whole = format!("{hour}:{minute:02}:{second:02}");
        prop_assert_eq!(time_of_day(whole.as_bytes()), Ok(us - us % SECOND));
        let sign = if offset < 0 { '-' } else { '+' };
        let stamp = format!("2007-01-31T{text}{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
        let expected = local("2007-01-31", "00:00") + us - offset * MINUTE;
        prop_assert_eq!(Layout::new(None).stamp(stamp.as_bytes()), Ok(Parsed::Utc(expected)));
    }
}

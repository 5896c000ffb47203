//! A file in the layout of the household set of the UCI repository: `;`, CRLF, dates d/m/yyyy
//! not padded, three decimals, a missing row as six `?` and an empty seventh value.

use super::house::{House, Sample, mix, unit};
use crate::{Error, Kind, Result, runtime};
use chrono::{Datelike, NaiveDate};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Rows of the original: 47 months of minutes.
pub const UCI_ROWS: u64 = 2_075_259;

const HEADER: &[u8] = b"Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\r\n";

/// 2006-12-16 17:24, in minutes since 1970.
const FIRST: i64 = 13_498 * DAY + 17 * 60 + 24;

const DAY: i64 = 1440;

/// Rows made by one thread at a time.
const PIECE: u64 = 32 * 1024;

/// Writes `rows` minutes of one simulated household from 16/12/2006 17:24 on. The same seed gives the
/// same bytes on every machine.
pub fn write_uci(path: &Path, rows: u64, seed: u64) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(
            Kind::Endpoint,
            format!(
                "{} cannot be written ({e}); check the folder and the disk",
                path.display()
            ),
        )
        .because(e)
    };
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    out.write_all(HEADER).map_err(failed)?;
    let pool = runtime::pool()?;
    let pieces: Vec<u64> = (0..rows).step_by(PIECE as usize).collect();
    for group in pieces.chunks(4 * pool.current_num_threads()) {
        let texts: Vec<Vec<u8>> = pool.install(|| {
            group
                .par_iter()
                .map(|first| piece(*first, rows, seed))
                .collect()
        });
        for text in texts {
            out.write_all(&text).map_err(failed)?;
        }
    }
    out.flush().map_err(failed)
}

fn piece(first: u64, rows: u64, seed: u64) -> Vec<u8> {
    let mut house = House::new(mix(seed, 1));
    let mut out = Vec::with_capacity(PIECE as usize * 72);
    let mut day = (i64::MIN, Vec::new());
    for row in first..(first + PIECE).min(rows) {
        let minute = FIRST + row as i64;
        if day.0 != minute.div_euclid(DAY) {
            day = (minute.div_euclid(DAY), date(minute.div_euclid(DAY)));
        }
        out.extend_from_slice(&day.1);
        clock(&mut out, minute.rem_euclid(DAY));
        if missing(seed, minute) {
            out.extend_from_slice(b";?;?;?;?;?;?;\r\n");
        } else {
            values(&mut out, &house.sample(minute));
        }
    }
    out
}

/// A minute without a value now and then, and an outage of hours on some days.
fn missing(seed: u64, minute: i64) -> bool {
    let day = minute.div_euclid(DAY);
    let drawn = mix(seed ^ 0x0FF, day as u64);
    if unit(drawn) < 0.02 {
        let from = (mix(drawn, 1) % 1200) as i64;
        let length = 60 + (mix(drawn, 2) % 900) as i64;
        if (from..from + length).contains(&minute.rem_euclid(DAY)) {
            return true;
        }
    }
    unit(mix(seed ^ 0x1FF, minute as u64)) < 0.0003
}

fn date(day: i64) -> Vec<u8> {
    let date = NaiveDate::from_epoch_days(day as i32).unwrap_or_default();
    format!("{}/{}/{};", date.day(), date.month(), date.year()).into_bytes()
}

fn clock(out: &mut Vec<u8>, minute: i64) {
    let (h, m) = ((minute / 60) as u8, (minute % 60) as u8);
    out.extend_from_slice(&[
        b'0' + h / 10,
        b'0' + h % 10,
        b':',
        b'0' + m / 10,
        b'0' + m % 10,
    ]);
    out.extend_from_slice(b":00");
}

fn values(out: &mut Vec<u8>, sample: &Sample) {
    let [kitchen, laundry, climate] = sample.sub.map(|wh| wh * 1000);
    for milli in [
        sample.active,
        sample.reactive,
        sample.voltage,
        sample.current,
        kitchen,
        laundry,
        climate,
    ] {
        out.push(b';');
        decimal(out, milli.unsigned_abs());
    }
    out.extend_from_slice(b"\r\n");
}

/// A number of thousandths with three decimals.
fn decimal(out: &mut Vec<u8>, milli: u32) {
    let mut digits = [b'0'; 12];
    let (mut at, mut rest) = (digits.len(), milli);
    while rest > 0 || at > digits.len() - 5 {
        at -= 1;
        if at == digits.len() - 4 {
            digits[at] = b'.';
            continue;
        }
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let text = |n| {
            let mut out = Vec::new();
            decimal(&mut out, n);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [text(0), text(7), text(1000), text(234_840)],
            ["0.000", "0.007", "1.000", "234.840"]
        );
        assert_eq!(text(4_294_967_295), "4294967.295");
    }

    #[test]
    fn the_layout_and_the_seed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uci.txt");
        write_uci(&path, 100_000, 1).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 100_002);
        assert!(lines[1].starts_with("16/12/2006;17:24:00;"), "{}", lines[1]);
        assert!(
            lines[100_000].starts_with("24/2/2007;04:03:00;"),
            "{}",
            lines[100_000]
        );
        let without = lines
            .iter()
            .filter(|l| l.ends_with(";?;?;?;?;?;?;"))
            .count();
        assert!(
            (100..5_000).contains(&without),
            "{without} rows without values"
        );
        write_uci(&path, 100_000, 2).unwrap();
        assert_ne!(std::fs::read_to_string(&path).unwrap(), text);
        write_uci(&path, 40_000, 1).unwrap();
        assert!(text.starts_with(&std::fs::read_to_string(&path).unwrap()));
    }
}

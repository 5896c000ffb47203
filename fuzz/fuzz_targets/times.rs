//! Any bytes through the parsers of times, zones and grains: no panic, and windows that hold what they should.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wattline::schema::DateOrder;
use wattline::time::parse::{Layout, Parsed, time_of_day};
use wattline::time::{Calendar, Grain, Zone, duration};

const ZONES: [&str; 4] = ["UTC", "Europe/Paris", "Australia/Lord_Howe", "Pacific/Apia"];

fn window(grain: &str, zone: &str, at: i64) {
    let (Ok(grain), Ok(zone)) = (Grain::parse(grain), Zone::parse(zone)) else {
        return;
    };
    let (start, end) = Calendar::new(grain, zone).window(at);
    assert!(start <= at && at < end, "{grain}: {start} {at} {end}");
}

fuzz_target!(|data: &[u8]| {
    let half = data.len() / 2;
    for order in [None, Some(DateOrder::Dmy), Some(DateOrder::Mdy)] {
        let layout = Layout::new(order);
        let _ = layout.date(&data[..half]);
        let _ = time_of_day(&data[half..]);
        if let Ok(Parsed::Local(at) | Parsed::Utc(at)) = layout.stamp(data) {
            for zone in ZONES {
                window("1h", zone, at);
                window("1d", zone, at);
                window("1q@apr", zone, at);
            }
        }
    }
    let _ = time_of_day(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = duration::parse(text);
        let _ = Zone::parse(text);
        window(text, "Europe/Paris", 1_175_000_000_000_000);
    }
});

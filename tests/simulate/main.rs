//! `pipeline::task` under random histories: batch borders, disorder, duplicates, late rows, policies, idle clocks,
//! crashes at any effect, lost answers, zombies, slow followers, stops, grown sources, re-runs.
//!
//! `WATTLINE_HISTORIES` says how many (default a million); a failing seed is printed and replayed by `WATTLINE_SEED`.
//!
//! | part | is |
//! |---|---|
//! | `scenario` | what is read, and under which policies, from a seed |
//! | `world` | a home and sinks as plain maps, a clock, and everything that can go wrong |
//! | `model` | what must come out, computed in the plainest way; it shares no code with the engine |
//! | `check` | holds one against the other |

mod check;
mod model;
mod scenario;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use world::Broken;

fn histories() -> u64 {
    let told = std::env::var("WATTLINE_HISTORIES").ok();
    told.and_then(|v| v.parse().ok()).unwrap_or(1_000_000)
}

fn play(seed: u64, broken: Broken) -> Result<(), String> {
    match std::panic::catch_unwind(|| check::history(seed, broken)) {
        Ok(result) => result,
        Err(_) => Err("panicked".into()),
    }
}

/// Plays seeds on all cores; the first that fails, if one does.
fn hunt(from: u64, count: u64, broken: Broken) -> Option<(u64, String)> {
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let found = std::sync::Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(4, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    if let Err(why) = play(seed, broken) {
                        stop.store(true, Ordering::Relaxed);
                        found.lock().unwrap().get_or_insert((seed, why));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn random_histories_end_as_the_model_says() {
    if let Some(seed) = std::env::var("WATTLINE_SEED")
        .ok()
        .and_then(|v| v.parse().ok())
    {
        play(seed, Broken::Nothing).unwrap_or_else(|why| panic!("WATTLINE_SEED={seed}: {why}"));
        return;
    }
    if let Some((seed, why)) = hunt(0, histories(), Broken::Nothing) {
        panic!("replay with WATTLINE_SEED={seed}: {why}");
    }
}

#[test]
fn where_flushes_are_cut_shows_in_no_table() {
    let mut revised = 0;
    for seed in 0..300 {
        let tables = [1, 7, 10_000].map(|rows| check::cut(seed, rows).unwrap());
        assert!(tables.iter().all(|t| *t == tables[0]), "seed {seed}");
        revised += tables[0].values().filter(|w| w.revision > 1).count();
    }
    assert!(revised > 40, "{revised}");
}

/// A harness that passes broken engines proves nothing: each defect must be found within some thousand histories.
#[test]
fn deliberate_defects_are_found() {
    for broken in [
        Broken::EarlyPosition,
        Broken::NoEpoch,
        Broken::InPlace,
        Broken::Unfenced,
    ] {
        let found = hunt(0, 5_000, broken);
        let (seed, why) = found.unwrap_or_else(|| panic!("{broken:?} was not noticed"));
        println!("{broken:?}: seed {seed}: {why}");
    }
}

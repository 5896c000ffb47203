//! Holds what the stores show against what the model says.

use crate::model::{self, Outcome, Told};
use crate::scenario::{Dice, GRAINS, Scenario};
use crate::world::{Broken, End, Result, World};
use std::collections::{BTreeMap, BTreeSet};
use wattline::pipeline::policy::{OnConflict, OnLate};
use wattline::pipeline::task::Outcome as Ended;

/// One history from its seed.
pub fn history(seed: u64, broken: Broken) -> Result<()> {
    let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let s = Scenario::new(&mut dice);
    let lengths = s.lengths.clone();
    let mut w = World::new(s, dice, broken);
    let mut number = 0;
    let untils = w.s.untils.clone();
    for (length, until) in lengths.iter().zip(&untils) {
        run(&mut w, *length, &mut number, *until)?;
        compare(&w)?;
    }
    // Once more over the same rows: nothing changes.
    w.trouble = false;
    let (decides, head) = (w.decides, w.home.head.clone());
    let again = (lengths.last().copied(), untils.last().copied().flatten());
    run(&mut w, again.0.unwrap_or(0), &mut number, again.1)?;
    if w.decides != decides || w.home.head != head {
        return Err("a re-run decided something".into());
    }
    compare(&w)
}

/// The tables of a stream under corrections when flushes are cut at so many rows; nothing goes wrong.
pub fn cut(seed: u64, rows: usize) -> Result<Windows> {
    let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut s = Scenario::new(&mut dice);
    (s.bounded, s.on_late, s.on_conflict) = (false, OnLate::Correct, OnConflict::Keep);
    (s.idle, s.limits.rows, s.limits.interval) = (None, rows, i64::MAX);
    let length = s.rows.len();
    let mut w = World::new(s, dice, Broken::Nothing);
    (w.trouble, w.now) = (false, i64::MAX / 4);
    run(&mut w, length, &mut 0, None)?;
    compare(&w)?;
    Ok(w.stores.swap_remove(0).windows)
}

/// Runs until an owner gets to the end.
fn run(w: &mut World, length: usize, number: &mut u64, until: Option<i64>) -> Result<()> {
    for _ in 0..1000 {
        *number += 1;
        if w.attempt(length, *number, until)? == End::Done(Ended::Ended) {
            return Ok(());
        }
    }
    Err("no owner gets to the end".into())
}

fn compare(w: &World) -> Result<()> {
    let want = model::outcome(&w.s, &w.told);
    same(
        "rows decided",
        &decided(&w.told),
        &w.home.head.as_ref().map_or(0, at),
    )?;
    for (i, store) in w.stores.iter().enumerate() {
        let what = |t: &str| format!("{t} of sink {i}");
        if store.windows != want.windows {
            differ(&store.windows, &want.windows).map_err(|e| format!("sink {i}: {e}"))?;
        }
        same(
            &what("readings"),
            &once(store.kept.iter().copied())?,
            &want.kept,
        )?;
        same(
            &what("rejects"),
            &once(store.rejects.iter().copied())?,
            &want.rejects,
        )?;
        let mut aside = BTreeMap::new();
        for (row, reason, grains) in &store.aside {
            let conflict = reason.starts_with("conflict");
            if aside.insert(*row, (grains.clone(), conflict)).is_some() {
                return Err(format!("row {row} was put aside twice in sink {i}"));
            }
        }
        same(&what("late rows"), &aside, &want.aside)?;
    }
    books(w, &want)
}

/// Names the first window that differs.
fn differ(got: &Windows, want: &Windows) -> Result<()> {
    for key in got.keys().chain(want.keys()) {
        same(&format!("window {key:?}"), &got.get(key), &want.get(key))?;
    }
    Ok(())
}

pub type Windows = BTreeMap<(usize, usize, i64), model::Window>;

fn at(head: &wattline::flush::Head) -> usize {
    head.positions.first().map_or(0, |p| p.at as usize)
}

fn decided(told: &[Told]) -> usize {
    let last = |t: &Told| match t {
        Told::Rows { to, .. } => Some(*to),
        _ => None,
    };
    told.iter().rev().find_map(last).unwrap_or(0)
}

fn books(w: &World, want: &Outcome) -> Result<()> {
    let Some(head) = &w.home.head else {
        return same("readings", &want.readings, &0);
    };
    head.totals.balance().map_err(|e| e.to_string())?;
    same("readings", &head.totals.readings, &want.readings)?;
    same("rejected", &head.totals.rejected, &want.rejected)?;
    same("conflicts", &head.totals.conflicts, &want.conflicts)?;
    for (g, (name, _)) in GRAINS.iter().enumerate() {
        let b = &head.totals.grains[*name];
        let got = model::Books {
            windowed: b.windowed,
            late: b.late,
            null: b.null,
            dropped: b.dropped,
            duplicate: b.duplicate,
            corrected: b.corrected,
        };
        same(&format!("books of {name}"), &got, &want.books[g])?;
        same("pending", &b.pending, &0)?;
    }
    Ok(())
}

fn once(rows: impl Iterator<Item = usize>) -> Result<BTreeSet<usize>> {
    let mut set = BTreeSet::new();
    for row in rows {
        if !set.insert(row) {
            return Err(format!("row {row} was written twice"));
        }
    }
    Ok(set)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<()> {
    match got == want {
        true => Ok(()),
        false => Err(format!("{what}: got {got:?}, the model says {want:?}")),
    }
}

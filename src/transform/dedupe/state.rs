//! The saved form: what changed since the last save, or all of it.
//!
//! ```text
//! version u8 · ended u8 · floor i64 · names (u32 count, each u32 length + UTF-8)
//! · sensors (u32 count, each name u32, before i64, now i64) · readings (u64 count, each name u32, time i64, hash u128)
//! ```
//! Names are numbered within each record.

use super::{Dedupe, sensors::NEVER};
use crate::{Error, Kind, Result};
use hashbrown::HashMap;
use std::sync::Arc;

const VERSION: u8 = 1;

impl Dedupe {
    /// What changed since the last save.
    pub fn save_changes(&mut self) -> Vec<u8> {
        let sensors = std::mem::take(&mut self.sensors.moved);
        let floor = self.floor;
        let mut readings = std::mem::take(&mut self.fresh);
        readings.retain(|r| r.1 >= floor);
        let bytes = self.write(&sensors, &readings);
        self.sensors.moved = sensors;
        self.after_save();
        bytes
    }

    /// All of it.
    pub fn save_all(&mut self) -> Vec<u8> {
        self.forget(self.floor);
        let sensors: Vec<u32> = (0..self.sensors.names.len() as u32)
            .filter(|s| self.sensors.now[*s as usize] != NEVER)
            .collect();
        let mut readings: Vec<_> = self.seen.iter().map(|(k, h)| (k.0, k.1, *h)).collect();
        for (k, hashes) in &self.others {
            readings.extend(hashes.iter().map(|h| (k.0, k.1, *h)));
        }
        let bytes = self.write(&sensors, &readings);
        self.after_save();
        bytes
    }

    /// Takes in what `other` remembers of the sensors that `keeps` wants.
    pub fn take_part(&mut self, other: &Dedupe, keeps: &dyn Fn(&str) -> bool) -> Result<()> {
        let names = &other.sensors.names;
        let wanted: Vec<bool> = names.iter().map(|name| keeps(name)).collect();
        let wants = |s: u32| wanted.get(s as usize).copied().unwrap_or(false);
        let known = |s: &u32| wants(*s) && other.sensors.now[*s as usize] != NEVER;
        let sensors: Vec<u32> = (0..names.len() as u32).filter(known).collect();
        let seen = other.seen.iter().map(|(k, h)| (k.0, k.1, *h));
        let more = other.others.iter();
        let more = more.flat_map(|(k, hashes)| hashes.iter().map(|h| (k.0, k.1, *h)));
        let readings: Vec<_> = seen.chain(more).filter(|r| wants(r.0)).collect();
        self.restore(&other.write(&sensors, &readings))
    }

    fn after_save(&mut self) {
        self.sensors.saved();
        self.fresh.clear();
        self.ended = false;
    }

    fn write(&self, sensors: &[u32], readings: &[(u32, i64, u128)]) -> Vec<u8> {
        let mut names = Names::default();
        let mut body = Vec::with_capacity(32 * (sensors.len() + readings.len()));
        body.extend_from_slice(&(sensors.len() as u32).to_le_bytes());
        for s in sensors {
            body.extend_from_slice(&names.number(*s).to_le_bytes());
            body.extend_from_slice(&self.sensors.before[*s as usize].to_le_bytes());
            body.extend_from_slice(&self.sensors.now[*s as usize].to_le_bytes());
        }
        body.extend_from_slice(&(readings.len() as u64).to_le_bytes());
        for (s, time, hash) in readings {
            body.extend_from_slice(&names.number(*s).to_le_bytes());
            body.extend_from_slice(&time.to_le_bytes());
            body.extend_from_slice(&hash.to_le_bytes());
        }
        let mut out = vec![VERSION, u8::from(self.ended)];
        out.extend_from_slice(&self.floor.to_le_bytes());
        out.extend_from_slice(&(names.order.len() as u32).to_le_bytes());
        for s in &names.order {
            let name = self.sensors.names[*s as usize].as_bytes();
            out.extend_from_slice(&(name.len() as u32).to_le_bytes());
            out.extend_from_slice(name);
        }
        out.extend_from_slice(&body);
        out
    }

    /// Takes in one record; records come oldest first, the first is a whole one.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let mut input = Input(bytes);
        if input.take::<1>()? != [VERSION] {
            return Err(damaged());
        }
        let ended = input.take::<1>()? != [0];
        let floor = i64::from_le_bytes(input.take()?);
        let mut numbers = Vec::new();
        for _ in 0..u32::from_le_bytes(input.take()?) {
            let length = u32::from_le_bytes(input.take()?);
            let name = std::str::from_utf8(input.slice(length as usize)?).map_err(|_| damaged())?;
            numbers.push(self.sensors.number(&Arc::from(name)));
        }
        for _ in 0..u32::from_le_bytes(input.take()?) {
            let s = input.sensor(&numbers)?;
            self.sensors.before[s as usize] = i64::from_le_bytes(input.take()?);
            self.sensors.now[s as usize] = i64::from_le_bytes(input.take()?);
        }
        for _ in 0..u64::from_le_bytes(input.take()?) {
            let s = input.sensor(&numbers)?;
            let time = i64::from_le_bytes(input.take()?);
            self.meet((s, time), u128::from_le_bytes(input.take()?));
        }
        if !input.0.is_empty() {
            return Err(damaged());
        }
        self.floor = floor;
        if ended {
            self.end_read();
        }
        self.forget(self.floor);
        self.after_save();
        Ok(())
    }
}

#[derive(Default)]
struct Names {
    numbers: HashMap<u32, u32>,
    order: Vec<u32>,
}

impl Names {
    fn number(&mut self, sensor: u32) -> u32 {
        let next = self.order.len() as u32;
        let order = &mut self.order;
        *self.numbers.entry(sensor).or_insert_with(|| {
            order.push(sensor);
            next
        })
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn slice(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn sensor(&mut self, numbers: &[u32]) -> Result<u32> {
        let n = u32::from_le_bytes(self.take()?);
        numbers.get(n as usize).copied().ok_or_else(damaged)
    }
}

fn damaged() -> Error {
    Error::new(
        Kind::DataLost,
        "the stored state of duplicates is damaged; restore the store from a backup, or begin a new pipeline name",
    )
}

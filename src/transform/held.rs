//! Rows held back until no other of their instant can come: `on_conflict = last`.
//!
//! Of the readings of one sensor and time the last by position counts; earlier ones with other values are left out.
//! What is decided cannot be taken back, so in a bounded read rows wait until `low` has passed them.

use super::dedupe::hash;
use super::select;
use crate::Result;
use crate::schema::{Readings, SensorKeys};
use arrow_buffer::BooleanBuffer;
use hashbrown::HashMap;
use std::sync::Arc;

/// The rows that wait.
#[derive(Clone, Debug, Default)]
pub struct Held {
    waiting: Vec<Readings>,
}

/// Rows that wait no more, in order of position, and which of them a later one replaces.
#[derive(Debug)]
pub struct Released {
    /// The rows.
    pub readings: Readings,
    /// Set: a later row of the same sensor and time has other values.
    pub replaced: BooleanBuffer,
}

impl Held {
    /// Number of rows that wait.
    pub fn len(&self) -> usize {
        self.waiting.iter().map(Readings::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows that wait, in order of position.
    pub fn waiting(&self) -> &[Readings] {
        &self.waiting
    }

    /// Adds rows that come after those that wait.
    pub fn hold(&mut self, readings: Readings) {
        if !readings.is_empty() {
            self.waiting.push(readings);
        }
    }

    /// Lets the rows below `low` go.
    pub fn release(&mut self, low: i64) -> Result<Vec<Released>> {
        let mut gone = Vec::new();
        let mut stay = Vec::new();
        for batch in self.waiting.drain(..) {
            let below = BooleanBuffer::collect_bool(batch.len(), |i| batch.time[i] < low);
            match below.count_set_bits() {
                0 => stay.push(batch),
                n if n == batch.len() => gone.push(batch),
                _ => {
                    gone.push(select(&batch, &below)?);
                    stay.push(select(&batch, &!&below)?);
                }
            }
        }
        self.waiting = stay;
        Ok(settle(gone))
    }
}

fn settle(batches: Vec<Readings>) -> Vec<Released> {
    let mut last: HashMap<(Arc<str>, i64), u128> = HashMap::new();
    for batch in &batches {
        let count = super::ranges::keep(batch);
        for i in (0..batch.len()).filter(|i| count.as_ref().is_none_or(|c| c.value(*i))) {
            if let Some(hash) = hash(batch, i) {
                last.insert((sensor(batch, i), batch.time[i]), hash);
            }
        }
    }
    batches
        .into_iter()
        .map(|readings| {
            let count = super::ranges::keep(&readings);
            let replaced = BooleanBuffer::collect_bool(readings.len(), |i| {
                let counts = count.as_ref().is_none_or(|c| c.value(i));
                let key = (sensor(&readings, i), readings.time[i]);
                counts && hash(&readings, i).is_some_and(|h| last.get(&key) != Some(&h))
            });
            Released { readings, replaced }
        })
        .collect()
}

fn sensor(readings: &Readings, i: usize) -> Arc<str> {
    match &readings.sensors {
        SensorKeys::Constant(name) => name.clone(),
        SensorKeys::Coded { codes, names } => names[codes[i] as usize].clone(),
    }
}

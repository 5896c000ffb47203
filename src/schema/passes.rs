//! Passes: local times near a change of the clock, taken in file order and sensor by sensor.
//!
//! Rows may be decoded in any order; those whose instant is certain need no more. The others come
//! here in the order of the file, where each sensor's second pass of a repeated hour shows.

use crate::schema::SensorKeys;
use crate::time::Converter;
use std::collections::HashMap;
use std::sync::Arc;

/// The ordered step of `on_repeated = infer` over one stream of rows.
#[derive(Clone, Debug)]
pub struct Passes {
    converter: Converter,
    numbers: HashMap<Arc<str>, usize>,
}

impl Passes {
    /// With the policies of `converter`.
    pub fn new(converter: Converter) -> Self {
        Passes {
            converter,
            numbers: HashMap::new(),
        }
    }

    /// The instants of the next rows; `None` where a policy gives none. `sensors` has a key a row.
    pub fn settle(&mut self, locals: &[i64], sensors: &SensorKeys) -> Vec<Option<i64>> {
        let numbers = match sensors {
            SensorKeys::Constant(name) => vec![self.number(name)],
            SensorKeys::Coded { names, .. } => names.iter().map(|n| self.number(n)).collect(),
        };
        let number = |row: usize| match sensors {
            SensorKeys::Constant(_) => numbers.first(),
            SensorKeys::Coded { codes, .. } => numbers.get(*codes.get(row)? as usize),
        };
        let rows = locals.iter().enumerate();
        rows.map(|(row, local)| self.converter.convert(*local, *number(row)?).ok().flatten())
            .collect()
    }

    fn number(&mut self, sensor: &Arc<str>) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(sensor.clone()).or_insert(next)
    }
}

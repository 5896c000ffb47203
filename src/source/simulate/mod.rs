//! The simulator: seeded household load as a source, bounded (`start` to `end`) or as a live
//! stream, with gaps, late, duplicate and conflicting readings on request.
//!
//! Everything but the pace is a pure function of the options: a restarted run goes on exactly
//! where its position says. The position counts steps (`at`) and rows; the stream's name holds a hash
//! of the options and the start, so that a stream that began "now" keeps its beginning.
//! A clock is read in the reader only, to begin and to keep pace.
//!
//! | part | does |
//! |---|---|
//! | `house` | one household, minute by minute |
//! | `steps` | the readings of a range of steps, late and doubled ones in their places |
//! | `options` | the options, and their form as a URL |
//! | `reader` | batches: at full speed on the pool, or paced |
//! | `uci` | a file in the UCI layout |

mod house;
mod options;
mod reader;
mod steps;
mod uci;

pub use options::{Rate, Simulation};
pub use uci::{UCI_ROWS, write_uci};

use super::{Order, Prepare, Reader, Source};
use crate::flush::{Position, Positions, ReadPlan};
use crate::schema::{
    Column, ColumnType, Measure, Readings, Role, Schema, StepSpec, measures, preset,
};
use crate::{Error, Kind, Result, runtime};
use rayon::prelude::*;
use std::sync::Arc;
use steps::Course;

/// The simulator as a source.
pub struct Simulated {
    options: Simulation,
    until: Option<i64>,
    schema: Schema,
    measures: Arc<[Measure]>,
}

impl Simulated {
    /// A source of `options`; `until`: where an endless one stops in this run, µs UTC.
    pub fn new(options: Simulation, until: Option<i64>) -> Result<Simulated> {
        options.check()?;
        let schema = schema(&options)?;
        let measures = measures(&schema).into();
        Ok(Simulated {
            options,
            until,
            schema,
            measures,
        })
    }

    /// The source of a `sim://` URL.
    pub fn parse(url: &str, until: Option<i64>) -> Result<Simulated> {
        Simulated::new(Simulation::parse(url)?, until)
    }

    /// Its options.
    pub fn options(&self) -> &Simulation {
        &self.options
    }

    /// The name under which a later run knows its stream, where it begins anew now.
    pub fn name(&self) -> Result<String> {
        self.begin(&[]).map(|(start, _)| self.stream(start))
    }

    /// All readings at once, in the order in which they come. Errors: `Usage` where there is no end.
    pub fn readings(&self) -> Result<Vec<Readings>> {
        let (start, _) = self.begin(&[])?;
        let course = Course::new(&self.options, start, self.measures.clone())?;
        let steps = course.last(None, self.until).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                "a simulation without an end gives no table; say end, or run it as the source of a pipeline",
            )
        })?;
        let starts: Vec<u64> = (0..steps).step_by(course.batch() as usize).collect();
        let batch = |from: &u64| {
            course
                .make(*from, (from + course.batch()).min(steps))
                .readings
        };
        Ok(runtime::pool()?.install(|| starts.par_iter().map(batch).collect()))
    }

    /// Where the stream begins: as said, as its name says, or now.
    fn begin(&self, from: &[Position]) -> Result<(i64, u64)> {
        let own = format!("sim/{}/", self.options.fingerprint());
        let Some(position) = from.first() else {
            let now = chrono::Utc::now().timestamp_micros();
            let start = self
                .options
                .start
                .unwrap_or(now - now.rem_euclid(self.options.step));
            return Ok((start, 0));
        };
        let start = position
            .stream
            .strip_prefix(&own)
            .and_then(|s| s.parse().ok());
        let start: i64 = start.ok_or_else(|| {
            Error::new(
                Kind::DataLost,
                "the simulator's options differ from those the pipeline began with; set them back, or use another pipeline name",
            )
        })?;
        Ok((start, position.at))
    }

    fn stream(&self, start: i64) -> String {
        format!("sim/{}/{start}", self.options.fingerprint())
    }
}

/// The schema of simulated readings: that of the household, several of them.
fn schema(options: &Simulation) -> Result<Schema> {
    let mut schema = preset("household")?;
    schema
        .columns
        .retain(|c| c.role == Role::Measure || c.measure.is_some());
    let mut sensor = Column::new("sensor_id", ColumnType::Text);
    sensor.role = Role::Sensor;
    let mut time = Column::new("time", ColumnType::Timestamp);
    time.role = Role::Time;
    schema.columns.splice(0..0, [sensor, time]);
    schema.name = "simulated".into();
    schema.sensor_id = None;
    schema.time.columns = vec!["time".into()];
    schema.time.order = None;
    schema.step = StepSpec::Fixed(format!("{}us", options.step));
    schema.tz = Some(options.tz.clone());
    Ok(schema)
}

impl Source for Simulated {
    fn describe(&self) -> String {
        self.options.to_string()
    }

    fn measures(&self) -> Arc<[Measure]> {
        self.measures.clone()
    }

    fn bounded(&self) -> bool {
        self.options.end.is_some()
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn open(
        &self,
        _partition: u32,
        from: &Positions,
        read: Option<&ReadPlan>,
        order: Order,
        prepare: Prepare,
    ) -> Result<Box<dyn Reader>> {
        let (start, next) = self.begin(from)?;
        let planned = read.and_then(|r| r.extents.first()).map(|e| e.end);
        let course = Arc::new(Course::new(&self.options, start, self.measures.clone())?);
        let begun = reader::Begun {
            stream: self.stream(start),
            next,
            last: course.last(planned, self.until),
            plan: order == Order::Scanned && self.bounded(),
            bounded: self.bounded(),
        };
        reader::open(&self.options, course, begun, prepare)
    }
}

#[cfg(test)]
mod tests;

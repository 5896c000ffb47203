//! The plan: what is asked for, checked and compiled into a layout of words.
//!
//! A partial is a row of `stride` 64-bit words: a head common to all windows, then a cell for
//! each measure that holds only what its aggregates need.

use super::scan::Scale;
use crate::schema::{Aggregate, Measure, MeasureKind};
use crate::time::{Calendar, Grain, Zone, duration, ladder};
use crate::{Error, Kind, Result};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The length of the readings' intervals, as far as it is known before the first reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepKnown {
    /// Not known: `energy`, `expected` and `missing` are null.
    #[default]
    Unknown,
    /// The same for all readings, µs.
    Fixed(i64),
    /// Each reading brings its own.
    Rows,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct WindowSpec {
    /// The grains, in any order.
    pub grains: Vec<Grain>,
    /// The zone of their calendar.
    pub zone: Zone,
    /// The measures of the readings with the aggregates asked for; one with none is left out.
    pub measures: Arc<[Measure]>,
    /// The step.
    pub step: StepKnown,
    /// Keep final windows for corrections this long in event time, µs (`on_late = correct`).
    pub correct_for: Option<i64>,
}

/// What is asked for, compiled. Immutable; shared by all threads.
#[derive(Debug)]
pub struct Plan {
    pub(crate) grains: Vec<GrainPlan>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) stride: usize,
    pub(crate) step: StepKnown,
    pub(crate) slots: SlotGrid,
    pub(crate) correct_for: Option<i64>,
    pub(crate) measures: Arc<[Measure]>,
    schema: SchemaRef,
}

/// A grain of a plan.
#[derive(Debug)]
pub(crate) struct GrainPlan {
    pub name: String,
    pub calendar: Calendar,
    /// Index of the finer grain that feeds it.
    pub feeder: Option<usize>,
    /// Empty windows are written.
    pub gaps: bool,
}

/// How slots are numbered.
#[derive(Clone, Debug)]
pub(crate) struct SlotGrid {
    zone: Zone,
    /// Steps above an hour follow the wall clock: a day of 23 hours holds four of six hours.
    pub wall: bool,
}

/// Words at the beginning of each partial.
pub(crate) mod head {
    /// Sensor (low half) and revision (high half).
    pub const SENSOR: usize = 0;
    /// First instant of the window.
    pub const START: usize = 1;
    /// The instant after its last.
    pub const END: usize = 2;
    /// Rows with a value.
    pub const READINGS: usize = 3;
    /// Duplicates.
    pub const DUPLICATES: usize = 4;
    /// Rows of estimated quality.
    pub const ESTIMATED: usize = 5;
    /// Least time.
    pub const FIRST: usize = 6;
    /// Greatest time.
    pub const LAST: usize = 7;
    /// First filled slot, or the key of the set beside.
    pub const SLOT_FROM: usize = 8;
    /// The slot after the last filled one; equal to the first: none.
    pub const SLOT_TO: usize = 9;
    /// Flags of `rows::flag`.
    pub const FLAGS: usize = 10;
    /// Step of the readings: 0 none yet, -1 more than one.
    pub const STEP: usize = 11;
    /// Number of words.
    pub const WORDS: usize = 12;
}

/// Where the parts of a measure lie in a partial; 0: not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// The column of the readings.
    pub measure: usize,
    /// `10^digits` as float; 0 where the measure carries no digits.
    pub scale: f64,
    /// The same for the pass over values.
    pub by: Scale,
    /// The same as integer, 1 without digits.
    pub unit: u64,
    /// Count of values; the top bit says that the sums are wide.
    pub count: usize,
    /// Sum: one word scaled, three words binary.
    pub sum: usize,
    /// Sum of squares: three words.
    pub squares: usize,
    /// Sum of value × step where each reading brings its step: three words.
    pub energy: usize,
    pub min: usize,
    pub max: usize,
    /// Time and value.
    pub first: usize,
    /// Time and value.
    pub last: usize,
    /// Sum × this gives Wh: (numerator, denominator); for a fixed step the step is in it.
    pub watt_hours: (i64, u64),
    /// Whether the energy can be told.
    pub energy_known: bool,
    /// The aggregates in the order of their columns.
    pub aggregates: Vec<Aggregate>,
}

impl Cell {
    /// The first word of the sums, where a wide partial keeps its key.
    pub fn sums(&self) -> usize {
        [self.sum, self.squares, self.energy]
            .into_iter()
            .find(|w| *w > 0)
            .unwrap_or(0)
    }
}

impl Plan {
    /// Checks and compiles. Refused: no grain or measure, a grain finer than the step, the
    /// energy of a gauge, a unit that has no energy, registers.
    pub fn new(spec: &WindowSpec) -> Result<Plan> {
        let mut grains = spec.grains.clone();
        grains.sort();
        grains.dedup();
        check_grains(&grains, spec.step)?;
        let (cells, stride) = layout(spec)?;
        let feeders = ladder(&grains, &spec.zone);
        let plans = grains.iter().zip(feeders).map(|(grain, feeder)| GrainPlan {
            name: grain.to_string(),
            calendar: Calendar::new(*grain, spec.zone.clone()),
            feeder,
            gaps: grain.is_coarse(),
        });
        Ok(Plan {
            grains: plans.collect(),
            schema: table(&cells, &spec.measures),
            cells,
            stride,
            step: spec.step,
            slots: SlotGrid::new(&spec.zone, spec.step),
            correct_for: spec.correct_for,
            measures: spec.measures.clone(),
        })
    }

    /// Columns of a windows table.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Names of the grains, finest first; where a function takes a grain it is an index here.
    pub fn grains(&self) -> impl ExactSizeIterator<Item = &str> {
        self.grains.iter().map(|g| g.name.as_str())
    }

    /// The window of grain `grain` that holds instant `at`: first instant, and the one after the last.
    pub fn window(&self, grain: usize, at: i64) -> (i64, i64) {
        self.grains[grain].calendar.window(at)
    }

    /// Keep final windows this long for corrections, µs of event time.
    pub fn correct_for(&self) -> Option<i64> {
        self.correct_for
    }

    /// Names everything the stored partials depend on.
    pub(crate) fn signature(&self) -> String {
        let cells: Vec<String> = self
            .cells
            .iter()
            .map(|c| {
                let measure = &self.measures[c.measure];
                format!("{}:{:?}:{:?}", measure.name, measure.digits, c.aggregates)
            })
            .collect();
        format!(
            "{:?}|{}|{}",
            self.step,
            self.slots.zone.name(),
            cells.join(",")
        )
    }

    /// The same for a person.
    pub(crate) fn told(&self) -> String {
        let cells = self.cells.iter().map(|c| {
            let measure = &self.measures[c.measure];
            let digits = match measure.digits {
                Some(digits) => format!(" to {digits} digits"),
                None => String::new(),
            };
            let kept: Vec<String> = c.aggregates.iter().map(|a| format!("{a:?}")).collect();
            format!(
                "{}{digits} ({})",
                measure.name,
                kept.join(", ").to_lowercase()
            )
        });
        let step = match self.step {
            StepKnown::Unknown => "step unknown".to_string(),
            StepKnown::Fixed(us) => format!("step {}", duration::format(us)),
            StepKnown::Rows => "a step in each row".to_string(),
        };
        let cells: Vec<String> = cells.collect();
        format!(
            "{}; {step}; zone {}",
            cells.join(", "),
            self.slots.zone.name()
        )
    }
}

impl SlotGrid {
    fn new(zone: &Zone, step: StepKnown) -> Self {
        let wall = matches!(step, StepKnown::Fixed(step) if step > crate::time::HOUR);
        SlotGrid {
            zone: zone.clone(),
            wall,
        }
    }

    /// The slot that holds instant `at`. Steps up to an hour count elapsed time in phase with
    /// the local clock, longer ones the local clock itself.
    #[inline]
    pub fn slot(&self, at: i64, step: i64) -> i64 {
        let offset = self.zone.offset_at(at);
        let shift = if step > crate::time::HOUR {
            offset
        } else {
            offset.rem_euclid(step)
        };
        (at + shift).div_euclid(step)
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn check_grains(grains: &[Grain], step: StepKnown) -> Result<()> {
    let Some(finest) = grains.first() else {
        return Err(usage(
            "no grain was asked for; name at least one, such as \"1h\"".into(),
        ));
    };
    match step {
        StepKnown::Fixed(step) if step <= 0 => Err(usage(format!(
            "a step of {step} µs is no length; give one such as \"1min\""
        ))),
        StepKnown::Fixed(step) if step > longest(finest) => Err(usage(format!(
            "the grain {finest} is finer than the readings, whose step is {}; ask for a grain of at least that length",
            duration::format(step)
        ))),
        _ => Ok(()),
    }
}

/// The longest a window of the grain gets, clock changes and leap years included.
fn longest(grain: &Grain) -> i64 {
    let nominal = grain.nominal_us();
    match nominal {
        n if n < crate::time::DAY => n,
        n => n + n / 10,
    }
}

/// Places the cells; returns the number of words of a partial.
fn layout(spec: &WindowSpec) -> Result<(Vec<Cell>, usize)> {
    let mut at = head::WORDS;
    let mut cells = Vec::with_capacity(spec.measures.len());
    for (index, measure) in spec.measures.iter().enumerate() {
        if let Some(cell) = cell(spec, index, measure, &mut at)? {
            cells.push(cell);
        }
    }
    if let Some(register) = spec
        .measures
        .iter()
        .find(|m| m.kind == MeasureKind::Register)
        && cells.is_empty()
    {
        return Err(is_register(&register.name));
    }
    if cells.is_empty() {
        return Err(usage(
            "there is no measure to aggregate; give a column the role \"measure\", and ask for an aggregate that it has".into(),
        ));
    }
    Ok((cells, at))
}

fn cell(
    spec: &WindowSpec,
    index: usize,
    measure: &Measure,
    at: &mut usize,
) -> Result<Option<Cell>> {
    if measure.aggregates.is_empty() {
        return Ok(None);
    }
    let aggregates = aggregates(measure)?;
    let has = |any: &[Aggregate]| aggregates.iter().any(|a| any.contains(a));
    use Aggregate::{Energy, First, Last, Max, Mean, Min, Stddev, Sum};
    let digits = measure.digits.filter(|d| *d <= 15);
    // The energy of a power needs the step; that of an energy is its sum.
    let power = measure.kind == MeasureKind::Power;
    let rows = power && spec.step == StepKnown::Rows;
    let energy_known = !power || spec.step != StepKnown::Unknown;
    let sum = has(&[Sum, Mean, Stddev]) || (has(&[Energy]) && energy_known && !rows);
    let watt_hours = if has(&[Energy]) {
        watt_hours(measure, spec.step)?
    } else {
        (0, 1)
    };
    let mut take = |wanted: bool, words: usize| {
        let place = if wanted { *at } else { 0 };
        *at += if wanted { words } else { 0 };
        place
    };
    let scale = digits.map_or(0.0, |d| 10f64.powi(i32::from(d)));
    Ok(Some(Cell {
        measure: index,
        scale,
        by: Scale::new(scale),
        unit: digits.map_or(1, |d| 10u64.pow(u32::from(d))),
        count: take(true, 1),
        sum: take(sum, if digits.is_some() { 1 } else { 3 }),
        squares: take(has(&[Stddev]), 3),
        energy: take(has(&[Energy]) && rows, 3),
        min: take(has(&[Min]), 1),
        max: take(has(&[Max]), 1),
        first: take(has(&[First]), 2),
        last: take(has(&[Last]), 2),
        watt_hours,
        energy_known,
        aggregates,
    }))
}

fn is_register(name: &str) -> Error {
    usage(format!(
        "{name} is a register, a running total, whose differences windows do not take yet; declare it as \"energy\" \
         after differencing it, or as \"gauge\" to aggregate the meter's stand"
    ))
}

/// The aggregates of a measure, in the order of their columns, or why they cannot be.
fn aggregates(measure: &Measure) -> Result<Vec<Aggregate>> {
    let name = &measure.name;
    if measure.kind == MeasureKind::Register {
        return Err(is_register(name));
    }
    let mut list = measure.aggregates.clone();
    if measure.kind == MeasureKind::Gauge && list.contains(&Aggregate::Energy) {
        return Err(usage(format!(
            "{name} is a gauge and has no energy; declare it as \"power\" or \"energy\", or ask for its mean"
        )));
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// What turns a sum into Wh: the unit, and for a power the step.
fn watt_hours(measure: &Measure, step: StepKnown) -> Result<(i64, u64)> {
    let unit = measure.unit.as_deref().unwrap_or("");
    let power = measure.kind == MeasureKind::Power;
    let name = if power {
        unit
    } else {
        unit.strip_suffix('h').unwrap_or("?")
    };
    let (num, den): (i64, u64) = match name {
        "mW" => (1, 1000),
        "W" | "VA" | "var" => (1, 1),
        "kW" | "kVA" | "kvar" => (1000, 1),
        "MW" | "MVA" | "Mvar" => (1_000_000, 1),
        "GW" => (1_000_000_000, 1),
        _ => {
            return Err(usage(format!(
                "the energy of {} needs its unit, which is {unit:?}; declare one of {}",
                measure.name,
                if power { "W, kW, MW" } else { "Wh, kWh, MWh" }
            )));
        }
    };
    let time = match (power, step) {
        (false, _) | (_, StepKnown::Unknown) => return Ok((num, den)),
        (_, StepKnown::Fixed(step)) => step,
        (_, StepKnown::Rows) => 1,
    };
    let (top, bottom) = (
        num as i128 * time as i128,
        den as i128 * crate::time::HOUR as i128,
    );
    let common = num_integer::gcd(top, bottom);
    i64::try_from(top / common)
        .map(|top| (top, (bottom / common) as u64))
        .map_err(|_| {
            usage(format!(
                "the step of {} is too long for an energy",
                measure.name
            ))
        })
}

/// The table's columns.
fn table(cells: &[Cell], measures: &[Measure]) -> SchemaRef {
    let stamp = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let word = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields = vec![
        Field::new("sensor_id", word(), false),
        Field::new("grain", word(), false),
        Field::new("window_start", stamp(), false),
        Field::new("window_end", stamp(), false),
        Field::new("window_label", DataType::Utf8, false),
        Field::new("readings", DataType::Int64, false),
        Field::new("expected", DataType::Int64, true),
        Field::new("missing", DataType::Int64, true),
        Field::new("duplicates", DataType::Int64, false),
        Field::new("estimated", DataType::Int64, false),
        Field::new("first_reading", stamp(), true),
        Field::new("last_reading", stamp(), true),
        Field::new("revision", DataType::Int32, false),
        Field::new("final", DataType::Boolean, false),
    ];
    for cell in cells {
        for aggregate in &cell.aggregates {
            let (suffix, kind, null) = column(*aggregate);
            let name = format!("{}_{suffix}", measures[cell.measure].name);
            fields.push(Field::new(name, kind, null));
        }
    }
    Arc::new(Schema::new(fields))
}

/// Suffix, type and whether it may be null.
fn column(aggregate: Aggregate) -> (&'static str, DataType, bool) {
    let name = match aggregate {
        Aggregate::Count => return ("count", DataType::Int64, false),
        Aggregate::Sum => "sum",
        Aggregate::Mean => "mean",
        Aggregate::Min => "min",
        Aggregate::Max => "max",
        Aggregate::First => "first",
        Aggregate::Last => "last",
        Aggregate::Stddev => "stddev",
        Aggregate::Energy => "energy_wh",
    };
    (name, DataType::Float64, true)
}

//! Reading, writing and checking a declared schema: unknown keys are refused, and what cannot
//! be meant is one clear sentence.

use super::columns::{Column, ColumnType, Dialect, MeasureKind, Role, Schema, Stamp, StepSpec};
use super::names::plain_name;
use crate::time::{Zone, duration};
use crate::{Error, Kind, Result, wording};
use std::collections::BTreeSet;

/// Digits a scaled sum can carry.
const MOST_DIGITS: u8 = 9;

const ENCODINGS: [&str; 5] = ["utf-8", "utf-16", "utf-16le", "utf-16be", "cp1252"];

impl Column {
    /// A column of that name and type, and nothing else known of it.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Column {
        Column {
            name: name.into(),
            names: Vec::new(),
            kind,
            role: Role::Attribute,
            measure: None,
            unit: None,
            digits: None,
            min: None,
            max: None,
            wraps_at: None,
        }
    }

    /// Whether a header's `name` is one of this column's.
    pub fn answers_to(&self, name: &str) -> bool {
        let name = plain_name(name);
        if self.names.is_empty() {
            return plain_name(&self.name) == name;
        }
        self.names.iter().any(|n| plain_name(n) == name)
    }
}

impl Schema {
    /// Reads and checks a declaration in TOML.
    pub fn from_toml(text: &str) -> Result<Schema> {
        let schema: Schema = toml::from_str(text).map_err(|e| {
            let told = wording::toml_fault(text, &e);
            wrong(format!("the schema is not readable: {told}")).because(e)
        })?;
        schema.completed()
    }

    /// Reads and checks a declaration in JSON.
    pub fn from_json(text: &str) -> Result<Schema> {
        let schema: Schema = serde_json::from_str(text).map_err(|e| {
            let all = serde_json::from_str(text).ok();
            let fault = all.and_then(|all| wording::fault::<Schema>(&all));
            let told = fault.unwrap_or_else(|| e.to_string());
            wrong(format!("the schema is not readable: {told}")).because(e)
        })?;
        schema.completed()
    }

    /// The declaration as TOML, which [`Schema::from_toml`] reads back.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| {
            Error::new(
                Kind::Internal,
                format!("the schema could not be written: {e}"),
            )
            .because(e)
        })
    }

    /// Fills in what roles and lists say of each other, then checks.
    pub fn completed(mut self) -> Result<Schema> {
        for column in &mut self.columns {
            if column.role == Role::Attribute && column.measure.is_some() {
                column.role = Role::Measure;
            }
            if column.role == Role::Measure && column.measure.is_none() {
                column.measure = Some(MeasureKind::Gauge);
            }
        }
        self.complete_melt();
        if self.time.columns.is_empty() {
            let times = self.columns.iter().filter(|c| c.role == Role::Time);
            self.time.columns = times.map(|c| c.name.clone()).collect();
        }
        let quality = self.quality.as_ref().map(|q| &q.column);
        for column in &mut self.columns {
            let plain = column.role == Role::Attribute;
            if plain && self.time.columns.contains(&column.name) {
                column.role = Role::Time;
            } else if plain && quality == Some(&column.name) {
                column.role = Role::Quality;
            }
        }
        self.check()?;
        Ok(self)
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether the declaration can be meant; the error says what cannot, and what to do.
    pub fn check(&self) -> Result<()> {
        self.check_names()?;
        self.columns.iter().try_for_each(check_column)?;
        self.check_time()?;
        self.check_sensor()?;
        self.check_step()?;
        self.check_quality()?;
        self.check_melt()?;
        if let Some(melt) = &self.melt {
            check_column(&melt.value)?;
        }
        check_dialect(&self.dialect)?;
        if let Some(tz) = &self.tz {
            Zone::parse(tz).map_err(|e| wrong(e.message))?;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for column in self.columns.iter().filter(|c| c.role != Role::Ignore) {
            if column.name.is_empty() {
                return Err(wrong(
                    "a column has no name; name it, or give it role = \"ignore\"",
                ));
            }
            let own = [column.name.clone()];
            let names = if column.names.is_empty() {
                &own[..]
            } else {
                &column.names[..]
            };
            for name in names {
                if !seen.insert(plain_name(name)) {
                    return Err(wrong(format!(
                        "two columns answer to {name:?} (names are compared without case, spaces and underscores); rename one"
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_time(&self) -> Result<()> {
        let find = |name: &String| {
            self.column(name).ok_or_else(|| {
                wrong(format!(
                    "time names the column {name:?}, which is not declared; add it to columns"
                ))
            })
        };
        let columns = self
            .time
            .columns
            .iter()
            .map(find)
            .collect::<Result<Vec<_>>>()?;
        let kinds: Vec<&ColumnType> = columns.iter().map(|c| &c.kind).collect();
        use ColumnType::{Date, EpochMillis, EpochSeconds, Time, Timestamp};
        let fits = match kinds.as_slice() {
            [] | [Timestamp | Date | EpochSeconds | EpochMillis] => true,
            [first, second] => matches!((first, second), (Date, Time) | (Time, Date)),
            _ => false,
        };
        if !fits {
            return Err(wrong(format!(
                "the time cannot be made of {}; give one column of type timestamp, date or epoch, or a date and a time",
                self.time.columns.join(" and ")
            )));
        }
        let listed = |c: &&Column| c.role == Role::Time && !self.time.columns.contains(&c.name);
        match self.columns.iter().find(listed) {
            None => Ok(()),
            Some(column) => Err(wrong(format!(
                "column {:?} has the role time but time.columns does not list it; add it there or change its role",
                column.name
            ))),
        }
    }

    fn check_sensor(&self) -> Result<()> {
        let column = self.columns.iter().find(|c| c.role == Role::Sensor);
        match (column, &self.sensor_id) {
            (Some(column), Some(id)) => Err(wrong(format!(
                "the sensor is both the column {:?} and the constant {id:?}; keep one of them",
                column.name
            ))),
            _ => Ok(()),
        }
    }

    fn check_step(&self) -> Result<()> {
        match &self.step {
            StepSpec::Unknown if self.stamp == Stamp::End => Err(wrong(
                "stamp = \"end\" moves readings back by one step, and no step is given; add step, for example \"15min\"",
            )),
            StepSpec::Unknown => Ok(()),
            StepSpec::Fixed(text) => check_duration(text),
            StepSpec::BySensor { by_sensor } => {
                by_sensor.values().try_for_each(|t| check_duration(t))
            }
            StepSpec::Column { column } => match self.column(column).map(|c| &c.kind) {
                Some(ColumnType::Integer | ColumnType::Float) => Ok(()),
                Some(_) => Err(wrong(format!(
                    "the step column {column:?} holds no numbers; give it the type integer"
                ))),
                None => Err(wrong(format!(
                    "step names the column {column:?}, which is not declared; add it to columns"
                ))),
            },
        }
    }

    fn check_quality(&self) -> Result<()> {
        let Some(quality) = &self.quality else {
            return match self.columns.iter().find(|c| c.role == Role::Quality) {
                None => Ok(()),
                Some(column) => Err(wrong(format!(
                    "column {:?} has the role quality but nothing says what its values mean; add [quality] with values",
                    column.name
                ))),
            };
        };
        match self.column(&quality.column) {
            Some(_) => Ok(()),
            None => Err(wrong(format!(
                "quality names the column {:?}, which is not declared; add it to columns",
                quality.column
            ))),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Schema, message)
}

fn check_duration(text: &str) -> Result<()> {
    let length = duration::positive(text);
    length.map(drop).map_err(|e| wrong(format!("step: {e}")))
}

fn check_column(column: &Column) -> Result<()> {
    let name = &column.name;
    let number = matches!(column.kind, ColumnType::Integer | ColumnType::Float);
    if column.role == Role::Measure && !number {
        return Err(wrong(format!(
            "column {name:?} is a measure but holds no numbers; give it the type float, or another role"
        )));
    }
    if column.measure.is_some() && column.role != Role::Measure {
        return Err(wrong(format!(
            "column {name:?} has a kind of measure but another role; drop one of the two"
        )));
    }
    if column.digits.is_some_and(|d| d > MOST_DIGITS) {
        return Err(wrong(format!(
            "column {name:?}: digits can be at most {MOST_DIGITS}; leave it out for any number"
        )));
    }
    let bounds = [column.min, column.max, column.wraps_at];
    if bounds.iter().flatten().any(|b| !b.is_finite()) {
        return Err(wrong(format!(
            "column {name:?}: min, max and wraps_at must be finite numbers"
        )));
    }
    if (bounds[0].is_some() || bounds[1].is_some()) && !number {
        return Err(wrong(format!(
            "column {name:?} has a valid range but holds no numbers; drop min and max"
        )));
    }
    if column
        .min
        .zip(column.max)
        .is_some_and(|(min, max)| min > max)
    {
        return Err(wrong(format!(
            "column {name:?}: min is greater than max; exchange them"
        )));
    }
    let register = column.measure == Some(MeasureKind::Register);
    if column.wraps_at.is_some_and(|w| w <= 0.0 || !register) {
        return Err(wrong(format!(
            "column {name:?}: wraps_at is for registers and must be above 0; set measure = \"register\" or drop it"
        )));
    }
    Ok(())
}

fn check_dialect(dialect: &Dialect) -> Result<()> {
    let marks = [dialect.delimiter, dialect.quote, dialect.comment];
    let unfit =
        |c: &char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '\n' | '\r' | '\0');
    if let Some(mark) = marks.iter().flatten().find(|c| unfit(c)) {
        return Err(wrong(format!(
            "{mark:?} cannot be a delimiter, quote or comment mark; use one ASCII sign such as ; or ,"
        )));
    }
    let distinct = |a: Option<char>, b: Option<char>| a.is_none() || a != b;
    if !distinct(dialect.delimiter, dialect.quote) || !distinct(dialect.delimiter, dialect.comment)
    {
        return Err(wrong(
            "the delimiter is also the quote or the comment mark; change one of them",
        ));
    }
    if !matches!(dialect.decimal, '.' | ',') {
        return Err(wrong(format!(
            "{:?} cannot be the decimal mark; use . or ,",
            dialect.decimal
        )));
    }
    let decimal = Some(dialect.decimal);
    let quoteless = dialect.quote.is_none() && dialect.delimiter == decimal;
    if dialect.thousands == decimal || quoteless {
        return Err(wrong(
            "the decimal mark is also the delimiter or the thousands mark; change one of them",
        ));
    }
    if dialect.header_lines == 0 {
        return Err(wrong(
            "header_lines counts the lines of a header; say header = false where there is none",
        ));
    }
    if dialect.footer.iter().any(|f| f.trim().is_empty()) {
        return Err(wrong(
            "a footer is known by the text that its lines begin with; an empty one would be every line",
        ));
    }
    match &dialect.encoding {
        Some(name) if !ENCODINGS.contains(&name.to_ascii_lowercase().as_str()) => {
            Err(wrong(format!(
                "the encoding {name:?} is not read; it can be {}",
                ENCODINGS.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(extra: &str) -> String {
        format!(
            "{extra}\n[[columns]]\nname = \"at\"\ntype = \"timestamp\"\nrole = \"time\"\n[[columns]]\nname = \"power\"\ntype = \"float\"\nmeasure = \"power\"\nunit = \"kW\"\n"
        )
    }

    fn refused(text: &str, part: &str) {
        let error = Schema::from_toml(text).unwrap_err();
        assert_eq!(error.kind, Kind::Schema, "{error}");
        assert!(error.message.contains(part), "{error}");
    }

    #[test]
    fn a_declaration_is_completed_from_its_roles() {
        let schema = Schema::from_toml(&toml("step = \"15min\"")).unwrap();
        assert_eq!(schema.time.columns, ["at"]);
        assert_eq!(schema.column("power").unwrap().role, Role::Measure);
    }

    #[test]
    fn toml_and_json_come_back_the_same() {
        let mut schema = super::super::preset("household").unwrap();
        schema.dialect.quote = None;
        schema.dialect.delimiter = Some(';');
        for step in [StepSpec::Unknown, StepSpec::Fixed("1min".into())] {
            schema.step = step;
            assert_eq!(
                Schema::from_toml(&schema.to_toml().unwrap()).unwrap(),
                schema
            );
            let json = serde_json::to_string(&schema).unwrap();
            assert_eq!(Schema::from_json(&json).unwrap(), schema);
        }
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        refused(&toml("stepp = \"1min\""), "stepp");
        refused(&format!("{}unitt = \"V\"\n", toml("")), "unitt");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        refused(&toml("step = \"fast\""), "step");
        refused(&toml("stamp = \"end\""), "no step is given");
        refused(&toml("tz = \"Europe/Pariss\""), "Europe/Pari");
        refused(&toml("step = { column = \"len\" }"), "len");
        refused(&toml("[dialect]\ndelimiter = \"\\\"\""), "quote");
        refused(&toml("[dialect]\ndecimal = \";\""), "decimal");
        refused(&toml("[dialect]\nencoding = \"koi8\""), "koi8");
        refused(&toml("[quality]\ncolumn = \"q\""), "quality");
        refused(
            &format!("{}min = 3.0\nmax = 2.0\n", toml("")),
            "min is greater",
        );
        refused(&format!("{}wraps_at = 1000.0\n", toml("")), "registers");
        refused(&format!("{}digits = 12\n", toml("")), "digits");
        refused(
            &format!(
                "{}[[columns]]\nname = \"Po wer\"\ntype = \"text\"\n",
                toml("")
            ),
            "two columns",
        );
        refused(
            &toml("[time]\ncolumns = [\"power\"]"),
            "time cannot be made of",
        );
    }

    #[test]
    fn names_are_compared_without_case_spaces_and_underscores() {
        let column = Column::new("global_active_power", ColumnType::Float);
        assert!(column.answers_to("Global Active_POWER"));
        assert!(!column.answers_to("global_active_powers"));
    }
}

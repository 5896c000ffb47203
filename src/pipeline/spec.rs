//! The one definition of every option of a pipeline.
//!
//! In: a JSON dictionary from Python, TOML from the shell; unknown keys are refused by name.
//! Out: a [`Spec`]. The Python signature, the stub, the flags and the docs are compared with
//! this file by `tests/python/test_spec.py`.

use super::environment::{fill_environment, whole};
use super::policy::{OnConflict, OnDuplicate, OnLate, State};
use crate::reject::OnReject;
use crate::schema::{Aggregate, Schema};
use crate::sink::SinkSpec;
use crate::time::{Grain, OnMissing, OnRepeated, Zone};
use crate::{Error, Kind, Result, secret, wording};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// One text or a list of them.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a text or a list of texts is wanted for the source or the sensor"
)]
pub enum Texts {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Texts::Many(Vec::new())
    }
}

impl Texts {
    /// As a list.
    pub fn list(&self) -> Vec<String> {
        match self {
            Texts::One(one) => vec![one.clone()],
            Texts::Many(many) => many.clone(),
        }
    }

    /// As it may be seen: topics without their secrets.
    fn shown(&self) -> Texts {
        let shown = |text: &String| match text.starts_with("kafka://") {
            true => secret::masked(text),
            false => text.clone(),
        };
        match self {
            Texts::One(one) => Texts::One(shown(one)),
            Texts::Many(many) => Texts::Many(many.iter().map(shown).collect()),
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown() {
            Texts::One(one) => fmt::Debug::fmt(&one, f),
            Texts::Many(many) => fmt::Debug::fmt(&many, f),
        }
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let shown = match secret::keeps() {
            true => self.clone(),
            false => self.shown(),
        };
        match shown {
            Texts::One(one) => one.serialize(serializer),
            Texts::Many(many) => many.serialize(serializer),
        }
    }
}

/// What is known of the columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SchemaSpec {
    /// The name of a preset, or a path that ends in `.toml`.
    Named(String),
    /// Declared in place.
    Declared(Box<Schema>),
}

impl<'de> Deserialize<'de> for SchemaSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(SchemaVisitor)
    }
}

/// Not left to serde's untagged enums: they forget which key was wrong.
struct SchemaVisitor;

impl<'de> Visitor<'de> for SchemaVisitor {
    type Value = SchemaSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a preset, a path that ends in .toml, or the keys of a schema")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<SchemaSpec, E> {
        Ok(SchemaSpec::Named(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<SchemaSpec, A::Error> {
        let declared = Schema::deserialize(MapAccessDeserializer::new(map))?;
        Ok(SchemaSpec::Declared(Box::new(declared)))
    }
}

/// Which aggregates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "aggregates must be a list, or lists by measure, of count, sum, mean, min, max, first, last, stddev, energy"
)]
pub enum AggregatesSpec {
    /// These, for every measure that allows them.
    All(Vec<Aggregate>),
    /// By measure; measures not named are left out.
    By(BTreeMap<String, Vec<Aggregate>>),
}

/// Where messages go that cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "dlq is true, false, or the name of a topic")]
pub enum Dlq {
    /// To `<topic>.dlq`, or nowhere.
    Usual(bool),
    /// To this topic.
    Topic(String),
}

/// One definition of a pipeline. Durations are texts such as `30s`, `1h`, `1d`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Name: owns the head in the home; also in every table's metadata.
    pub name: String,
    /// Where readings come from: a path, a glob, `-`, a URL (`sim://`, `kafka://`), or several files as one
    /// dataset; files and then a topic (`cut`); empty where the data are handed over (a table, a reader).
    pub source: Texts,
    /// The columns; `None`: sniffed.
    pub schema: Option<SchemaSpec>,
    /// Column of the time, for handed tables without a schema.
    pub time: Option<String>,
    /// Column or columns of the sensor key, for handed tables without a schema.
    pub sensor: Option<Texts>,
    /// Columns to aggregate, for handed tables without a schema; `None`: every numeric one.
    pub measures: Option<Vec<String>>,
    /// Length of a reading's interval, over the schema's.
    pub step: Option<String>,
    /// Grains of the ladder.
    pub grains: Vec<Grain>,
    /// IANA zone of the windows; `None`: the schema's zone, else UTC.
    pub tz: Option<String>,
    /// Aggregates; `None`: by kind.
    pub aggregates: Option<AggregatesSpec>,
    /// How long a window waits for late readings (unbounded sources).
    pub lateness: String,
    /// Readings behind a final window.
    pub on_late: OnLate,
    /// How long final windows are kept for corrections, in event time.
    pub correct_for: Option<String>,
    /// Silence after which the watermark goes on with the clock; `None`: never.
    pub idle: Option<String>,
    /// How far past the clock a reading may lie (unbounded sources).
    pub ahead: String,
    /// Equal readings.
    pub on_duplicate: OnDuplicate,
    /// Readings of one sensor and time with other values.
    pub on_conflict: OnConflict,
    /// How much event time a stream looks back for duplicates.
    pub dedupe_for: String,
    /// Local times that occur twice.
    pub on_repeated: OnRepeated,
    /// Local times that do not exist.
    pub on_missing: OnMissing,
    /// Records that cannot be read.
    pub on_reject: OnReject,
    /// Greatest number of rejects under `collect` and `skip`.
    pub max_rejects: Option<u64>,
    /// Sinks; the first is the home.
    pub sinks: Vec<SinkSpec>,
    /// Time between flushes of a stream.
    pub flush_interval: String,
    /// Rows of effects after which a flush is made.
    pub flush_rows: usize,
    /// Folder for rows that wait on disk; `None`: the system's.
    pub spill_dir: Option<String>,
    /// Take over from an owner that seems alive.
    pub take_over: bool,
    /// Makes a stream without identity (standard input, an Arrow reader) repeatable.
    pub stream_name: Option<String>,
    /// Bytes of text that one thread decodes at a time.
    pub chunk_bytes: usize,
    /// A longer record ends the read; 16 MiB without it.
    pub max_line_bytes: Option<usize>,
    /// Rows that may wait in memory for their turn; a bounded read with more of them is put in time
    /// order on disk first.
    pub waiting_rows: usize,
    /// The file may grow: an unterminated last line is held back.
    pub may_grow: bool,
    /// Topics: whether each partition has its own head, or all have one.
    pub state: State,
    /// Topics: the consumer group that shares the partitions among runs; `None`: all are this run's.
    pub group: Option<String>,
    /// Topics: a fixed name of this run in the group, so that a restart moves no partition.
    pub instance: Option<String>,
    /// Topics: where the first run begins: `earliest`, `now`, or a time with its zone (record time).
    pub since: Option<String>,
    /// Files and then a topic: files give the readings before this instant, the topic the others.
    pub cut: Option<String>,
    /// Topics: messages that cannot be read go to this topic too.
    pub dlq: Option<Dlq>,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            name: String::new(),
            source: Texts::default(),
            schema: None,
            time: None,
            sensor: None,
            measures: None,
            step: None,
            grains: Vec::new(),
            tz: None,
            aggregates: None,
            lateness: "0s".into(),
            on_late: OnLate::Side,
            correct_for: None,
            idle: None,
            ahead: "1d".into(),
            on_duplicate: OnDuplicate::Once,
            on_conflict: OnConflict::Keep,
            dedupe_for: "1h".into(),
            on_repeated: OnRepeated::default(),
            on_missing: OnMissing::default(),
            on_reject: OnReject::Raise,
            max_rejects: None,
            sinks: Vec::new(),
            flush_interval: "1s".into(),
            flush_rows: 65_536,
            spill_dir: None,
            take_over: false,
            stream_name: None,
            chunk_bytes: 1 << 20,
            max_line_bytes: None,
            waiting_rows: 1 << 18,
            may_grow: false,
            state: State::default(),
            group: None,
            instance: None,
            since: None,
            cut: None,
            dlq: None,
        }
    }
}

impl Spec {
    /// Reads JSON; unknown keys and wrong types are refused by name.
    pub fn from_json(text: &str) -> Result<Spec> {
        let spec: Spec = serde_json::from_str(text)
            .map_err(|e| unread(serde_json::from_str(text).ok(), &e.to_string()))?;
        spec.checked()
    }

    /// Reads TOML. `${NAME}` in a text value is taken from the environment. Errors: `Usage` where it is no spec, or
    /// a secret was left out of it.
    pub fn from_toml(text: &str) -> Result<Spec> {
        Spec::from_toml_under(text, &[])
    }

    /// The same where the options `given` are told beside it and win: what it lacks in them is no fault.
    pub fn from_toml_under(text: &str, given: &[String]) -> Result<Spec> {
        let mut value: toml::Value =
            toml::from_str(text).map_err(|e| wrong(&wording::toml_fault(text, &e)))?;
        whole(&value, &mut Vec::new(), given)?;
        fill_environment(&mut value, &mut Vec::new())?;
        for name in ["grains", "sinks", "measures"] {
            as_list(&mut value, name);
        }
        let spec: Spec = match value.clone().try_into() {
            Ok(spec) => spec,
            Err(e) => return Err(unread(serde_json::to_value(&value).ok(), e.message())),
        };
        spec.checked()
    }

    /// JSON with every option, secrets among them: what a pipeline keeps of itself, never to be shown.
    pub fn to_json(&self) -> Result<String> {
        secret::kept(|| serde_json::to_string(self)).map_err(|e| wrong(&e.to_string()))
    }

    /// TOML with the options that differ from the defaults; a password stands in it by reference only.
    pub fn to_toml(&self) -> Result<String> {
        let mut all = json_of(self)?;
        let plain = json_of(&Spec::default())?;
        all.retain(|key, value| !value.is_null() && plain.get(key) != Some(value));
        toml::to_string_pretty(&drop_nulls(serde_json::Value::Object(all)))
            .map_err(|e| wrong(&e.to_string()))
    }

    /// The options that decide what the windows hold: a change of one is a change of the pipeline.
    pub fn identity(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        let mut all = json_of(self)?;
        let plain = json_of(&Spec::default())?;
        all.retain(|key, value| {
            IDENTITY.contains(&key.as_str())
                || (LATER.contains(&key.as_str()) && plain.get(key) != Some(value))
        });
        Ok(all)
    }

    /// Hex hash of [`Spec::identity`].
    pub fn fingerprint(&self) -> Result<String> {
        let text = serde_json::Value::Object(self.identity()?).to_string();
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    /// The names of the identity options that differ from a stored spec (JSON).
    pub fn differences(&self, stored: &str) -> Result<Vec<String>> {
        let ours = self.identity()?;
        let theirs: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(stored).map_err(|e| wrong(&e.to_string()))?;
        let changed = IDENTITY
            .iter()
            .chain(&LATER)
            .filter(|key| ours.get(**key) != theirs.get(**key));
        Ok(changed
            .map(|key| {
                format!(
                    "{key}: {} was {}",
                    shown(ours.get(*key)),
                    shown(theirs.get(*key))
                )
            })
            .collect())
    }

    fn checked(mut self) -> Result<Spec> {
        let mut seen = Vec::new();
        for grain in &self.grains {
            if seen.contains(&grain) {
                return Err(Error::new(
                    Kind::Usage,
                    format!("grain {grain} is named twice; name it once"),
                ));
            }
            seen.push(grain);
        }
        let durations = [
            ("lateness", Some(&self.lateness)),
            ("correct_for", self.correct_for.as_ref()),
            ("idle", self.idle.as_ref()),
            ("ahead", Some(&self.ahead)),
            ("dedupe_for", Some(&self.dedupe_for)),
            ("flush_interval", Some(&self.flush_interval)),
            ("step", self.step.as_ref()),
        ];
        for (key, text) in durations {
            text.map(|text| duration(key, text)).transpose()?;
        }
        if self.on_late == OnLate::Correct && self.correct_for.is_none() {
            return Err(Error::new(
                Kind::Usage,
                "on_late = correct needs correct_for, the event time for which final windows are kept; set it, for example to \"1d\"",
            ));
        }
        self.check_shares()?;
        self.check_letters()?;
        if let Some(tz) = &self.tz {
            Zone::parse(tz)?;
        }
        if self.flush_rows == 0 {
            return Err(Error::new(Kind::Usage, "flush_rows must be at least 1"));
        }
        Ok(self)
    }
}

impl Spec {
    /// Options of topics that say nothing without each other.
    fn check_shares(&self) -> Result<()> {
        if self.state == State::Shared && self.group.is_some() {
            return Err(Error::new(
                Kind::Usage,
                "state = shared gives all partitions to one run, so there is nothing for a group to share; leave group out",
            ));
        }
        if self.instance.is_some() && self.group.is_none() {
            return Err(Error::new(
                Kind::Usage,
                "instance names this run within a group; give the group too, or leave instance out",
            ));
        }
        Ok(())
    }

    /// Dead letters are kept: `raise`, the default, is `collect` then.
    fn check_letters(&mut self) -> Result<()> {
        if matches!(self.dlq, None | Some(Dlq::Usual(false))) {
            return Ok(());
        }
        match self.on_reject {
            OnReject::Raise => self.on_reject = OnReject::Collect,
            OnReject::Collect => {}
            OnReject::Skip => {
                return Err(Error::new(
                    Kind::Usage,
                    "dlq keeps the messages that on_reject = skip drops; leave one of them out",
                ));
            }
        }
        Ok(())
    }

    /// The URL of the topic that is read, if one is.
    pub(super) fn topic(&self) -> Option<String> {
        let named = self.source.list();
        named.into_iter().find(|s| s.starts_with("kafka://"))
    }

    /// The first option that is set and has a meaning for topics only.
    pub(super) fn of_topics(&self) -> Option<&'static str> {
        let set = [
            ("state", self.state != State::default()),
            ("group", self.group.is_some()),
            ("instance", self.instance.is_some()),
            ("since", self.since.is_some()),
            ("cut", self.cut.is_some()),
            ("dlq", self.dlq.is_some()),
        ];
        set.iter().find(|(_, set)| *set).map(|(name, _)| *name)
    }
}

/// Options that decide what the windows hold.
const IDENTITY: [&str; 19] = [
    "schema",
    "time",
    "sensor",
    "measures",
    "step",
    "grains",
    "tz",
    "aggregates",
    "lateness",
    "on_late",
    "correct_for",
    "idle",
    "ahead",
    "on_duplicate",
    "on_conflict",
    "dedupe_for",
    "on_repeated",
    "on_missing",
    "stream_name",
];

/// Those of the same kind that came later: stored definitions do not have them, so they stand there only where they are set.
const LATER: [&str; 2] = ["state", "cut"];

/// A duration option in microseconds; the error names the option.
pub fn duration(key: &str, text: &str) -> Result<i64> {
    crate::time::duration::parse(text).map_err(|e| Error::new(Kind::Usage, format!("{key}: {e}")))
}

fn wrong(what: &str) -> Error {
    let first = what
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    // JSON here was made by a program: its one line and its columns tell nobody anything.
    let told = first.rsplit_once(" at line 1 column ");
    let told = told.map_or(first.as_str(), |(told, _)| told);
    Error::new(
        Kind::Usage,
        format!(
            "the pipeline's definition cannot be read: {}",
            secret::redacted(told)
        ),
    )
}

/// A definition that is no spec: by its key, where that can be found.
fn unread(all: Option<serde_json::Value>, message: &str) -> Error {
    let fault = match all {
        Some(serde_json::Value::Object(all)) => wording::fault::<Spec>(&all),
        _ => None,
    };
    match fault {
        None => wrong(&wording::plain(message)),
        Some(told) if told.starts_with("there is no key \"columns\"") => Error::new(
            Kind::Usage,
            "this is the declaration of a schema, not of a pipeline: give it as schema (in the shell: the data file, and --schema)",
        ),
        Some(told) if told.starts_with("there is no key \"pipeline\"") => Error::new(
            Kind::Usage,
            "the options of a pipeline stand at the top of its definition, under no [pipeline]; take that line out",
        ),
        Some(told) if told.starts_with("the") => Error::new(
            Kind::Usage,
            format!("the pipeline's definition: {}", secret::redacted(&told)),
        ),
        Some(told) => Error::new(Kind::Usage, secret::redacted(&told)),
    }
}

fn json_of(spec: &Spec) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(spec).map_err(|e| wrong(&e.to_string()))? {
        serde_json::Value::Object(map) => Ok(map),
        _ => Err(Error::new(
            Kind::Internal,
            "a spec did not become a dictionary; please report it",
        )),
    }
}

fn shown(value: Option<&serde_json::Value>) -> String {
    value.map_or_else(|| "unset".into(), ToString::to_string)
}

/// TOML has no null: options that are null are left out at every depth.
fn drop_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => serde_json::Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, drop_nulls(v)))
                .collect(),
        ),
        serde_json::Value::Array(items) => {
            serde_json::Value::Array(items.into_iter().map(drop_nulls).collect())
        }
        other => other,
    }
}

/// What may be one thing or a list of them is a list, as in Python.
fn as_list(value: &mut toml::Value, name: &str) {
    if let Some(one) = value.get_mut(name).filter(|v| !v.is_array()) {
        *one = toml::Value::Array(vec![one.clone()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = Spec::from_json(r#"{"name": "x", "grain": ["1h"]}"#).unwrap_err();
        assert_eq!(
            error.message,
            "the pipeline's definition: there is no key \"grain\"; did you mean \"grains\"?"
        );
        assert_eq!(error.kind, Kind::Usage);
    }

    #[test]
    fn toml_round_trip_keeps_what_differs() {
        let spec = Spec::from_toml(
            "name = \"x\"\nsource = \"a.csv\"\ngrains = [\"1h\", \"1d\"]\nlateness = \"30s\"\n",
        )
        .unwrap();
        let text = spec.to_toml().unwrap();
        assert!(!text.contains("dedupe_for"), "{text}");
        assert_eq!(Spec::from_toml(&text).unwrap(), spec);
    }

    #[test]
    fn the_environment_fills_texts_and_a_missing_name_is_an_error() {
        let path = std::env::var("PATH").unwrap();
        let spec = Spec::from_toml("name = \"${PATH}\"\nsource = \"a\"").unwrap();
        assert_eq!(spec.name, path);
        let error = Spec::from_toml("name = \"${WATTLINE_NO_SUCH_NAME}\"").unwrap_err();
        assert!(error.message.contains("name asks for"), "{error}");
    }

    #[test]
    fn passwords_stay_by_reference_and_out_of_the_text() {
        let text = "name = \"x\"\n[[sinks]]\nendpoint = \"postgresql://${USER_OF_TEST}:${NO_SUCH_NAME}@h/d\"\n";
        let text = text.replace("${USER_OF_TEST}", "me");
        let spec = Spec::from_toml(&text).unwrap();
        assert!(spec.to_toml().unwrap().contains("${NO_SUCH_NAME}"));
        let plain = Spec::from_toml(&text.replace("${NO_SUCH_NAME}", "pw")).unwrap();
        assert!(!plain.to_toml().unwrap().contains("pw"), "{plain:?}");
        assert!(!format!("{plain:?}").contains("pw"), "{plain:?}");
    }

    #[test]
    fn stars_are_no_secret() {
        for text in [
            "sinks = \"postgresql://me:pw@h/d\"",
            "source = \"kafka://h/t?user=me&password=pw\"",
        ] {
            let spec = Spec::from_toml(&format!("name = \"x\"\n{text}")).unwrap();
            let written = spec.to_toml().unwrap();
            let error = Spec::from_toml(&written).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains("write ${NAME}"), "{error}");
            let given = ["sinks".to_string(), "source".to_string()];
            assert!(Spec::from_toml_under(&written, &given).is_ok());
        }
    }

    #[test]
    fn the_password_of_a_topic_that_is_read_is_kept_and_not_shown() {
        let url = "kafka://h:1/t?user=me&password=hunter2";
        for source in [format!("{url:?}"), format!("[\"a.csv\", {url:?}]")] {
            let json = format!("{{\"name\": \"x\", \"source\": {source}}}");
            let spec = Spec::from_json(&json).unwrap();
            let shown = format!(
                "{}{spec:?}{}",
                spec.to_toml().unwrap(),
                serde_json::to_string(&spec).unwrap()
            );
            assert!(
                !shown.contains("hunter2") && shown.contains("user=me&password=***"),
                "{shown}"
            );
            assert_eq!(Spec::from_json(&spec.to_json().unwrap()).unwrap(), spec);
        }
        let error =
            Spec::from_json(&format!("{{\"name\": \"x\", \"state\": {url:?}}}")).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
        let named = "name = \"x\"\nsource = \"kafka://${USER}h/t?password=${NO_SUCH_NAME}&ca=b\"\n";
        let named = Spec::from_toml(&named.replace("${USER}", "")).unwrap();
        assert_eq!(
            named.source.list(),
            ["kafka://h/t?password=${NO_SUCH_NAME}&ca=b"]
        );
        assert_eq!(Spec::from_toml(&named.to_toml().unwrap()).unwrap(), named);
    }

    #[test]
    fn the_fingerprint_follows_the_windows_only() {
        let spec = Spec::from_json(r#"{"name": "x", "grains": ["1h"]}"#).unwrap();
        let knob = Spec {
            flush_rows: 7,
            ..spec.clone()
        };
        let other = Spec {
            lateness: "1s".into(),
            ..spec.clone()
        };
        assert_eq!(spec.fingerprint().unwrap(), knob.fingerprint().unwrap());
        let stored = serde_json::Value::Object(spec.identity().unwrap()).to_string();
        assert_eq!(
            other.differences(&stored).unwrap(),
            ["lateness: \"1s\" was \"0s\""]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_by_name_and_without_secrets() {
        let told = |toml: &str| Spec::from_toml(toml).unwrap_err().message;
        let secret = told("name = \"x\"\nsinks = [5, \"kafka://me:hidden@host/t\"]");
        assert!(!secret.contains("hidden"), "{secret}");
        let secret = told("name = \"x\"\non_late = \"kafka://me:hidden@host/t\"");
        assert!(
            secret.contains("***@host/t") && !secret.contains("hidden"),
            "{secret}"
        );
        let schema = told("schema = { columns = [{ name = \"a\", type = \"float\", unti = 1 }] }");
        assert_eq!(
            schema,
            "schema: there is no key \"unti\"; did you mean \"unit\"?"
        );
        let late = told("name = \"x\"\non_late = \"corect\"");
        assert_eq!(
            late,
            "on_late: \"corect\" is none of side, drop, correct; did you mean \"correct\"?"
        );
        let rows = told("name = \"x\"\nflush_rows = \"many\"");
        assert_eq!(rows, "flush_rows: \"many\" is not a whole number from 0 on");
        let schema = told("[[columns]]\nname = \"at\"\ntype = \"date\"\n");
        assert!(schema.contains("declaration of a schema"), "{schema}");
        let step = told("schema = { columns = [], step = { by_sensr = {} } }");
        assert!(step.contains("step is a length such as"), "{step}");
        let line = told("name = \"x\"\n\ntz =\n");
        assert!(line.contains("read: line 3: "), "{line}");
        let aggregates = told("aggregates = [\"median\"]");
        assert!(aggregates.contains("stddev"), "{aggregates}");
    }

    #[test]
    fn a_bare_url_or_path_is_a_sink_for_windows() {
        let spec = Spec::from_toml("name = \"x\"\nsinks = [\"out.db\"]").unwrap();
        let long = "name = \"x\"\n[[sinks]]\nendpoint = \"out.db\"\nwhat = \"windows\"";
        assert_eq!(spec, Spec::from_toml(long).unwrap());
        let short = "name = \"x\"\nsinks = \"out.db\"\ngrains = \"1h\"\nmeasures = \"kw\"";
        let spec = Spec::from_toml(short).unwrap();
        assert_eq!((spec.sinks.len(), spec.grains.len()), (1, 1));
        assert_eq!(spec.measures, Some(vec!["kw".to_string()]));
    }

    #[test]
    fn a_wrong_duration_names_its_option() {
        let error = Spec::from_json(r#"{"name": "x", "idle": "soon"}"#).unwrap_err();
        assert!(error.message.starts_with("idle"), "{error}");
    }
}

//! A folder of Parquet files, on a disk or in a bucket of S3, and how it is written.

use super::url;
use crate::secret::Secret;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

const SCHEME: &str = "s3://";
/// Bytes of a prefix: what stands behind it is shorter than 300.
const LONGEST: usize = 700;
const DAY: Duration = Duration::from_secs(86_400);

/// A folder of Parquet files and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parquet {
    /// The folder, made if it is not there; or `s3://bucket/prefix`.
    pub path: PathBuf,
    /// A folder a date, month or year inside each grain's folder.
    #[serde(default)]
    pub partition_by: Option<PartitionBy>,
    /// What happens to a final window that is corrected.
    #[serde(default)]
    pub revisions: Revisions,
    /// zstd level, 1 to 22.
    #[serde(default = "one")]
    pub level: i32,
    /// A file is closed at this many waiting rows.
    #[serde(default = "roll_rows")]
    pub roll_rows: u64,
    /// Files are closed at this many waiting bytes, counted in memory, of all partitions together.
    #[serde(default = "roll_bytes")]
    pub roll_bytes: u64,
    /// A file is closed when its first row has waited this many seconds.
    #[serde(default = "roll_seconds")]
    pub roll_seconds: f64,
    /// Files, folders and manifests reach the disk before a flush counts as decided. Objects always do.
    #[serde(default = "yes")]
    pub durable: bool,
    /// S3: its region; by default the environment's `AWS_REGION`, then `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// S3: the URL of one that is not Amazon's; by default the environment's `AWS_ENDPOINT_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// S3: the key's name; by default the environment's `AWS_ACCESS_KEY_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// S3: the key, best as `${NAME}`; by default the environment's `AWS_SECRET_ACCESS_KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// S3: what comes with a key for a while; by default the environment's `AWS_SESSION_TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
    /// S3: an endpoint elsewhere may be reached without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_http: Option<bool>,
    /// S3: seconds after which a silent owner is taken for dead; 10 unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<f64>,
    /// S3: seconds for which a request is tried again; 60 unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_for: Option<f64>,
}

fn one() -> i32 {
    1
}
fn roll_rows() -> u64 {
    1_000_000
}
fn roll_bytes() -> u64 {
    40 << 20
}
fn roll_seconds() -> f64 {
    600.0
}
fn yes() -> bool {
    true
}

/// Folders inside a grain's folder, by the local date of `window_start` (or `time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// `date=2007-01-31`.
    Date,
    /// `month=2007-01`.
    Month,
    /// `year=2007`.
    Year,
}

/// What a Parquet folder does with a correction to a final window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revisions {
    /// Refused: files are written once.
    #[default]
    Refuse,
    /// Appended: the row with the greatest `revision` is the newest.
    Append,
}

impl Parquet {
    /// `path` with every default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Parquet {
            path: path.into(),
            partition_by: None,
            revisions: Revisions::default(),
            level: one(),
            roll_rows: roll_rows(),
            roll_bytes: roll_bytes(),
            roll_seconds: roll_seconds(),
            durable: yes(),
            region: None,
            endpoint: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            allow_http: None,
            lease: None,
            retry_for: None,
        }
    }

    /// Reads what follows `s3://`. Errors: `Usage`; they never show a secret.
    pub fn parse(rest: &str) -> Result<Self> {
        let url = url::parse("s3", rest)?;
        if url.user.is_some() || url.password.is_some() {
            return Err(usage(
                "an s3:// URL has nothing before an @; keys are access_key_id= and secret_access_key=, or in the environment".into(),
            ));
        }
        let mut made = Parquet::new(format!("{SCHEME}{}/{}", url.hosts, url.path));
        for (key, value) in url.query {
            made.set(&key, value)?;
        }
        made.checked()
    }

    fn set(&mut self, key: &str, value: String) -> Result<()> {
        match key {
            "region" => self.region = Some(value),
            "endpoint" => self.endpoint = Some(value),
            "access_key_id" => self.access_key_id = Some(value),
            "secret_access_key" => self.secret_access_key = Some(Secret::new(value)),
            "session_token" => self.session_token = Some(Secret::new(value)),
            "allow_http" => self.allow_http = Some(matches!(value.as_str(), "" | "true" | "1")),
            "lease" => self.lease = Some(seconds(key, &value)?),
            "retry_for" => self.retry_for = Some(seconds(key, &value)?),
            _ => {
                return Err(usage(format!(
                    "an s3:// URL has no option {key:?}; there are region, endpoint, access_key_id, secret_access_key, session_token, allow_http, lease, retry_for, table; those of the files are keys of a table with type = \"parquet\""
                )));
            }
        }
        Ok(())
    }

    /// The same with its place written in one way. Errors: `Usage` for no bucket's name, and for options of S3 on a disk.
    pub(super) fn checked(mut self) -> Result<Self> {
        self.spans()?;
        let text = self.path.to_str().unwrap_or_default();
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return match (text.starts_with("s3:/"), self.of_s3()) {
                (true, _) => Err(usage(format!(
                    "{text:?} has lost a /; write s3://bucket/prefix as text, not as a path"
                ))),
                (_, Some(name)) => Err(usage(format!(
                    "{name}= is for s3://bucket/prefix, and {text:?} is a folder; leave it out"
                ))),
                _ => Ok(self),
            };
        };
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let bucket = parts.first().filter(|name| name.chars().all(fits));
        if bucket.is_none() || rest.starts_with('/') || rest.contains('?') {
            return Err(usage(format!(
                "{:?} names no bucket; write s3://bucket/prefix, options behind a ? in a URL alone",
                crate::secret::masked(text)
            )));
        }
        let odd = |part: &&str| matches!(*part, "." | "..") || part.contains(char::is_control);
        if parts.iter().any(odd) {
            return Err(usage(format!("{text:?} is no place in a bucket; name one")));
        }
        let length = parts
            .iter()
            .skip(1)
            .map(|part| part.len() + 1)
            .sum::<usize>();
        if length > LONGEST {
            return Err(usage(format!(
                "the place in the bucket {:?} has {length} bytes, and the names of files come behind it; S3 takes 1024 in all: give {LONGEST} at most",
                parts.first().unwrap_or(&"")
            )));
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err(usage(
                "access_key_id= and secret_access_key= go together; give both, or none and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
            ));
        }
        self.path = format!("{SCHEME}{}", parts.join("/")).into();
        Ok(self)
    }

    /// Refuses seconds that are none.
    fn spans(&self) -> Result<()> {
        let odd = |name: &str, given: f64, due: &str| {
            Err(usage(format!(
                "{name}={given} is no span of time; give {due} seconds"
            )))
        };
        match (self.lease, self.retry_for) {
            (Some(s), _) if !s.is_finite() || s <= 0.0 => odd("lease", s, "more than 0"),
            (_, Some(s)) if !s.is_finite() || s < 0.0 => odd("retry_for", s, "0 or more"),
            // For ever is a choice: then files roll by rows, bytes and at the end.
            _ if self.roll_seconds.is_nan() || self.roll_seconds < 0.0 => {
                odd("roll_seconds", self.roll_seconds, "0 or more")
            }
            _ => Ok(()),
        }
    }

    /// The first option that is told and is for S3 alone.
    fn of_s3(&self) -> Option<&'static str> {
        let told = [
            ("region", self.region.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("session_token", self.session_token.is_some()),
            ("allow_http", self.allow_http.is_some()),
            ("lease", self.lease.is_some()),
            ("retry_for", self.retry_for.is_some()),
        ];
        told.into_iter().find(|(_, told)| *told).map(|(n, _)| n)
    }

    /// The bucket, where the place is in one.
    pub fn bucket(&self) -> Option<&str> {
        let rest = self.path.to_str()?.strip_prefix(SCHEME)?;
        Some(rest.split_once('/').map_or(rest, |(bucket, _)| bucket))
    }

    /// Where in the bucket; empty for all of it.
    pub fn prefix(&self) -> &str {
        let text = self.path.to_str().and_then(|t| t.strip_prefix(SCHEME));
        let prefix = text.and_then(|t| t.split_once('/'));
        prefix.map_or("", |(_, prefix)| prefix)
    }

    /// How long a silent owner is not taken for dead.
    pub fn lease(&self) -> Duration {
        span(self.lease, 10.0).clamp(Duration::from_millis(100), DAY)
    }

    /// How long a request is tried again.
    pub fn retry_for(&self) -> Duration {
        span(self.retry_for, 60.0).min(DAY)
    }
}

/// So many seconds; those of an endpoint that was made by hand may be none.
fn span(told: Option<f64>, otherwise: f64) -> Duration {
    Duration::try_from_secs_f64(told.unwrap_or(otherwise)).unwrap_or_default()
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn seconds(key: &str, value: &str) -> Result<f64> {
    value
        .parse()
        .map_err(|_| usage(format!("{key}={value:?} is no number of seconds")))
}

impl fmt::Display for Parquet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bucket() {
            Some(_) => write!(f, "{}", self.path.display()),
            None => write!(f, "parquet://{}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_bucket_says_it_all_and_shows_no_secret() {
        let text = "lake//power/2007/?region=eu-central-1&endpoint=https://s3.example:9000&access_key_id=me&secret_access_key=pw&lease=3&retry_for=5&allow_http";
        let at = Parquet::parse(text).unwrap();
        assert_eq!(at.path.to_str(), Some("s3://lake/power/2007"));
        assert_eq!((at.bucket(), at.prefix()), (Some("lake"), "power/2007"));
        assert_eq!(at.endpoint.as_deref(), Some("https://s3.example:9000"));
        assert_eq!(
            (at.lease(), at.retry_for()),
            (Duration::from_secs(3), Duration::from_secs(5))
        );
        assert_eq!(
            (at.region.as_deref(), at.allow_http),
            (Some("eu-central-1"), Some(true))
        );
        assert_eq!(at.to_string(), "s3://lake/power/2007");
        assert!(!format!("{at:?}").contains("pw"));
        let again = serde_json::to_string(&at).unwrap();
        assert!(!again.contains("pw"), "{again}");
        assert_eq!(Parquet::parse("lake").unwrap().prefix(), "");
    }

    #[test]
    fn what_is_no_place_in_a_bucket_is_refused() {
        for bad in [
            "",
            "/a",
            "me:pw@b/a",
            "b/../a",
            "b/a?regio=pw",
            "b/a?lease=pw0",
            "b/a?access_key_id=x",
            "bü/a",
        ] {
            let error = Parquet::parse(bad).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{bad}");
            assert!(
                bad.contains("lease") || !error.message.contains("pw"),
                "{error}"
            );
        }
        let told = |path: &str, change: fn(&mut Parquet)| {
            let mut at = Parquet::new(path);
            change(&mut at);
            at.checked()
        };
        let long = Parquet::parse(&format!("b/{}", "ü/".repeat(300))).unwrap_err();
        assert!(long.message.contains("has 900 bytes"), "{long}");
        assert!(told("out", |p| p.lease = Some(3.0)).is_err());
        assert!(told("s3:/b/a", |_| ()).is_err());
        assert!(told("s3://b/a?region=x", |_| ()).is_err());
        assert!(told("s3://b/a b=c@06:00", |p| p.region = Some("x".into())).is_ok());
        assert!(told("s3:b", |_| ()).is_ok(), "a folder of that name");
    }

    #[test]
    fn seconds_that_are_none_are_refused() {
        for bad in ["nan", "-nan", "inf", "-inf", "-1", "1e400"] {
            for key in ["lease", "retry_for"] {
                let error = Parquet::parse(&format!("b/a?{key}={bad}")).unwrap_err();
                assert!(error.message.contains(&format!("{key}=")), "{bad}: {error}");
                assert!(error.message.contains("seconds"), "{bad}: {error}");
            }
        }
        assert!(Parquet::parse("b/a?lease=0").is_err());
        let once = Parquet::parse("b/a?retry_for=0").unwrap();
        assert_eq!(once.retry_for(), Duration::ZERO);
        for path in ["out", "s3://b/a"] {
            for bad in [f64::NAN, -1.0] {
                let mut at = Parquet::new(path);
                at.roll_seconds = bad;
                assert!(at.checked().is_err(), "{path} {bad}");
            }
        }
    }

    #[test]
    fn a_folder_is_written_as_before() {
        let text = serde_json::to_string(&Parquet::new("out")).unwrap();
        assert!(text.ends_with("\"durable\":true}"), "{text}");
    }
}

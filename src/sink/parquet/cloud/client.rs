//! The client of a bucket: its keys, its endpoint, and waiting for its answers on the house's runtime.

use super::failure;
use crate::runtime::waiting;
use crate::sink::Parquet;
use crate::{Error, Kind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, Error as Said, ObjectStore, RetryConfig};
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take with all its bytes.
const REQUEST: Duration = Duration::from_secs(120);
/// How long the first request, which is small, is tried and may take: what is wrong for good is told at once.
const FIRST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Environment variables of keys, which those that are given take the place of.
const KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
];

/// A client and the runtime it waits on. Used by the process that made it alone.
#[derive(Debug)]
pub(super) struct Client {
    pub s3: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    place: failure::Place,
    pid: u32,
}

impl Client {
    /// Connects, and looks whether the bucket is there and lets us in.
    ///
    /// Errors: `Usage` for no keys and an endpoint without TLS, `Endpoint` where the bucket does not answer as it should.
    pub fn connect(at: &Parquet) -> Result<Client> {
        let builder = configured(at)?;
        let value = |key| builder.get_config_value(&key);
        let place = failure::Place {
            bucket: at.bucket().unwrap_or_default().to_owned(),
            endpoint: value(AmazonS3ConfigKey::S3Endpoint)
                .or_else(|| value(AmazonS3ConfigKey::Endpoint)),
            region: value(AmazonS3ConfigKey::Region),
            metadata: value(AmazonS3ConfigKey::MetadataEndpoint),
        };
        let plain = plain_http(at, &builder)?;
        let made = |retry_for: Duration, request: Duration| -> Result<Arc<dyn ObjectStore>> {
            let options = ClientOptions::new()
                .with_connect_timeout(CONNECT)
                .with_timeout(request)
                .with_allow_http(plain);
            let builder = builder.clone().with_client_options(options);
            let built = builder.with_retry(retry(retry_for)).build();
            Ok(Arc::new(built.map_err(|e| {
                let message = format!("the options of {at} cannot be used ({e}); look at them");
                Error::new(Kind::Usage, message)
            })?))
        };
        // The only one of this library; a choice made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client {
            s3: made(at.retry_for(), REQUEST)?,
            runtime: waiting::runtime()?,
            place,
            pid: std::process::id(),
        };
        let first = made(FIRST.0.min(at.retry_for()), FIRST.1)?;
        let folder = object_store::path::Path::from(at.prefix());
        let seen = client.wait(async { first.list_with_delimiter(Some(&folder)).await })?;
        client.there(&at.path, seen)?;
        Ok(client)
    }

    /// Waits for `work` on this thread.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        if self.pid != std::process::id() {
            let message = format!(
                "the connection to s3://{} was made before this process was forked; make the pipeline run in the child alone",
                self.place.bucket
            );
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(self.runtime.block_on(work))
    }

    /// Starts `work` beside the caller; it ends when the handle is aborted.
    pub fn beside(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::AbortHandle {
        self.runtime.spawn(work).abort_handle()
    }

    /// An answer, where the object is there.
    pub fn there<T>(&self, path: &Path, answer: std::result::Result<T, Said>) -> Result<Option<T>> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(e @ Said::NotFound { .. }) if !failure::no_bucket(&e) => Ok(None),
            Err(e) => Err(self.failed("read", path, &e)),
        }
    }

    /// The house's error for a request that failed.
    pub fn failed(&self, doing: &str, path: &Path, e: &Said) -> Error {
        failure::said(&self.place, doing, path, e)
    }
}

fn retry(retry_for: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 10_000,
        retry_timeout: retry_for,
    }
}

/// The environment's settings, and over them those that are told.
fn configured(at: &Parquet) -> Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::new();
    let own_keys = at.access_key_id.is_some();
    for (name, value) in std::env::vars().filter(|(_, value)| !value.is_empty()) {
        if name.starts_with("AWS_")
            && !(own_keys && KEYS.contains(&name.as_str()))
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    let secret = |s: &Option<crate::secret::Secret>| s.as_ref().map(|s| s.reveal()).transpose();
    let told = [
        (AmazonS3ConfigKey::Region, at.region.clone()),
        (AmazonS3ConfigKey::Endpoint, at.endpoint.clone()),
        (AmazonS3ConfigKey::S3Endpoint, at.endpoint.clone()),
        (AmazonS3ConfigKey::AccessKeyId, at.access_key_id.clone()),
        (
            AmazonS3ConfigKey::SecretAccessKey,
            secret(&at.secret_access_key)?,
        ),
        (AmazonS3ConfigKey::Token, secret(&at.session_token)?),
    ];
    for (key, value) in told {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    has_keys(at, &builder)?;
    Ok(builder
        .with_bucket_name(at.bucket().unwrap_or_default())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_bulk_delete(true))
}

/// Refuses what would ask the machine's metadata service for keys unless it is named: where there is none, that waits.
fn has_keys(at: &Parquet, builder: &AmazonS3Builder) -> Result<()> {
    use AmazonS3ConfigKey as Is;
    let told = |key: Is| builder.get_config_value(&key).is_some();
    let keys = (told(Is::AccessKeyId), told(Is::SecretAccessKey));
    let role = told(Is::WebIdentityTokenFile) && told(Is::RoleArn);
    let task = told(Is::ContainerCredentialsRelativeUri)
        || (told(Is::ContainerCredentialsFullUri) && told(Is::ContainerAuthorizationTokenFile));
    let asked = told(Is::MetadataEndpoint)
        || builder.get_config_value(&Is::SkipSignature).as_deref() == Some("true");
    match keys {
        (true, true) => Ok(()),
        (false, false) if role || task || asked => Ok(()),
        (false, false) => Err(Error::new(
            Kind::Usage,
            format!(
                "there are no keys for {at}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give access_key_id= and secret_access_key= (on a machine of Amazon's with a role of its own set AWS_METADATA_ENDPOINT=http://169.254.169.254)"
            ),
        )),
        _ => Err(Error::new(
            Kind::Usage,
            format!(
                "there is only a half of a key for {at}; set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ),
        )),
    }
}

/// Whether the endpoint is reached without TLS: on this machine, or where that was asked for.
fn plain_http(at: &Parquet, builder: &AmazonS3Builder) -> Result<bool> {
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    let Some(endpoint) = endpoint else {
        return Ok(false);
    };
    let usage = |message: String| Err(Error::new(Kind::Usage, message));
    if endpoint.contains('@') {
        return usage("the endpoint of S3 has an @ in it; keys are access_key_id= and secret_access_key=, or in the environment".into());
    }
    let Some(rest) = endpoint.strip_prefix("http://") else {
        return match endpoint.starts_with("https://") {
            true => Ok(false),
            false => usage(format!(
                "the endpoint {endpoint:?} of S3 is no URL; write https://host:port"
            )),
        };
    };
    let asked = || std::env::var("AWS_ALLOW_HTTP").is_ok_and(|v| v == "true" || v == "1");
    match is_here(rest) || at.allow_http.unwrap_or_else(asked) {
        true => Ok(true),
        false => usage(format!(
            "the endpoint {endpoint:?} of S3 has no TLS, so anybody on the way reads what is sent; use https://, or say allow_http"
        )),
    }
}

/// Whether `host:port/path` is this machine.
fn is_here(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = inner.unwrap_or(host);
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_like_this_machine_is_not_this_machine() {
        for here in [
            "localhost",
            "LocalHost:9000",
            "127.0.0.1:5000/x",
            "127.8.9.1",
            "[::1]",
            "[::1]:9000/x?y",
        ] {
            assert!(is_here(here), "{here}");
        }
        for away in [
            "",
            "localhost.example.com",
            "127.evil.org",
            "127.0.0.1.evil.org:80",
            "localhostess",
            "localhost\\.evil.org",
            "[::1].evil.org",
            "[::1",
            "[::2]",
            "10.0.0.1",
            "evil.org/localhost",
        ] {
            let text = format!("b/a?endpoint=http://{away}&access_key_id=k&secret_access_key=s");
            let at = Parquet::parse(&text).unwrap();
            let builder = configured(&at).unwrap();
            assert!(plain_http(&at, &builder).is_err(), "{away}");
        }
    }
}

//! What a request to S3 that failed means, in a sentence. What the server answered is never repeated but for its code: it
//! may hold the keys of the request.

use crate::{Error, Kind};
use object_store::Error as Said;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as _;
use std::path::Path;

/// Which bucket, and where.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub bucket: String,
    /// Where it is, unless Amazon's.
    pub endpoint: Option<String>,
    pub region: Option<String>,
}

/// Whether a part of an object was asked for and is not what came.
pub(super) fn no_range(e: &Said) -> bool {
    let odd = matches!(e, Said::Generic { .. }) && transport(e).is_none();
    odd && matches!(status(e), None | Some(416))
}

/// Status of the server's answer, where there was one.
fn status(e: &Said) -> Option<u16> {
    let text = e.to_string();
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

/// The word by which S3 names what is wrong.
fn code(e: &Said) -> Option<String> {
    let text = e.to_string();
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    let plain = code.len() < 60 && code.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

/// Whether the bucket itself is what was not found.
pub(super) fn no_bucket(e: &Said) -> bool {
    code(e).as_deref() == Some("NoSuchBucket")
}

/// Whether the server said no: what was asked for did not happen and will not.
pub(super) fn refused(e: &Said) -> bool {
    status(e).is_some_and(|s| (400..500).contains(&s) && s != 408 && s != 429)
}

fn transport(e: &Said) -> Option<&HttpError> {
    let mut source = e.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<HttpError>() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

/// The innermost cause, which says it best.
fn root(e: &HttpError) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The house's error for a step on an object.
pub(super) fn said(place: &Place, doing: &str, path: &Path, e: &Said) -> Error {
    let error = |message: String| Error::new(Kind::Endpoint, message);
    let bucket = &place.bucket;
    let at = place.endpoint.as_deref().unwrap_or("Amazon's S3");
    let path = path.display();
    if e.to_string().contains("/latest/") {
        return error(format!(
            "the machine's metadata service gives no keys for s3://{bucket}; give the machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
        .retryable();
    }
    if let Some(lost) = transport(e) {
        let why = root(lost);
        return error(match lost.kind() {
            HttpErrorKind::Connect => format!(
                "{path} cannot be reached at {at} ({why}); look at endpoint=, region= and the network"
            ),
            _ => format!("{path} cannot be {doing}: {at} did not answer ({why}); run again"),
        })
        .retryable();
    }
    let (code, status) = (code(e), status(e));
    let told = match (&code, status) {
        (Some(code), _) => code.clone(),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "an answer that is none of S3's".into(),
    };
    match (code.as_deref(), status) {
        (Some("NoSuchBucket"), _) => error(format!(
            "there is no bucket {bucket:?} at {at}; make it, or name another"
        )),
        (
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "InvalidClientTokenId"
                | "AuthFailure",
            ),
            _,
        ) => error(format!(
            "the keys for s3://{bucket} are refused ({told}); look at access_key_id= and secret_access_key=, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )),
        (Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect"), _)
        | (_, Some(300..=399)) => wrong_region(place, &told),
        (Some("RequestTimeTooSkewed"), _) => error(format!(
            "s3://{bucket} refuses requests of this machine, whose clock is wrong (RequestTimeTooSkewed); set it"
        )),
        (_, Some(401 | 403)) => error(format!(
            "access to {path} is denied ({told}); the key needs the rights to list, read, write and delete there"
        )),
        (_, Some(500..=599 | 429 | 408)) => error(format!(
            "{path} cannot be {doing}: {at} failed ({told}); run again"
        ))
        .retryable(),
        _ if e.to_string().contains("redirect") => wrong_region(place, &told),
        _ => error(format!(
            "{path} cannot be {doing}: {at} answers with {told}; look whether it is an S3 (endpoint=) and the bucket's name is right"
        )),
    }
}

fn wrong_region(place: &Place, told: &str) -> Error {
    let region = place.region.as_deref().unwrap_or("us-east-1");
    let message = format!(
        "the bucket {:?} is not in the region {region:?} ({told}); say which with region=, or AWS_REGION",
        place.bucket
    );
    Error::new(Kind::Endpoint, message)
}

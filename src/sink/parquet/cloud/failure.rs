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
    /// The machine's service that gives keys, where it is asked.
    pub metadata: Option<String>,
}

/// Whether a part of an object was asked for and is not what came.
pub(super) fn no_range(e: &Said) -> bool {
    let odd = matches!(e, Said::Generic { .. }) && transport(e).is_none();
    odd && matches!(status(e), None | Some(416))
}

/// What went wrong, without the object's name, which may look like anything: the innermost cause.
fn root(e: &Said) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Status of the server's answer, where there was one.
fn status(e: &Said) -> Option<u16> {
    let text = root(e);
    let after = text.strip_prefix("Server returned non-2xx status code: ")?;
    after.get(..3)?.parse().ok()
}

/// The word by which S3 names what is wrong.
fn code(e: &Said) -> Option<String> {
    let text = root(e);
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    let plain = code.len() < 60 && code.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

/// Whether the bucket itself is what was not found.
pub(super) fn no_bucket(e: &Said) -> bool {
    code(e).as_deref() == Some("NoSuchBucket")
}

/// Whether the server said no at once: what was asked for did not happen and will not. A no to a later attempt says
/// nothing of the earlier ones, whose answers were lost.
pub(super) fn refused(e: &Said) -> bool {
    let no = status(e).is_some_and(|s| (400..500).contains(&s) && s != 408 && s != 429);
    no && !e.to_string().contains(" retries, max_retries: ")
}

/// Whether the answer was lost on the way.
pub(super) fn lost(e: &Said) -> bool {
    transport(e).is_some()
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

/// The house's error for a step on an object.
pub(super) fn said(place: &Place, doing: &str, path: &Path, e: &Said) -> Error {
    let error = |message: String| Error::new(Kind::Endpoint, message);
    let bucket = &place.bucket;
    let at = place.endpoint.as_deref().unwrap_or("Amazon's S3");
    let path = path.display();
    let metadata = place.metadata.as_deref().map(|at| format!("{at}/latest/"));
    if metadata.is_some_and(|asked| e.to_string().contains(&asked)) {
        return error(format!(
            "the machine's metadata service gives no keys for s3://{bucket}; give the machine a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
        .retryable();
    }
    if let Some(lost) = transport(e) {
        let why = root(e);
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
        _ if root(e).starts_with("Received redirect") => wrong_region(place, &told),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors in each other, as the client has them: what it did, and the answer.
    #[derive(Debug)]
    struct Layer(String, Option<Box<Layer>>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|inner| inner as _)
        }
    }

    fn answer(url: &str, retries: &str, told: &str) -> Said {
        let outer = format!("Error performing PUT {url} in 1ms{retries} - {told}");
        let inner = Layer(told.into(), None);
        Said::Generic {
            store: "S3",
            source: Box::new(Layer(outer, Some(Box::new(inner)))),
        }
    }

    fn sentence(e: &Said, metadata: Option<&str>) -> String {
        let place = Place {
            bucket: "lake".into(),
            endpoint: None,
            region: None,
            metadata: metadata.map(str::to_owned),
        };
        said(&place, "made", Path::new("s3://lake/latest/x"), e).message
    }

    const DENIED: &str =
        "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>";

    #[test]
    fn an_object_may_be_named_like_what_goes_wrong() {
        let at = "http://127.0.0.1:9/lake/latest/meta-data/redirect/status%20code:%20500/x";
        let told = sentence(&answer(at, "", DENIED), Some("http://169.254.169.254"));
        assert!(told.contains("is denied (AccessDenied)"), "{told}");
        let odd = "Server returned non-2xx status code: 404 Not Found: ";
        let told = sentence(&answer(at, "", odd), None);
        assert!(told.contains("answers with status 404"), "{told}");
        let named = Said::NotFound {
            path: "status code: 500".into(),
            source: Box::new(Layer(odd.into(), None)),
        };
        assert_eq!(status(&named), Some(404));
    }

    #[test]
    fn the_metadata_service_and_a_wrong_region_are_told_apart() {
        let at = "http://169.254.169.254/latest/api/token";
        let told = sentence(&answer(at, "", DENIED), Some("http://169.254.169.254"));
        assert!(told.contains("metadata service gives no keys"), "{told}");
        let bare = "Received redirect without LOCATION, this normally indicates an incorrectly configured region";
        let told = sentence(&answer("https://s3/lake/x", "", bare), None);
        assert!(told.contains("is not in the region"), "{told}");
    }

    #[test]
    fn a_no_after_other_attempts_says_nothing_of_those() {
        let again = ", after 2 retries, max_retries: 10000, retry_timeout: 60s ";
        assert!(refused(&answer("https://s3/lake/x", "", DENIED)));
        assert!(!refused(&answer("https://s3/lake/x", again, DENIED)));
    }
}

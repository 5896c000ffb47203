//! What the library says as the house's `Error`: which broker and topic, what, what to do.

use super::config::Config;
use super::raw::{Failure, Told};
use crate::{Error, Kind};
use rdkafka::bindings::rd_kafka_resp_err_t as E;

/// What may be done about a code.
struct Advice {
    kind: Kind,
    retryable: bool,
    /// What to do, as a clause.
    todo: &'static str,
}

/// The error of doing `what` ("the topic could not be described") at an endpoint.
pub(super) fn error(what: &str, config: &Config, failure: &Failure, told: Option<&Told>) -> Error {
    let cause = match told.and_then(Told::connection) {
        // A call that timed out says only that; the connection knows why.
        Some((code, reason)) if unanswered(failure.code) => (Some(code), reason),
        _ => (None, failure.text.clone()),
    };
    let code = match cause.1.contains("SSL routines") {
        // An alert of the other side comes as a connection that broke.
        true => E::RD_KAFKA_RESP_ERR__SSL as i32,
        false => cause.0.unwrap_or(failure.code as i32),
    };
    let advice = advice(code);
    let sentence = format!(
        "{what}: topic {} at {}: {}; {}",
        config.topic,
        config.brokers,
        plain(&cause.1),
        advice.todo
    );
    let error = Error::new(advice.kind, sentence);
    match advice.retryable || failure.retriable {
        true => error.retryable(),
        false => error,
    }
}

/// Whether the call just waited in vain.
fn unanswered(code: E) -> bool {
    matches!(
        code,
        E::RD_KAFKA_RESP_ERR__TIMED_OUT
            | E::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE
            | E::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT
            | E::RD_KAFKA_RESP_ERR__TRANSPORT
            | E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
            | E::RD_KAFKA_RESP_ERR__STATE
    )
}

/// The library's words without its own thread names and line ends.
fn plain(text: &str) -> String {
    let text = text.trim().replace(['\n', '\r'], " ");
    match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once("]: ")
            .map_or(text.clone(), |(_, t)| t.to_string()),
        None => text,
    }
}

fn advice(code: i32) -> Advice {
    let is = |codes: &[E]| codes.iter().any(|c| *c as i32 == code);
    let advise = |kind, retryable, todo| Advice {
        kind,
        retryable,
        todo,
    };
    if is(&[
        E::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        E::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    ]) {
        return advise(Kind::Endpoint, false, "check user, password and mechanism");
    }
    if is(&[E::RD_KAFKA_RESP_ERR__SSL]) {
        return advise(
            Kind::Endpoint,
            false,
            "check security, ca, certificate and key, and that the port speaks TLS",
        );
    }
    if is(&[
        E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        E::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        E::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    ]) {
        return advise(
            Kind::NotFound,
            false,
            "create the topic, or let produce create it (create=True, in the shell --create), or check its name",
        );
    }
    if is(&[
        E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        E::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        E::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ]) {
        return advise(
            Kind::Endpoint,
            false,
            "grant this user what the README lists",
        );
    }
    if is(&[
        E::RD_KAFKA_RESP_ERR__FENCED,
        E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
    ]) {
        return advise(
            Kind::Fenced,
            false,
            "another run of the same has taken over; let it end",
        );
    }
    if is(&[
        E::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
        E::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
    ]) {
        return advise(
            Kind::DataLost,
            false,
            "the topic's retention has passed what was to be read; raise retention.ms, or begin at what is left",
        );
    }
    if is(&[
        E::RD_KAFKA_RESP_ERR__TIMED_OUT,
        E::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
        E::RD_KAFKA_RESP_ERR__TRANSPORT,
        E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
        E::RD_KAFKA_RESP_ERR__RESOLVE,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ]) {
        return advise(
            Kind::Endpoint,
            true,
            "check that the brokers run and can be reached from here, then try again",
        );
    }
    if is(&[E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]) {
        return advise(
            Kind::Endpoint,
            false,
            "raise max.message.bytes of the topic and message.max.bytes of the endpoint",
        );
    }
    if is(&[E::RD_KAFKA_RESP_ERR__INVALID_ARG]) {
        return advise(Kind::Usage, false, "mend the endpoint's settings");
    }
    advise(Kind::Endpoint, false, "see the broker's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::parse("kafka://broker:9092/power").unwrap()
    }

    #[test]
    fn a_code_says_what_to_do() {
        for (code, kind, retryable) in [
            (E::RD_KAFKA_RESP_ERR__TIMED_OUT, Kind::Endpoint, true),
            (E::RD_KAFKA_RESP_ERR__FENCED, Kind::Fenced, false),
            (
                E::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                Kind::DataLost,
                false,
            ),
            (
                E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                Kind::NotFound,
                false,
            ),
        ] {
            let error = error("reading failed", &config(), &Failure::of(code), None);
            assert_eq!((error.kind, error.retryable), (kind, retryable));
            assert!(error.message.contains("power at broker:9092"), "{error}");
        }
    }

    #[test]
    fn thread_names_of_the_library_are_left_out() {
        assert_eq!(
            plain("[thrd:a:1/bootstrap]: a:1/bootstrap: refused\n"),
            "a:1/bootstrap: refused"
        );
        assert_eq!(plain("refused"), "refused");
    }
}

"""A connection of Airflow as an endpoint of wattline: one function for each type of connection. Pure."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote, unquote

from ..endpoint import Cassandra, Frozen, Parquet, Postgres
from ..errors import UsageError
from ..kafka import Kafka

__all__ = ["TYPES", "Place", "endpoint"]

#: An endpoint, and the word by which error messages name its server.
Place = tuple[str | Frozen, str]

#: Settings of the `kafka` connection that are Python callbacks, or that the pipeline itself decides.
CALLBACKS = ("error_cb", "throttle_cb", "stats_cb", "log_cb", "on_commit")
OWN = ("group.id", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.idempotence", "acks")
#: What other programs keep in the `extra` of a `postgres` connection.
NOT_LIBPQ = (
    *("cursor", "iam", "redshift", "redshift-serverless", "cluster-identifier", "workgroup-name", "aws_conn_id"),
    *("sqlalchemy_scheme", "sqlalchemy_query", "enable_log_db_messages", "azure_conn_id", "azure_oauth_scope"),
    *("application_name", "keepalives", "keepalives_idle", "client_encoding"),
)
POSTGRES = ("sslmode", "sslrootcert", "connect_timeout", "retry_for")
#: How an `aws` connection says that other keys than its own are to be asked for.
OTHER_KEYS = ("role_arn", "assume_role_method", "profile_name", "session_factory")


def endpoint(connection: Any, rest: str, options: Mapping[str, Any]) -> Place:
    """The endpoint that a connection means, with ``rest`` (what follows its name in the URL) and keywords.

    Raises ``UsageError`` where a field is missing or cannot be used; the caller says of which connection.
    """
    kind = str(connection.conn_type or "").replace("postgresql", "postgres")
    make = TYPES.get(kind)
    if make is None:
        raise UsageError(f"its type is {kind!r}; wattline uses those of type {', '.join(TYPES)}")
    return make(connection, rest, dict(options))


def _extra(connection: Any) -> dict[str, Any]:
    try:
        found = json.loads(connection.extra or "{}")
    except ValueError:
        raise UsageError("its extra is no JSON; write a JSON object") from None
    if not isinstance(found, dict):
        raise UsageError("its extra is no JSON object; write {...}")
    return found


def _object(extra: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = extra.get(name) or {}
    if not isinstance(found, dict):
        raise UsageError(f"the {name} of its extra are {found!r}; write a JSON object")
    return found


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"the connect_timeout of its extra is {value!r}; write seconds") from None


def _made(kind: Callable[..., Frozen], place: Any, told: Mapping[str, Any]) -> Frozen:
    """The endpoint with these options; one that it has not is refused with the nearest."""
    there = [name for name in inspect.signature(kind).parameters if name not in ("self", "host", "hosts", "path")]
    for name in told:
        if name not in there:
            near = get_close_matches(name, there, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(there)}"
            raise UsageError(f"there is no option {name!r}; {hint}")
    return kind(place, **told)


def _need(value: Any, field: str) -> Any:
    if not value:
        raise UsageError(f"its {field} is empty; fill it in")
    return value


def _kafka(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """``extra`` is librdkafka's dictionary."""
    config = {key: value for key, value in _extra(connection).items() if key not in (*CALLBACKS, *OWN)}
    if "oauth_cb" in config:
        raise UsageError("its extra has oauth_cb, a Python function, which wattline cannot call; use SASL or TLS")
    brokers = str(_need(config.pop("bootstrap.servers", None), "bootstrap.servers (in extra)"))
    if not rest:
        raise UsageError("no topic is named; write conn://ID/topic")
    if connection.password:
        config |= {"sasl.username": connection.login, "sasl.password": connection.password}
    return Kafka(brokers, rest, config={**config, **options}), brokers


def _postgres(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """``schema`` is the database; ``rest`` the schema of the tables."""
    extra = {key: value for key, value in _extra(connection).items() if key not in NOT_LIBPQ and value is not None}
    if foreign := sorted(set(extra) - set(POSTGRES)):
        raise UsageError(f"its extra has {foreign[0]!r}, which wattline does not know; it knows {', '.join(POSTGRES)}")
    if "connect_timeout" in extra:
        extra["connect_timeout"] = _seconds(extra["connect_timeout"])
    host = connection.host or "localhost"
    told = {
        "port": connection.port or 5432,
        "dbname": connection.schema or None,
        "user": connection.login or None,
        "password": connection.password or None,
        "schema": rest or None,
    }
    return _made(Postgres, host, {**told, **extra, **options}), host


def _cassandra(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """``schema`` is the keyspace, or ``rest``; the nodes stand in ``host`` between commas."""
    hosts = [host.strip() for host in _need(connection.host, "host").split(",")]
    extra = _extra(connection)
    tls, policy = _object(extra, "ssl_options"), _object(extra, "load_balancing_policy_args")
    if "keyfile" in tls or "certfile" in tls:
        raise UsageError("its ssl_options have a client certificate, which wattline cannot present")
    told = {
        "keyspace": rest or _need(connection.schema, "schema (the keyspace)"),
        "port": connection.port or 9042,
        "user": connection.login or None,
        "password": connection.password or None,
        "datacenter": policy.get("local_dc"),
        "tls": bool(tls),
        "tls_ca": tls.get("ca_certs"),
    }
    return _made(Cassandra, hosts, {**told, **options}), hosts[0]


def _aws(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """``rest`` is bucket and key; without login and password the keys are the environment's."""
    extra = _extra(connection)
    if asks := [name for name in OTHER_KEYS if extra.get(name)]:
        raise UsageError(f"its extra has {asks[0]!r}, which wattline cannot follow; give it keys of its own")
    if not rest:
        raise UsageError("no bucket is named; write conn://ID/bucket/key")
    told = {
        "access_key_id": connection.login or None,
        "secret_access_key": connection.password or None,
        "session_token": extra.get("aws_session_token"),
        "region": extra.get("region_name"),
        "endpoint": extra.get("endpoint_url"),
    }
    return _made(Parquet, f"s3://{rest}", {**told, **options}), f"s3://{rest.partition('/')[0]}"


def _file(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """The folder in ``extra``'s ``path``, and ``rest`` below it."""
    folder = _extra(connection).get("path") or connection.host or "/"
    return os.path.join(str(folder), rest) + _query(options), str(folder)


def _wattline(connection: Any, rest: str, options: dict[str, Any]) -> Place:
    """``host`` is an endpoint as wattline writes it, without the secrets: those are ``login`` and ``password``."""
    url, _, query = str(_need(connection.host, "host (an endpoint: a URL or a path)")).partition("?")
    scheme, mark, place = url.partition("://")
    if connection.login and mark:
        secret = f":{quote(connection.password, safe='')}" if connection.password else ""
        url = f"{scheme}://{quote(connection.login, safe='')}{secret}@{place}"
    below = f"/{rest}" if rest else ""
    more = _query({**_extra(connection), **options}).removeprefix("?")
    whole = "?" + "&".join(part for part in (query, more) if part) if query or more else ""
    return url.rstrip("/") + below + whole, place.partition("/")[0] or url


def _query(options: Mapping[str, Any]) -> str:
    pairs = "&".join(f"{quote(key, safe='')}={quote(str(value), safe='')}" for key, value in options.items())
    return f"?{pairs}" if pairs else ""


#: What can be made of a connection, by its type.
TYPES: dict[str, Callable[[Any, str, dict[str, Any]], Place]] = {
    "kafka": _kafka,
    "postgres": _postgres,
    "cassandra": _cassandra,
    "aws": _aws,
    "fs": _file,
    "file": _file,
    "wattline": _wattline,
}


def split(url: str) -> tuple[str, str, dict[str, Any]]:
    """``conn://ID/rest?key=value`` in its parts; numbers and true/false as such."""
    place, _, query = url.removeprefix("conn://").partition("?")
    name, _, rest = place.partition("/")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return name, unquote(rest), {unquote(key): _value(unquote(value)) for key, _, value in pairs}


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, (bool, int, float)) else text

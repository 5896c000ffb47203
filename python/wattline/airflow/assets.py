"""Assets (2.x: Datasets): what a task reads and writes, with row counts in the event."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import Asset

from ..endpoint import Cassandra, Frozen, Parquet, Postgres, Sqlite
from ..kafka import Kafka
from ..sink import Sink

__all__ = ["asset", "assets", "record", "uri_of"]


def asset(endpoint: Any, table: str | None = None) -> Any:
    """The Asset of an endpoint or sink: what an operator has as outlet, for another DAG's ``schedule=``.

    ``asset("conn://kafka_default/power-data")``, ``asset("postgresql://db/energy", "quarterly")``; a ``wl.Sink`` knows
    its table. Raises ``ValueError`` for what has no fixed place: relative paths, templates, standard input.
    """
    uri = uri_of(endpoint, table)
    if uri is None:
        raise ValueError(f"{endpoint!r} names no fixed place; give a URL, an absolute path, or conn://ID/...")
    return Asset(uri)


def assets(named: Any) -> list[Any]:
    """The Assets of a source or of sinks, without those that have no fixed place."""
    alone = isinstance(named, (str, Mapping)) or not isinstance(named, Sequence)
    found = [uri_of(one) for one in ([named] if alone else named)]
    return [Asset(uri) for uri in dict.fromkeys(found) if uri is not None]


def uri_of(endpoint: Any, table: str | None = None) -> str | None:
    """The URI of a place: no login, no options; ``None`` where it is not fixed."""
    if isinstance(endpoint, Sink):
        return uri_of(endpoint.endpoint, table or endpoint.table or endpoint.what)
    if isinstance(endpoint, Mapping) and "endpoint" in endpoint:
        return uri_of(endpoint["endpoint"], table or endpoint.get("table") or endpoint.get("what", "windows"))
    if isinstance(endpoint, Mapping):
        return uri_of(_typed(endpoint), table)
    if isinstance(endpoint, Frozen):
        return _of_object(endpoint, table)
    if not isinstance(endpoint, (str, os.PathLike)):
        return None
    text = os.fspath(endpoint)
    if any(sign in text for sign in ("{{", "{%", "*", "${")):
        return None
    return _of_url(text, table) if "://" in text else _of_path(text)


def _typed(endpoint: Mapping[str, Any]) -> Frozen | None:
    """An endpoint written as a table of TOML; ``None`` for what is none."""
    told = {key: value for key, value in endpoint.items() if key != "type"}
    kinds: dict[Any, type[Frozen]] = {
        "cassandra": Cassandra,
        "parquet": Parquet,
        "postgres": Postgres,
        "sqlite": Sqlite,
    }
    try:
        return kinds[endpoint.get("type")](**told)
    except (KeyError, TypeError):
        return None


def _of_url(url: str, table: str | None) -> str | None:
    scheme, _, place = url.partition("?")[0].partition("://")
    if scheme == "sim":
        return None
    if scheme in ("sqlite", "parquet"):
        return _of_path("/" + place.lstrip("/"))
    host, slash, path = place.rpartition("@")[2].partition("/")
    if scheme == "postgresql":
        parts = [host, path or "postgres", "public", table or "windows"]
        return "postgres://" + "/".join(parts)
    below = f"/{table}" if table and scheme in ("cassandra", "conn") else ""
    return f"{scheme}://{host}{slash}{path.rstrip('/')}{below}"


def _of_path(path: str) -> str | None:
    return f"file://{path}" if path.startswith("/") else None


def _of_object(endpoint: Frozen, table: str | None) -> str | None:
    if isinstance(endpoint, Kafka):
        return f"kafka://{endpoint.brokers.split(',')[0]}/{endpoint.topic}"
    if isinstance(endpoint, Postgres):
        parts = (endpoint.dbname or endpoint.user, endpoint.schema or "public", table or "windows")
        return f"postgres://{endpoint.host.split(',')[0]}:{endpoint.port}/" + "/".join(map(str, parts))
    if isinstance(endpoint, Cassandra):
        below = f"/{table}" if table else ""
        return f"cassandra://{endpoint.hosts[0]}:{endpoint.port}/{endpoint.keyspace}{below}"
    if not isinstance(endpoint, (Sqlite, Parquet)):
        return None
    path: str = endpoint.path
    return path if path.startswith("s3://") else _of_path(path)


def record(context: Any, outlets: Sequence[Any], summary: Mapping[str, Any]) -> None:
    """Puts row counts into the extra of the outlets' events.

    ``rows`` of the sink at the same place where there are as many sinks as outlets, else of all sinks together.
    """
    events = context.get("outlet_events") if outlets else None
    if events is None:
        return
    rows = [int(sink["rows"]) for sink in summary["sinks"]]
    each = rows if len(rows) == len(outlets) else [sum(rows)] * len(outlets)
    common = {"pipeline": summary["pipeline"], "readings": summary["ledger"]["readings"]}
    for outlet, count in zip(outlets, each, strict=True):
        events[outlet].extra.update({**common, "rows": count})

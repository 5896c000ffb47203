"""What goes to an endpoint: ``Sink``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .endpoint import Endpoint, Frozen, endpoint_spec
from .errors import UsageError

__all__ = ["Endpoint", "Sink", "sink_spec"]


class Sink(Frozen):
    """What goes to an endpoint: ``windows``, ``readings``, ``late`` or ``rejects``.

    ``endpoint``: ``Sqlite``, ``Parquet``, ``Postgres``, ``Cassandra``, ``Kafka``, a URL (``out.db``,
    ``postgresql://user@host/db``, ``cassandra://host/keyspace``, ``kafka://host:9092/topic``) or a path. ``table``
    names the table (``?table=NAME`` behind a URL or path does so too); an existing one is filled with ``table`` and
    ``columns = {theirs: ours}``, which names the members of a
    topic's objects too; ``key``: the columns that name a row there (default: its primary key), of a topic those of
    the messages' keys (default: ``sensor_id``); ``on_same_time`` (``first``, ``last``, ``raise``): readings that such
    a key does not tell apart; ``ttl`` (``"5min"``): how long a row of Cassandra lives.

    ``readings`` and ``late`` rows hold ``sensor_id``, ``time``, the measures, the attributes of the schema (text,
    yes or no, numbers, dates, times), ``quality``, ``file``, ``stream``, ``row``. ``columns`` takes those it names;
    a column that a table lacks is refused with the statement that adds it (a Parquet table keeps the columns it was
    begun with).
    """

    __slots__ = ()

    def __init__(
        self,
        endpoint: Endpoint,
        what: Literal["windows", "readings", "late", "rejects"] = "windows",
        *,
        table: str | None = None,
        columns: Mapping[str, str] | None = None,
        key: Sequence[str] | None = None,
        on_same_time: Literal["first", "last", "raise"] | None = None,
        ttl: str | None = None,
    ) -> None:
        super().__init__(
            endpoint=os.fspath(endpoint) if isinstance(endpoint, os.PathLike) else endpoint,
            what=what,
            table=table,
            columns=None if columns is None else _mapped(columns),
            key=None if key is None else list(key),
            on_same_time=on_same_time,
            ttl=ttl,
        )

    def _spec(self) -> dict[str, Any]:
        told = {key: value for key, value in self._options.items() if value is not None}
        return {**told, "endpoint": endpoint_spec(self.endpoint)}


def _mapped(columns: Any) -> dict[str, str]:
    if not isinstance(columns, Mapping):
        raise UsageError(f"columns={columns!r} is no mapping; write columns={{their_column: our_column}}")
    return dict(columns)


def sink_spec(sink: Sink | Endpoint | Mapping[str, Any]) -> Any:
    """A sink as the spec has it; a bare endpoint takes windows."""
    if isinstance(sink, Mapping):
        return dict(sink)
    if not isinstance(sink, (str, os.PathLike, Frozen)):
        raise UsageError(f"{sink!r} is no sink; give a path, a URL, an endpoint such as wl.Sqlite, or a wl.Sink")
    return sink._spec() if isinstance(sink, Sink) else {"endpoint": endpoint_spec(sink), "what": "windows"}

"""Where rows go: ``Sink`` (what), ``Sqlite``, ``Parquet`` and ``Postgres`` (where)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .reading import Path

__all__ = ["Parquet", "Postgres", "Sink", "Sqlite"]


def shown(value: object) -> str:
    """A value as it may be seen: a password in a URL is hidden unless it is a reference ``${NAME}``."""
    return re.sub(r"(://[^/?@\s:]*:)(?!\$\{\w+\}@)[^/?\s]*@", r"\1***@", repr(value))


class _Frozen:
    """Options by name: equal, hashable by text, picklable, not changed after they were made."""

    __slots__ = ("_options",)
    _options: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        object.__setattr__(self, "_options", options)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; make a new one")

    def __getattr__(self, name: str) -> Any:
        if name != "_options" and name in self._options:
            return self._options[name]
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._options == self._options

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        told = ", ".join(f"{key}={shown(value)}" for key, value in self._seen().items() if value is not None)
        return f"{type(self).__name__}({told})"

    def _seen(self) -> dict[str, Any]:
        """The options as they may be seen."""
        return self._options

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        object.__setattr__(self, "_options", options)


class Sqlite(_Frozen):
    """An SQLite file.

    ``synchronous``: ``full`` (a decided flush survives a power cut), ``normal`` or ``off``; ``busy_timeout``: seconds
    to wait while another program holds the file.
    """

    __slots__ = ()

    def __init__(
        self, path: Path, *, synchronous: Literal["full", "normal", "off"] = "full", busy_timeout: float = 5.0
    ) -> None:
        super().__init__(path=os.fspath(path), synchronous=synchronous, busy_timeout=busy_timeout)

    def _spec(self) -> dict[str, Any]:
        return {"type": "sqlite", **self._options}


class Parquet(_Frozen):
    """A folder of Parquet files, one folder a grain.

    ``partition_by``: a folder for each local ``date``, ``month`` or ``year`` inside; ``revisions``: ``refuse`` or
    ``append`` corrections of final windows; ``level``: of zstd; ``roll_rows``, ``roll_bytes``, ``roll_seconds``: when
    a file is closed; ``durable``: everything reaches the disk before it counts.
    """

    __slots__ = ()

    def __init__(
        self,
        path: Path,
        *,
        partition_by: Literal["date", "month", "year"] | None = None,
        revisions: Literal["refuse", "append"] = "refuse",
        level: int = 1,
        roll_rows: int = 1_000_000,
        roll_bytes: int = 64 << 20,
        roll_seconds: float = 600.0,
        durable: bool = True,
    ) -> None:
        super().__init__(
            path=os.fspath(path),
            partition_by=partition_by,
            revisions=revisions,
            level=level,
            roll_rows=roll_rows,
            roll_bytes=roll_bytes,
            roll_seconds=roll_seconds,
            durable=durable,
        )

    def _spec(self) -> dict[str, Any]:
        return {"type": "parquet", **self._options}


class Postgres(_Frozen):
    """A PostgreSQL server.

    ``host``: a name, several between commas, or the folder of a Unix socket; ``dbname``, ``user`` (default: the
    environment's ``PGUSER``, ``USER``), ``password``: best by reference, ``"${NAME}"`` of an environment variable
    (default: ``PGPASSWORD``), never shown; ``sslmode``, ``sslrootcert`` (default: the system's authorities): as libpq
    has them, ``verify-full`` where the network is not yours; ``schema``: of the tables (default: the first of the
    search path); ``connect_timeout``: seconds; ``retry_for``: seconds for which a lost connection is opened again.
    """

    __slots__ = ()

    def __init__(
        self,
        host: Path | Sequence[str] = "localhost",
        *,
        port: int = 5432,
        dbname: str | None = None,
        user: str | None = None,
        password: str | None = None,
        sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer",
        sslrootcert: Path | None = None,
        schema: str | None = None,
        connect_timeout: float = 10.0,
        retry_for: float = 60.0,
    ) -> None:
        super().__init__(
            host=os.fspath(host) if isinstance(host, (str, os.PathLike)) else ",".join(host),
            port=port,
            dbname=dbname,
            user=user,
            password=password,
            sslmode=sslmode,
            sslrootcert=None if sslrootcert is None else os.fspath(sslrootcert),
            schema=schema,
            connect_timeout=connect_timeout,
            retry_for=retry_for,
        )

    def _seen(self) -> dict[str, Any]:
        password = self.password
        named = password is None or re.fullmatch(r"\$\{\w+\}", password)
        return self._options if named else {**self._options, "password": "***"}

    def _spec(self) -> dict[str, Any]:
        return {"type": "postgres", **{key: value for key, value in self._options.items() if value is not None}}


Endpoint = str | os.PathLike[str] | Sqlite | Parquet | Postgres


class Sink(_Frozen):
    """What goes to an endpoint: ``windows``, ``readings``, ``late`` or ``rejects``.

    ``endpoint``: ``Sqlite``, ``Parquet``, ``Postgres``, a URL (``sqlite:///out.db``, ``postgresql://user@host/db``) or
    a path. An existing table of a database is filled with ``table`` and ``columns = {theirs: ours}``; ``key``: the
    columns that name a row there (default: its primary key); ``on_same_time`` (``first``, ``last``, ``raise``):
    readings that such a key does not tell apart.
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
    ) -> None:
        super().__init__(
            endpoint=os.fspath(endpoint) if isinstance(endpoint, os.PathLike) else endpoint,
            what=what,
            table=table,
            columns=None if columns is None else dict(columns),
            key=None if key is None else list(key),
            on_same_time=on_same_time,
        )

    def _spec(self) -> dict[str, Any]:
        told = {key: value for key, value in self._options.items() if value is not None}
        return {**told, "endpoint": endpoint_spec(self.endpoint)}


def endpoint_spec(endpoint: Endpoint) -> Any:
    """An endpoint as the spec has it."""
    return endpoint._spec() if isinstance(endpoint, _Frozen) else os.fspath(endpoint)


def sink_spec(sink: Sink | Endpoint | Mapping[str, Any]) -> Any:
    """A sink as the spec has it; a bare endpoint takes windows."""
    if isinstance(sink, Mapping):
        return dict(sink)
    return sink._spec() if isinstance(sink, Sink) else {"endpoint": endpoint_spec(sink), "what": "windows"}

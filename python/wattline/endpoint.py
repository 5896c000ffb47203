"""Where rows go: ``Sqlite``, ``Parquet``, ``Postgres``, ``Cassandra``: frozen, picklable, secrets never shown."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from . import _native
from .errors import UsageError
from .reading import Path

__all__ = ["Cassandra", "Endpoint", "Frozen", "Parquet", "Postgres", "Sqlite", "endpoint_spec"]

Consistency = Literal["ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"]


def shown(key: str, value: object) -> str:
    """A value as it may be seen: a password, alone or in a URL, is hidden unless it is a reference ``${NAME}``."""
    if key in ("password", "secret_access_key", "session_token") and not re.fullmatch(r"\$\{\w+\}", str(value)):
        return "***"
    return repr(_native.masked(value)) if isinstance(value, str) else _native.redacted(repr(value))


class Frozen:
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
        told = ", ".join(f"{key}={shown(key, value)}" for key, value in self._options.items() if value is not None)
        return f"{type(self).__name__}({told})"

    def __getstate__(self) -> dict[str, Any]:
        return self._options

    def __setstate__(self, options: dict[str, Any]) -> None:
        object.__setattr__(self, "_options", options)


class Store(Frozen):
    """Options that are checked where they are written, not when a pipeline is made of them."""

    __slots__ = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, value in options.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(
                    f"{type(self).__name__}: {name}={value} is no finite number; give one, or leave it out"
                )
        try:
            told = json.dumps(self._spec())
        except TypeError as error:
            raise UsageError(f"{type(self).__name__}: {error}; give texts and numbers") from None
        try:
            _native.checked_endpoint(told)
        except UsageError as error:
            raise UsageError(f"{type(self).__name__}: {error}") from None

    def _spec(self) -> dict[str, Any]:
        raise NotImplementedError


class Sqlite(Store):
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


class Parquet(Store):
    """A folder of Parquet files, one folder a grain: ``path`` on a disk, or ``s3://bucket/prefix``.

    ``partition_by``: a folder for each local ``date``, ``month`` or ``year`` inside; ``revisions``: ``refuse`` or
    ``append`` corrections of final windows; ``level``: of zstd; ``roll_rows``, ``roll_bytes`` (in memory, of all
    partitions together), ``roll_seconds``: when a file is closed; ``durable``: everything reaches the disk before it
    counts.

    For ``s3://`` alone: ``region``, ``endpoint`` (of an S3 that is not Amazon's), ``access_key_id``,
    ``secret_access_key`` and ``session_token`` (best as ``"${NAME}"`` of an environment variable, never shown), each by
    default as the environment's ``AWS_...`` says; ``allow_http``: an endpoint elsewhere without TLS; ``lease``:
    seconds after which a silent owner is taken for dead (10); ``retry_for``: seconds for which a request is tried
    again (60).
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
        roll_bytes: int = 40 << 20,
        roll_seconds: float = 600.0,
        durable: bool = True,
        region: str | None = None,
        endpoint: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        allow_http: bool | None = None,
        lease: float | None = None,
        retry_for: float | None = None,
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
            region=region,
            endpoint=endpoint,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            session_token=session_token,
            allow_http=allow_http,
            lease=lease,
            retry_for=retry_for,
        )

    def _spec(self) -> dict[str, Any]:
        return {"type": "parquet", **{key: value for key, value in self._options.items() if value is not None}}


class Postgres(Store):
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

    def _spec(self) -> dict[str, Any]:
        return {"type": "postgres", **{key: value for key, value in self._options.items() if value is not None}}


class Cassandra(Store):
    """A keyspace of Cassandra or ScyllaDB; it and its tables are made where they are missing and the user may.

    ``hosts``: nodes to ask first, ``host`` or ``host:port``; ``password``: best as ``"${NAME}"`` of an environment
    variable, which is read when the connection is made; ``consistency``: of rows, heads and records are always decided
    by a quorum; ``replication``: of a keyspace that is made, a number or ``{datacenter: replicas}``; ``tls_ca``: PEM
    file of the authority that signed the nodes' certificates; ``lease``: seconds after which a silent owner is taken
    for dead; ``retry_for``: seconds for which a step is tried again while nodes are down.
    """

    __slots__ = ()

    def __init__(
        self,
        hosts: str | Sequence[str],
        *,
        keyspace: str,
        port: int = 9042,
        user: str | None = None,
        password: str | None = None,
        consistency: Consistency = "LOCAL_QUORUM",
        datacenter: str | None = None,
        replication: int | Mapping[str, int] | None = None,
        tls: bool = False,
        tls_ca: Path | None = None,
        lease: float = 10.0,
        retry_for: float = 60.0,
        batch_rows: int = 200,
        in_flight: int = 32,
    ) -> None:
        super().__init__(
            hosts=[hosts] if isinstance(hosts, str) else list(hosts),
            keyspace=keyspace,
            port=port,
            user=user,
            password=password,
            consistency=consistency,
            datacenter=datacenter,
            replication=dict(replication) if isinstance(replication, Mapping) else replication,
            tls=tls,
            tls_ca=None if tls_ca is None else os.fspath(tls_ca),
            lease=lease,
            retry_for=retry_for,
            batch_rows=batch_rows,
            in_flight=in_flight,
        )

    def _spec(self) -> dict[str, Any]:
        return {"type": "cassandra", **{key: value for key, value in self._options.items() if value is not None}}


#: ``Kafka`` is one too; it stands beside what reads and sends.
Endpoint = str | os.PathLike[str] | Sqlite | Parquet | Postgres | Cassandra | Frozen


def endpoint_spec(endpoint: Endpoint) -> Any:
    """An endpoint as the spec has it."""
    return endpoint._spec() if isinstance(endpoint, Frozen) else os.fspath(endpoint)

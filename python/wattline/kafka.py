"""Topics: ``Kafka`` (where), ``produce``, ``read_kafka``, ``scan_kafka``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import quote

from . import _native
from ._native import Control, Reader, Schema, Table
from .endpoint import Frozen
from .options import Data, known, plain, split
from .progress import shown
from .reading import OnReject, Path, counted
from .report import Report
from .signals import chained

__all__ = ["Kafka", "produce", "read_kafka", "scan_kafka"]

#: An offset in every partition, offsets by partition, ``"earliest"``, ``"now"``, or a time with its zone.
Bound = int | Mapping[int, int] | str | datetime


class RangeOptions(TypedDict, total=False):
    """What ``read_kafka`` and ``scan_kafka`` are told."""

    schema: Schema | Path | None
    since: Bound | None
    until: Bound | None
    limit: int | None
    on_reject: OnReject
    max_rejects: int | None


class Kafka(Frozen):
    """A topic and how to reach it.

    ``brokers``: ``host:port``, several by commas. ``user``, ``password``, ``mechanism``: SASL (by default
    SCRAM-SHA-512 over TLS); ``security``: ``plaintext``, ``ssl``, ``sasl_plaintext`` or ``sasl_ssl``; ``ca``,
    ``certificate``, ``key``, ``key_password``: PEM files of TLS; ``timeout``: how long the cluster may take for an
    answer; ``config``: settings of librdkafka by their own names. A value ``"${NAME}"`` is taken from the environment
    when it is used, so that the object can be stored and shown. As a sink: ``state_topic`` keeps heads and records
    (default: ``wattline-state``); after ``lease`` seconds of silence an owner is taken for dead.
    """

    __slots__ = ()

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        user: str | None = None,
        password: str | None = None,
        mechanism: str | None = None,
        security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] | None = None,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        key_password: str | None = None,
        compression: Literal["lz4", "zstd", "gzip", "snappy", "none"] | None = None,
        timeout: str | None = None,
        state_topic: str | None = None,
        lease: float | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            brokers=brokers,
            topic=topic,
            user=user,
            password=password,
            mechanism=mechanism,
            security=security,
            ca=ca,
            certificate=certificate,
            key=key,
            key_password=key_password,
            compression=compression,
            timeout=timeout,
            state_topic=state_topic,
            lease=lease,
            config=None if config is None else dict(config),
        )

    def _url(self) -> str:
        told = {key: value for key, value in self._options.items() if value is not None}
        place = f"kafka://{told.pop('brokers')}/{quote(told.pop('topic'), safe='')}"
        settings = {**told.pop("config", {}), **told}
        pairs = (f"{quote(name, safe='')}={quote(_setting(value), safe='')}" for name, value in settings.items())
        return place + "?" + "&".join(pairs) if settings else place

    def _spec(self) -> str:
        return self._url()

    def __repr__(self) -> str:
        return f"Kafka({_native.kafka_shown(self._url())!r})"


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _url_of(endpoint: str | Kafka) -> str:
    return endpoint._url() if isinstance(endpoint, Kafka) else endpoint


def produce(
    source: Data,
    endpoint: str | Kafka,
    *,
    schema: Schema | Path | None = None,
    mode: Literal["exact", "fast"] = "exact",
    name: str | None = None,
    timestamp: Literal["now"] | None = None,
    codec: Literal["json", "arrow"] = "json",
    create: bool | Mapping[str, Any] = False,
    on_reject: OnReject = "raise",
    max_rejects: int | None = None,
    on_repeated: Literal["raise", "infer", "earliest", "latest", "null"] = "raise",
    on_missing: Literal["raise", "shift", "null"] = "raise",
    may_grow: bool = False,
    transaction: str = "1s",
    progress_topic: str = "wattline-progress",
    progress_timeout: str = "90s",
    progress: bool | None = None,
) -> Report:
    """Sends readings to a topic, each once, however often the load is broken off and run again.

    ``source``: files, globs, ``-``, a ``sim://`` URL, or anything with an Arrow stream; ``endpoint``: a ``kafka://``
    URL or ``Kafka``. Standard input, tables and readers need a ``name`` under which a second run knows them. Messages
    have the sensor as key and one reading as JSON (``codec="arrow"``: a batch of one sensor, packed inside by LZ4,
    or by zstd with ``compression=zstd``; Arrow for Java, C# and JavaScript unpacks neither by itself, builds of
    wattline from before 22 November 2026 no zstd: ``compression=none`` for them). None is longer than the topic's
    ``max.message.bytes``.

    ``mode="exact"``: transactions of about a second (``transaction``), each with its position in ``progress_topic``;
    readers of committed messages see each row once; a file that was sent is not sent again; a second run of the same
    load fences the first. ``"fast"``: no transactions; what a broken run sent is sent again.

    Record times are those of the readings, or ``timestamp="now"``; before the first row they are held against the
    topic's ``retention.ms`` and ``message.timestamp.*``. ``create``: make the topic where it is not there: ``True``,
    or ``partitions``, ``replication``, ``retention`` (by default for ever), ``settings``. ``progress_timeout``: how
    long another load's open transaction is waited for.

    Ctrl-C and SIGTERM end it at a committed transaction and raise ``Interrupted`` with the report. Also raises
    ``Fenced``, ``TimedOut``, ``EndpointError``, ``NotFound``, ``UsageError``, and what ``wl.read_csv`` raises.
    """
    inputs, data = split(source)
    made = create if isinstance(create, Mapping) else {}
    counted(max_rejects=max_rejects, partitions=made.get("partitions"), replication=made.get("replication"))
    told = {
        "source": inputs,
        "schema": plain(schema),
        "mode": mode,
        "name": name,
        "timestamp": timestamp,
        "codec": codec,
        "create": ({} if create is True else plain(create)) if create is not False else None,
        "on_reject": on_reject,
        "max_rejects": max_rejects,
        "on_repeated": on_repeated,
        "on_missing": on_missing,
        "may_grow": may_grow,
        "transaction": transaction,
        "progress_topic": progress_topic,
        "progress_timeout": progress_timeout,
    }
    options = json.dumps({key: value for key, value in told.items() if value is not None})
    control = Control()
    with chained(control), shown(progress, control) as tick:
        return _native.produce(_url_of(endpoint), options, data, control, tick)


def read_kafka(endpoint: str | Kafka, **options: Unpack[RangeOptions]) -> Table:
    """Reads a range of a topic into a ``Table``: no consumer group, nothing committed, only committed messages.

    The table has the readings' columns, then ``topic``, ``partition``, ``offset`` and ``timestamp`` (record time).
    Messages are JSON objects or arrays, or Arrow; without ``schema`` the first thousand say what the columns are.
    ``since`` and ``until`` (not included): an offset, ``{partition: offset}``, a ``datetime`` or ISO text with its
    zone (by record time), ``"earliest"`` or ``"now"``; by default all that is there now. ``limit``: messages at most.

    A message that cannot be read is a reject (``file`` is ``topic/partition``, ``row`` the offset); see
    ``wl.read_csv``. Raises ``DataLost`` where retention has passed ``since``, ``NotFound``, ``EndpointError``,
    ``SchemaError``, ``RejectLimit``.
    """
    told = _range(options, "read_kafka")
    control = Control()
    with chained(control):
        return _native.read_kafka(_url_of(endpoint), told, options.get("schema"), control)


def scan_kafka(endpoint: str | Kafka, **options: Unpack[RangeOptions]) -> Reader:
    """Reads a range of a topic piece by piece, in bounded memory; the arguments and rows of ``read_kafka``.

    The end of the range is fixed when it is opened. The ``Reader`` gives its rows once.
    """
    return _native.scan_kafka(_url_of(endpoint), _range(options, "scan_kafka"), options.get("schema"))


def _range(options: RangeOptions, call: str) -> str:
    known(options, RangeOptions, call)
    counted(limit=options.get("limit"), max_rejects=options.get("max_rejects"))
    told = {key: _bound(value) for key, value in options.items() if key != "schema"}
    return json.dumps({key: value for key, value in told.items() if value is not None})


def _bound(bound: Any) -> Any:
    if isinstance(bound, datetime):
        return bound.isoformat()
    return dict(bound) if isinstance(bound, Mapping) else bound

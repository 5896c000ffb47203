"""Keyword arguments to the one definition of options: a dictionary, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict
from zoneinfo import ZoneInfo

from ._native import Schema
from .errors import UsageError
from .reading import OnMissing, OnReject, OnRepeated, Path, path_of
from .sink import Endpoint, Sink, sink_spec

#: Data handed over: anything with an Arrow PyCapsule interface.
Data = Any
Aggregate = Literal["count", "sum", "mean", "min", "max", "first", "last", "stddev", "energy"]
Aggregates = Sequence[Aggregate] | Mapping[str, Sequence[Aggregate]]
OnLate = Literal["side", "drop", "correct"]
State = Literal["keyed", "shared"]
OnDuplicate = Literal["once", "keep", "raise"]
OnConflict = Literal["keep", "first", "last", "raise"]


class WindowOptions(TypedDict, total=False):
    """What ``windows`` and ``Pipeline`` are both told."""

    schema: Schema | Path | None
    tz: str | None
    aggregates: Aggregates | None
    time: str | None
    sensor: str | Sequence[str] | None
    measures: Sequence[str] | None
    step: str | None
    lateness: str
    on_late: OnLate
    correct_for: str | None
    idle: str | None
    ahead: str
    on_duplicate: OnDuplicate
    on_conflict: OnConflict
    dedupe_for: str
    on_repeated: OnRepeated
    on_missing: OnMissing
    on_reject: OnReject
    max_rejects: int | None
    chunk_bytes: int | None
    max_line_bytes: int | None
    waiting_rows: int | None
    spill_dir: Path | None


class PipelineOptions(WindowOptions, total=False):
    """What a ``Pipeline`` is told beside."""

    grains: str | Sequence[str]
    sinks: Sink | Endpoint | Sequence[Sink | Endpoint]
    flush_interval: str
    flush_rows: int
    take_over: bool
    stream_name: str | None
    may_grow: bool
    state: State
    group: str | None
    instance: str | None
    since: str | None
    cut: str | None
    dlq: str | bool | None


def known(options: Mapping[str, Any], kind: type, call: str) -> None:
    """Refuses keywords that are none, as Python does, and names the nearest."""
    names: frozenset[str] = vars(kind)["__optional_keys__"]
    for name in options:
        if name not in names:
            from difflib import get_close_matches

            near = get_close_matches(name, sorted(names), 1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}{hint}")


def is_arrow(data: object) -> bool:
    """Whether another library can hand its rows over."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def split(data: Any) -> tuple[Any, Any]:
    """Named inputs and handed data apart: one of the two is ``None``."""
    if is_arrow(data):
        return None, data
    if _is_named(data):
        return _named(data), None
    if isinstance(data, Sequence) and data and all(_is_named(part) for part in data):
        return [_named(part) for part in data], None
    raise UsageError(
        f"{type(data).__name__} is no data: give a path, a list of paths, a URL, or anything with an Arrow stream "
        "(wattline, pyarrow, polars, pandas, duckdb)"
    )


def _is_named(part: Any) -> bool:
    return isinstance(part, (str, bytes, os.PathLike)) or hasattr(part, "_url")


def _named(source: Any) -> str:
    """A path, or an endpoint as its URL."""
    return source._url() if hasattr(source, "_url") else path_of(source)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Schema):
        return json.loads(value._json())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, timedelta):
        return f"{value // timedelta(milliseconds=1)}ms"
    if isinstance(value, ZoneInfo) and value.key:
        return value.key
    return value


def listed(names: Any) -> list[Any]:
    """One name or several as a list."""
    if not isinstance(names, (str, Iterable)):
        raise UsageError(f"{names!r} is neither a text nor a list of texts")
    return [names] if isinstance(names, str) else list(names)


def spec(options: Mapping[str, Any]) -> str:
    """The options as JSON; those that are ``None`` keep their default."""
    options = dict(options)
    for name in ("grains", "sensor"):
        if options.get(name) is not None:
            options[name] = listed(options[name])
    if "sinks" in options:
        sinks = options["sinks"]
        alone = isinstance(sinks, (str, os.PathLike, Mapping)) or not isinstance(sinks, Sequence)
        options["sinks"] = [sink_spec(sink) for sink in ([sinks] if alone else sinks)]
    told = {key: plain(value) for key, value in options.items() if value is not None}
    for key, value in told.items():
        _told(key, value)
    return json.dumps(told)


def _told(name: str, value: Any) -> None:
    """Refuses a value that no definition can hold."""
    try:
        json.dumps(value)
    except TypeError:
        raise UsageError(f"{name}={value!r} is no text, number, list or dictionary; say it as a text") from None

"""Keyword arguments to the one definition of options: a dictionary, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ._native import Schema
from .errors import UsageError

#: Data handed over: anything with an Arrow PyCapsule interface.
Data = Any
Aggregate = Literal["count", "sum", "mean", "min", "max", "first", "last", "stddev", "energy"]
Aggregates = Sequence[Aggregate] | Mapping[str, Sequence[Aggregate]]
OnLate = Literal["side", "drop", "correct"]
OnDuplicate = Literal["once", "keep", "raise"]
OnConflict = Literal["keep", "first", "last", "raise"]


def is_arrow(data: object) -> bool:
    """Whether another library can hand its rows over."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def split(data: Any) -> tuple[Any, Any]:
    """Named inputs and handed data apart: one of the two is ``None``."""
    if is_arrow(data):
        return None, data
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data), None
    if isinstance(data, Sequence) and data and all(isinstance(part, (str, os.PathLike)) for part in data):
        return [os.fspath(part) for part in data], None
    raise UsageError(
        f"{type(data).__name__} is no data: give a path, a list of paths, a URL, or anything with an Arrow stream "
        "(wattline, pyarrow, polars, pandas, duckdb)"
    )


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
    return value


def listed(names: Any) -> list[Any]:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else list(names)


def spec(options: Mapping[str, Any]) -> str:
    """The options as JSON; those that are ``None`` keep their default."""
    return json.dumps({key: plain(value) for key, value in options.items() if value is not None})

"""``Table`` to the libraries that take it; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from ._native import Table
from .errors import UsageError

__all__ = ["Table"]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{name} is not installed; install it, for example with: pip install {name}") from None


def to_arrow(table: Any) -> Any:
    """The rows as a ``pyarrow.Table``, without a copy."""
    return _library("pyarrow").table(table)


def to_pandas(table: Any) -> Any:
    """The rows as a ``pandas.DataFrame``; texts that repeat are categories."""
    _library("pandas")
    made = to_arrow(table)
    for place, column in enumerate(made.columns):
        # Names may stand several times in a dictionary, which pandas does not take.
        if hasattr(column.type, "value_type") and hasattr(column.type, "index_type"):
            again = column.cast(column.type.value_type).dictionary_encode()
            made = made.set_column(place, made.column_names[place], again)
    return made.to_pandas()


def to_polars(table: Any) -> Any:
    """The rows as a ``polars.DataFrame``."""
    return _library("polars").DataFrame(table)

"""``Table`` to the libraries that take it; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from ._native import Table
from .errors import UsageError

__all__ = ["Table"]


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        message = f"{name} is not installed; install it, for example with: pip install 'wattline[{extra}]'"
        raise UsageError(message) from None


def to_arrow(table: Any) -> Any:
    """The rows as a ``pyarrow.Table``, without a copy."""
    return _library("pyarrow", "arrow").table(table)


def to_pandas(table: Any) -> Any:
    """The rows as a ``pandas.DataFrame``."""
    _library("pandas", "pandas")
    return to_arrow(table).to_pandas()


def to_polars(table: Any) -> Any:
    """The rows as a ``polars.DataFrame``."""
    return _library("polars", "polars").DataFrame(table)

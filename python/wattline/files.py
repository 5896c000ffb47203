"""Texts into files: ``written``, by the rule of ``Table.write``."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import EndpointError

__all__ = ["written"]


def written(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text to a file; it appears whole or not at all.

    A link is followed; what is no file (a device, a pipe) is written to as it is, never replaced.
    """
    named = Path(path)
    out = Path(os.path.realpath(named))
    try:
        # What /dev/stdout leads to may be there without a name of its own.
        if named.exists() and not out.is_file():
            named.write_text(text, encoding="utf-8")
        else:
            _replaced(out, text)
    except OSError as error:
        why = error.strerror if out.parent.is_dir() else f"there is no folder {named.parent}; make it first"
        raise EndpointError(f"{named} could not be written: {why}") from None
    return named


def _replaced(out: Path, text: str) -> None:
    """Puts a whole file in the place of the one that is there; leaves nothing beside it."""
    beside = out.with_name(f".{out.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(out)
    except OSError:
        if beside.is_file():
            beside.unlink()
        raise

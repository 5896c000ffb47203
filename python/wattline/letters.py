"""Dead letters: the messages of a ``dlq`` topic as a table, and sent back once they are mended."""

from __future__ import annotations

import csv
import os
from typing import NamedTuple

from . import _native
from ._native import Table
from .errors import UsageError
from .kafka import Kafka, _url_of
from .reading import Path

__all__ = ["Replayed", "dead_letters", "replay_letters"]


class Replayed(NamedTuple):
    """What a replay did: letters ``sent``, sent ``before`` by an earlier one, and ``gone`` from the topic."""

    sent: int
    before: int
    gone: int


def dead_letters(endpoint: str | Kafka) -> Table:
    """The letters of a dead letter topic, up to now: where each lies, where it came from, why, its key and ``raw``."""
    return _native.dead_letters(_url_of(endpoint))


def replay_letters(endpoint: str | Kafka, mended: Path) -> Replayed:
    """Sends the letters of a mended CSV export back to their topics, each once, in one transaction.

    What stands in the column ``raw`` is sent; key and headers are the letter's own. Rows that were taken out of
    the file stay dead; a row that an earlier replay sent is not sent again.
    """
    with open(os.fspath(mended), newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        needed = {"letter_partition", "letter_offset", "raw"}
        if not needed <= set(rows.fieldnames or ()):
            raise UsageError(f"{mended} is no export of dead letters as CSV; it needs {', '.join(sorted(needed))}")
        told = {(int(row["letter_partition"]), int(row["letter_offset"])): row["raw"] for row in rows}
    return Replayed(*_native.replay_letters(_url_of(endpoint), told))

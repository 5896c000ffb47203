"""What is read back from any store: which grains, how much of them, and what is handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotFound, UsageError
from ..ledger import Ledger

#: Columns of a windows table that a page needs.
NEEDED = ("sensor_id", "grain", "window_start", "window_label", "readings", "expected", "missing")
#: Grains that are read; a finer one is folded where there are no hours.
WANTED = ("1h", "1d", "1mo", "1q")
FINER = ("30min", "15min", "5min", "1min")
#: Columns that no page shows.
LEFT = ("window_end", "duplicates", "estimated", "revision", "final", "grain")
#: More windows of a grain than this are left out where there are coarser ones: a page is to be made in seconds.
MOST = 600_000

Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class Held:
    """What a store holds."""

    source: str
    tz: str
    rows: dict[str, Rows]
    ledger: Ledger | None
    schema: Any = None
    rejects: Sequence[tuple[Any, ...]] = ()
    notes: list[str] = field(default_factory=list)


def whole(columns: Sequence[str], where: object) -> None:
    """Refuses a table that lacks what a page needs."""
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise UsageError(
            f"{where} has no column {lacking[0]!r}; a page needs {', '.join(NEEDED)}, under these names or those "
            "that the sink of a Pipeline (or pipeline.toml) gives them"
        )


def chosen(there: Mapping[str, int], notes: list[str]) -> list[str]:
    """Which of the grains are read, from how many windows there are of each; ``notes`` says what is left out."""
    grains = [g for g in WANTED if g in there]
    if "1h" not in there:
        grains += [g for g in FINER if g in there][:1]
    if not grains:
        raise NotFound(f"the store has no windows of {', '.join(WANTED)}; it has {', '.join(sorted(there)) or 'none'}")
    fit = [g for g in grains if there[g] <= MOST]
    notes += [too_many(g, there[g]) for g in grains if fit and g not in fit]
    return fit or [min(grains, key=lambda g: there[g])]


def too_many(grain: str, count: int) -> str:
    """What the page says of a grain that is left out."""
    return f"{count:,} windows of {grain} are too many for a page, which looks at coarser ones"

"""The counters of a run: ``Ledger``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import display

__all__ = ["Ledger"]

_TERMS = ("windowed", "late", "null", "dropped", "duplicate", "pending")
_SEEN = ("crossing", "corrected", "windows", "gaps")


class Ledger(Mapping[str, Any]):
    """The counters of a run; its books balance, or the run has failed.

    A mapping: ``ledger["readings"]``, ``ledger["grains"]["1h"]["late"]``. Its ``repr`` shows the equations.
    """

    def __init__(self, counters: Mapping[str, Any]) -> None:
        self._counters = dict(counters)

    def __getitem__(self, name: str) -> Any:
        return self._counters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counters)

    def __len__(self) -> int:
        return len(self._counters)

    def _equations(self) -> list[tuple[str, str]]:
        c = self._counters
        lines = ("preamble", "header", "blank", "continuation", "records")
        readings = _sum(c, ("accepted", "melted")) if c["melted"] else f"{c['readings']:,}"
        shown = [("records", _sum(c, ("accepted", "rejected"))), ("readings", readings)]
        if c["messages"]:
            shown.insert(0, ("messages", _sum(c, ("decoded", "tombstones", "dead", "repeated"))))
        elif c["lines"]:
            shown.insert(0, ("lines", _sum(c, lines)))
        shown[:0] = [("bytes", f"{c['bytes']:,}")] if c["bytes"] else []
        return shown + ([("conflicts", f"{c['conflicts']:,}")] if c["conflicts"] else [])

    def _rows(self) -> tuple[list[str], list[list[str]], list[bool]]:
        names = ["grain", "readings =", *_TERMS, *(f"({name})" for name in _SEEN)]
        rows = [
            [grain, f"{self['readings']:,}", *(f"{books[term]:,}" for term in (*_TERMS, *_SEEN))]
            for grain, books in sorted(self["grains"].items(), key=lambda pair: length(pair[0]))
        ]
        return names, rows, [False] + [True] * (len(names) - 1)

    def __repr__(self) -> str:
        return display.pairs_text("Ledger", self._equations()) + "\n" + display.grid(*self._rows())

    def _repr_html_(self) -> str:
        return display.html(["ledger", ""], self._equations(), [False, True]) + display.html(*self._rows())


#: Minutes in the units of grains, near enough to put them in order.
_MINUTES = {"min": 1, "h": 60, "d": 1440, "w": 10_080, "mo": 43_830, "q": 131_490, "y": 525_960}


def length(grain: str) -> tuple[int, str]:
    """What grains are put in order by."""
    plain = grain.partition("@")[0]
    number = plain.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(number or 0) * _MINUTES.get(plain[len(number) :], 0), grain


def _sum(counters: Mapping[str, int], names: tuple[str, ...]) -> str:
    total = sum(counters[name] for name in names)
    parts = " + ".join(f"{counters[name]:,} {name}" for name in names if counters[name])
    return f"{total:,} = {parts}" if parts else f"{total:,}"

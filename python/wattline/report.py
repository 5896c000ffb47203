"""What a run did: ``Report``, its ``Ledger``, what ``check`` found, what ``state`` holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import display
from ._native import Table

__all__ = ["Finding", "Findings", "Ledger", "Report", "State"]

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
        shown = [("records", _sum(c, ("accepted", "rejected"))), ("readings", f"{c['readings']:,}")]
        if c["lines"]:
            shown.insert(0, ("lines", _sum(c, lines)))
        shown[:0] = [("bytes", f"{c['bytes']:,}")] if c["bytes"] else []
        return shown + ([("conflicts", f"{c['conflicts']:,}")] if c["conflicts"] else [])

    def _rows(self) -> tuple[list[str], list[list[str]], list[bool]]:
        names = ["grain", "readings =", *_TERMS, *(f"({name})" for name in _SEEN)]
        rows = [
            [grain, f"{self['readings']:,}", *(f"{books[term]:,}" for term in (*_TERMS, *_SEEN))]
            for grain, books in sorted(self["grains"].items(), key=lambda pair: _length(pair[0]))
        ]
        return names, rows, [False] + [True] * (len(names) - 1)

    def __repr__(self) -> str:
        return display.pairs_text("Ledger", self._equations()) + "\n" + display.grid(*self._rows())

    def _repr_html_(self) -> str:
        return display.html(["ledger", ""], self._equations(), [False, True]) + display.html(*self._rows())


#: Minutes in the units of grains, near enough to put them in order.
_MINUTES = {"min": 1, "h": 60, "d": 1440, "w": 10_080, "mo": 43_830, "q": 131_490, "y": 525_960}


def _length(grain: str) -> tuple[int, str]:
    plain = grain.partition("@")[0]
    number = plain.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(number or 0) * _MINUTES.get(plain[len(number) :], 0), grain


def _sum(counters: Mapping[str, int], names: tuple[str, ...]) -> str:
    total = sum(counters[name] for name in names)
    parts = " + ".join(f"{counters[name]:,} {name}" for name in names if counters[name])
    return f"{total:,} = {parts}" if parts else f"{total:,}"


class Report:
    """What a run did.

    ``ledger``: counters of this run; ``totals``: of the pipeline since its beginning; ``timings``: seconds by stage
    (``read`` with decoding, ``windows``, ``decide``, ``apply``), which overlap; ``seconds``: wall time; ``outcome``:
    ``done``, ``interrupted`` or ``running``; ``rejects``: the first rejects, a ``Table``. ``summary()`` is a small
    JSON dictionary.
    """

    def __init__(self, summary: str, rejects: Table) -> None:
        self._summary: dict[str, Any] = json.loads(summary)
        self.rejects = rejects

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return str(self._summary["pipeline"])

    @property
    def outcome(self) -> str:
        """``done``, ``interrupted`` or ``running``."""
        return str(self._summary["outcome"])

    @property
    def ledger(self) -> Ledger:
        """Counters of this run."""
        return Ledger(self._summary["ledger"])

    @property
    def totals(self) -> Ledger:
        """Counters of the pipeline since its beginning."""
        return Ledger(self._summary["totals"])

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage; stages overlap."""
        return dict(self._summary["stages"])

    @property
    def seconds(self) -> float:
        """Wall time."""
        return float(self._summary["seconds"])

    @property
    def flushes(self) -> int:
        """Flushes decided in this run."""
        return int(self._summary["flushes"])

    def summary(self) -> dict[str, Any]:
        """Everything but the rejects as plain dictionaries, numbers and texts."""
        return dict(json.loads(json.dumps(self._summary)))

    def _facts(self) -> list[tuple[str, str]]:
        s = self._summary
        facts = [("source", s["source"]), ("took", display.duration(self.seconds)), ("flushes", f"{s['flushes']:,}")]
        facts += [("written", f"{k['rows']:,} rows to {k['sink']}") for k in s["sinks"] if k["sink"] != "memory:"]
        facts += [("note", note) for note in s["notes"]]
        if s["undecided"]:
            facts.append(("undecided", f"flush {s['undecided']['n']}: the next run settles it"))
        if len(self.rejects):
            facts.append(("rejects", f"{self.ledger['rejected']:,}, see .rejects"))
        return [(name, str(value)) for name, value in facts]

    def _stages(self) -> str:
        spent = sorted(self.timings.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{stage} {display.duration(seconds)}" for stage, seconds in spent)

    def __repr__(self) -> str:
        facts = [*self._facts(), ("stages", self._stages())]
        return display.pairs_text(f"Report of {self.pipeline}: {self.outcome}", facts) + "\n" + repr(self.ledger)

    def _repr_html_(self) -> str:
        facts = [*self._facts(), ("stages", self._stages())]
        title = f"Report of {self.pipeline}: {self.outcome}"
        return display.html(["", ""], facts, [False] * 2, title) + self.ledger._repr_html_()

    def __reduce__(self) -> tuple[type[Report], tuple[str, Table]]:
        return Report, (json.dumps(self._summary), self.rejects)


class Finding(NamedTuple):
    """One thing that ``check`` found: ``level`` is ``info``, ``warning`` or ``error``."""

    level: str
    at: str
    message: str


class Findings(tuple[Finding, ...]):
    """What ``check`` found, in order; ``ok`` says whether a run would start."""

    __slots__ = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(finding.level != "error" for finding in self)

    def __repr__(self) -> str:
        return display.grid(["", "at", "what"], self, [False] * 3, full=True)

    def _repr_html_(self) -> str:
        return display.html(["", "at", "what"], self, [False] * 3)


class State(Mapping[str, Any]):
    """What the home of a pipeline holds: epoch, newest flush, positions, counters. A mapping."""

    def __init__(self, held: str) -> None:
        self._held: dict[str, Any] = json.loads(held)

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def ledger(self) -> Ledger | None:
        """Counters since the pipeline's beginning; ``None`` before its first flush."""
        return Ledger(self["totals"]) if self["totals"] else None

    def _facts(self) -> list[tuple[str, str]]:
        held = self._held
        facts = [("pipeline", held["pipeline"]), ("epoch", held["epoch"])]
        if held["head"]:
            facts += [("newest flush", held["head"]["n"]), ("time zone data", held["tzdata"])]
            facts += [("read up to", _position(position)) for position in held["positions"]]
        if held["watermark"] is not None:
            facts.append(("watermark", _instant(held["watermark"])))
        if held["read_under_way"]:
            facts.append(("under way", "a read that the next run ends first"))
        if held["unapplied"]:
            facts.append(("not shown yet", f"{held['unapplied']} flushes: the next run applies them"))
        return [(name, str(value)) for name, value in facts]

    def __repr__(self) -> str:
        books = f"\n{self.ledger!r}" if self.ledger else ""
        return display.pairs_text("State", self._facts()) + books

    def _repr_html_(self) -> str:
        books = self.ledger._repr_html_() if self.ledger else ""
        return display.html(["state", ""], self._facts(), [False] * 2) + books


def _position(position: Mapping[str, Any]) -> str:
    where = position["path"] or position["stream"]
    return f"{where}: byte {position['at']:,}, row {position['row']:,}"


def _instant(micros: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()

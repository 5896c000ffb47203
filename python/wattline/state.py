"""What ``check`` found and what ``state`` holds: ``Findings``, ``State``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from . import _native, display
from ._native import Table
from .ledger import Ledger

__all__ = ["Finding", "Findings", "State"]


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


def once(found: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; what the home's sink said already (a server that is away) is not said of the stored head again."""
    said = set()
    for finding in found:
        if finding.at != "state" or finding.message not in said:
            yield finding
        said.add(finding.message)


class State(Mapping[str, Any]):
    """What the home of a pipeline holds.

    As tables: ``head`` (the newest decided flush, a row a partition that has one), ``positions`` (how far each stream
    was counted), ``watermarks``, ``partitions``, ``sensors``, ``open_windows``. Also a mapping of the same facts as
    plain values, for JSON: ``state["head"]["n"]``; of several heads: ``state["heads"]``.
    """

    def __init__(self, held: str, tables: Sequence[Table], spec: str) -> None:
        self._held: dict[str, Any] = json.loads(held)
        self._spec = spec
        self.head, self.positions, self.watermarks = tables

    @property
    def open_windows(self) -> Table:
        """The windows that are open, as rows of a windows table with ``final`` false. Looks again into the home.

        The source says what the measures are, so it must be there; raises what ``Pipeline.check`` would find.
        """
        return _native.open_windows(self._spec)

    @property
    def partitions(self) -> Table:
        """Each partition of a topic: epoch, flush, offset, end, lag (messages), watermark. Looks again.

        ``end`` and ``lag`` are null where the broker cannot be asked; ``newest`` is the greatest end of interval of a
        partition that shares its head with others.
        """
        return _native.partitions(self._spec)

    @property
    def sensors(self) -> Table:
        """The last reading of each sensor of a stream, the one longest silent first. Looks again into the home."""
        return _native.sensors(self._spec)

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
        if held["heads"]:
            newest = ", ".join(_newest(head) for head in held["heads"])
            facts += [("newest flush", newest), ("time zone data", held["tzdata"])]
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
        facts = [*self._facts(), ("tables", "head, positions, watermarks, partitions, sensors, open_windows")]
        return display.pairs_text("State", facts) + books

    def _repr_html_(self) -> str:
        books = self.ledger._repr_html_() if self.ledger else ""
        return display.html(["state", ""], self._facts(), [False] * 2) + books


def _newest(head: Mapping[str, Any]) -> str:
    number = str(head["head"]["n"])
    return f"{number} of partition {head['partition']}" if head["partition"] else number


def _position(position: Mapping[str, Any]) -> str:
    where = position["path"] or position["stream"]
    if position["path"] is None and "/" in where:
        return f"{where}: offset {position['at']:,}"
    return f"{where}: byte {position['at']:,}, row {position['row']:,}"


def _instant(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()

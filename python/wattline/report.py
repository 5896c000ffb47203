"""What a run did: ``Report``."""

from __future__ import annotations

import json
from typing import Any

from . import display
from ._native import Table
from .ledger import Ledger

__all__ = ["Report"]


class Report:
    """What a run did.

    ``ledger``: counters of this run; ``totals``: of the pipeline since its beginning; ``timings``: seconds by stage
    (``read`` with decoding, ``windows``, ``decide``, ``apply``), which overlap; ``seconds``: wall time; ``outcome``:
    ``done``, ``interrupted``, ``failed`` or ``running``; ``rejects``: the first rejects, a ``Table``. ``summary()`` is
    a small JSON dictionary.
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
        """``done``, ``interrupted``, ``failed`` or ``running``."""
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
    def partitions(self) -> list[dict[str, Any]]:
        """Each partition: newest flush, offset, end, lag (messages), watermark (µs UTC), open windows."""
        return list(self._summary["partitions"])

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
        facts += [("partition", _partition(part)) for part in self.partitions if part["offset"] is not None]
        facts += [("note", note) for note in s["notes"]]
        if s["undecided"]:
            facts.append(("undecided", f"flush {s['undecided']['n']}: the next run settles it"))
        if len(self.rejects):
            facts.append(("rejects", f"{self.ledger['rejected']:,}, see .rejects"))
        return [(name, str(value)) for name, value in facts]

    def _stages(self) -> str:
        spent = sorted(self.timings.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{stage} {display.duration(seconds)}" for stage, seconds in spent)

    def _with(self, books: Ledger) -> str:
        facts = [*self._facts(), ("stages", self._stages())]
        return display.pairs_text(f"Report of {self.pipeline}: {self.outcome}", facts) + "\n" + repr(books)

    def _changed_nothing(self) -> bool:
        """Whether all there is was counted by earlier runs."""
        idle = self.outcome == "done" and not self.flushes and not any(k["rows"] for k in self._summary["sinks"])
        return idle and self.totals["records"] > 0

    def __repr__(self) -> str:
        return self._with(self.ledger)

    def _repr_html_(self) -> str:
        facts = [*self._facts(), ("stages", self._stages())]
        title = f"Report of {self.pipeline}: {self.outcome}"
        return display.html(["", ""], facts, [False] * 2, title) + self.ledger._repr_html_()

    def __reduce__(self) -> tuple[type[Report], tuple[str, Table]]:
        return Report, (json.dumps(self._summary), self.rejects)


def _partition(part: dict[str, Any]) -> str:
    lag = "" if part["lag"] is None else f", {part['lag']:,} messages behind"
    return f"{part['partition']}: offset {part['offset']:,}{lag}"

"""One self-contained page about a load: ``report_page``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from ..display import escaped
from ..files import written
from ..options import Data, WindowOptions, known
from .facts import Facts
from .gather import gather
from .page import figured, page
from .words import percent, quantity, several

__all__ = ["Page", "report_page"]


class Page:
    """A page, ready to be written or shown: ``write(path)``, ``html``. In a notebook it shows itself."""

    def __init__(self, html: str, facts: Facts) -> None:
        self.html = html
        self._facts = facts

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page to a file; it appears whole or not at all; links are followed, devices written to."""
        return written(path, self.html)

    def summary(self) -> dict[str, Any]:
        """The headline figures of each sensor (energy in Wh, levels in W or the measure's unit) as plain values."""
        made = {}
        for sensor, of_it in figured(self._facts):
            made[sensor.name] = {
                "first": sensor.first and sensor.first.isoformat(),
                "last": sensor.last and sensor.last.isoformat(),
                "energy_wh": of_it.energy,
                "mean": of_it.mean,
                "base": of_it.base,
                "highest_hour": list(of_it.peak) if of_it.peak else None,
                "readings": of_it.readings,
                "expected": of_it.expected,
                "missing": of_it.missing,
                "gaps": len(of_it.gaps),
            }
        return made

    def __repr__(self) -> str:
        lines = [f"Page of {self._facts.title!r}: {len(self.html):,} characters"]
        for name, held in self.summary().items():
            share = 1 - held["missing"] / held["expected"] if held["expected"] else None
            facts = (
                quantity(held["energy_wh"], "Wh"),
                several(held["readings"], "reading"),
                f"{percent(share)} complete",
            )
            lines.append(f"  {ascii(name)[1:-1]}: {', '.join(facts)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        style = "width:100%;height:640px;border:1px solid #8884"
        return f'<iframe srcdoc="{escaped_lines(self.html)}" style="{style}" sandbox="allow-scripts"></iframe>'


def escaped_lines(text: str) -> str:
    """Markup as the value of an attribute."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def report_page(
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    title: str | None = None,
    measure: str | None = None,
    submeters: Sequence[str] | None = None,
    **options: Unpack[WindowOptions],
) -> Page:
    """One page about a load, with pictures and exact numbers: opens anywhere, loads nothing, prints well.

    ``data``: a file of readings (a path, a glob, several; anything ``wl.windows`` takes), ``wl.Windows`` at hand, a
    store (``out.db``, a folder of Parquet files, ``postgresql://``, ``cassandra://``), or a ``Pipeline`` that has
    run into one of those. ``out``: where it is written. ``measure``: what the load is, where it is not the first power
    or energy; ``submeters``: measures that are parts of it (by default those named ``sub...``). Other options as in
    ``wl.windows``; records that cannot be read are collected and listed (``on_reject``).

    A file is read once, for hours, days, months and quarters. Shown are energy, load curve, every hour of every day,
    load duration, base load, sub-meters, completeness and gaps, rejects and the ledger; of several sensors the sum and
    the twelve with the most energy.

    Raises what ``wl.windows`` raises; ``NotFound``, ``UsageError`` for stores.
    """
    known(options, WindowOptions, "report_page")
    facts = gather(data, {"title": title, "measure": measure, "submeters": submeters}, options)
    made = Page(page(facts), facts)
    if out is not None:
        made.write(out)
    return made

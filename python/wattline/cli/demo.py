"""``demo``: the whole way on one household, from a file to windows in two stores."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from .. import display
from ..endpoint import Parquet, Sqlite
from ..page import report_page
from ..pipeline import Pipeline
from ..report import Report
from ..sink import Sink
from ..source import write_uci
from .output import guarded

GRAINS = ["15min", "1h", "1d", "1w", "1mo", "1q", "1y"]

QUARTERS = """
    select window_label, readings, expected, missing, global_active_power_energy_wh
    from windows where grain = '1q' order by sensor_id, window_start
"""


@guarded
def demo_command(
    file: Annotated[
        Path | None, typer.Argument(help="A household file; without it 47 simulated months are written.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the stores and the page.")] = Path("out"),
) -> None:
    """Reads one household, computes seven grains in one pass into SQLite and Parquet, shows the result and makes a page
    of it.

    Run again, it changes nothing, and says so.
    """
    out.mkdir(parents=True, exist_ok=True)
    source = file or _simulated(out)
    base = out / source.name.split(".")[0]
    made = Pipeline(
        "demo",
        source=source,
        schema="household",
        grains=GRAINS,
        on_reject="collect",
        sinks=[Sink(Sqlite(base.with_suffix(".db"))), Sink(Parquet(base.with_name(base.name + "_parquet")))],
    )
    report = made.run()
    _show(report, base.with_suffix(".db"))
    page = base.with_name(base.name + ".html") if file else out / "report.html"
    report_page(base.with_suffix(".db"), title=source.name, out=page)
    typer.echo(f"\nthe load on one page: {page}")


def _simulated(out: Path) -> Path:
    path = out / "household_simulated.txt"
    if not path.exists():
        beside = path.with_suffix(".part")
        write_uci(beside, seed=1)
        beside.rename(path)
        typer.echo(f"wrote {path}: one simulated household, 47 months, UCI layout\n")
    return path


def _show(report: Report, store: Path) -> None:
    if report.ledger["records"] == 0:
        typer.echo("nothing new: the file was counted before, the stores are as they were\n")
        books = report.totals
        typer.echo(f"{books!r}\n")
    else:
        typer.echo(f"{report.ledger!r}\n")
    with sqlite3.connect(store) as home:
        rows = [_quarter(*row) for row in home.execute(QUARTERS)]
    head = ["quarter", "readings", "expected", "missing", "energy, Wh"]
    typer.echo(f"energy per quarter, from {store}\n{display.grid(head, rows, [False, *[True] * 4])}\n")
    typer.echo(_spent(report))


def _quarter(label: str, readings: int, expected: int, missing: int, energy: float | None) -> list[str | None]:
    shown = None if energy is None else f"{energy:,.6f}"
    return [label, f"{readings:,}", f"{expected:,}", f"{missing:,}", shown]


def _spent(report: Report) -> str:
    stages = sorted(report.timings.items(), key=lambda pair: -pair[1])
    longest = max((seconds for _, seconds in stages), default=0.0) or 1.0
    rows = [[stage, display.duration(s), "█" * round(30 * s / longest)] for stage, s in stages]
    head = ["stage", "time", ""]
    title = f"where the time went (stages overlap; {display.duration(report.seconds)} in all)"
    return f"{title}\n{display.grid(head, rows, [False, True, False])}"


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("demo")(demo_command)

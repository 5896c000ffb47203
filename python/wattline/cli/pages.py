"""``report``: a page about a load, or the ledger of a stored pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .flags import FLAGS, given, of_pipeline, pipeline, with_flags
from .output import FAILED, guarded

Sources = Annotated[
    list[str], typer.Argument(help="Files, globs, a store (out.db, a Parquet folder, a URL) or one pipeline.toml.")
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write the page to this file: page.html.")]


@guarded
def _report(sources: list[str], out: Path | None, told: dict[str, Any], options: dict[str, Any]) -> None:
    defined = len(sources) == 1 and sources[0].endswith(".toml")
    if defined and out is None:
        _ledger(sources, options)
        return
    page = _page(sources, defined, told, options)
    if out is None:
        typer.echo(repr(page))
        typer.echo("write the page with: -o page.html", err=True)
        return
    page.write(out)
    typer.echo(repr(page))
    typer.echo(f"written to {out}", err=True)


def _page(sources: list[str], defined: bool, told: dict[str, Any], options: dict[str, Any]) -> Any:
    from ..options import WindowOptions
    from ..page import report_page

    if defined:
        return report_page(pipeline(sources, options), **told)
    asked = given(options)
    beside = [name for name in asked if name not in vars(WindowOptions)["__optional_keys__"]]
    if beside:
        flag = FLAGS[beside[0]][1] or "--" + beside[0].replace("_", "-")
        raise UsageError(f"{flag} is nothing for the page of a file; it belongs to a pipeline.toml")
    return report_page(sources[0] if len(sources) == 1 else sources, **told, **asked)


def _ledger(sources: list[str], options: dict[str, Any]) -> None:
    books = pipeline(sources, options).state().ledger
    if books is None:
        sys.stderr.write("wattline: nothing was committed yet\n")
        raise typer.Exit(FAILED)
    typer.echo(repr(books))


@with_flags(of_pipeline())
def report_command(
    sources: Sources,
    out: OutOption = None,
    title: Annotated[str | None, typer.Option("--title", help="Stands at the top of the page.")] = None,
    measure: Annotated[str | None, typer.Option("--load", help="The measure the page is about.")] = None,
    submeters: Annotated[list[str] | None, typer.Option("--submeter", help="A measure that is a part of it.")] = None,
    **options: Any,
) -> None:
    """Makes one page about a load, with pictures, gaps, rejects and the ledger; of a pipeline.toml without -o, prints
    its ledger since its beginning.

    Examples:

    \b
    wattline report household.txt.gz -o page.html
    wattline report out.db -o page.html
    wattline report postgresql://me@db/meters -o page.html
    wattline report pipeline.toml
    """
    _report(sources, out, {"title": title, "measure": measure, "submeters": submeters or None}, options)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("report")(report_command)

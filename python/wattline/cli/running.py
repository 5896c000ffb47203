"""``windows``, ``run``, ``check``, ``state``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import Pipeline, Schema, windows
from ..errors import UsageError
from .flags import given, of_pipeline, of_windows, pipeline, with_flags
from .output import FAILED, Format, FormatOption, OutOption, emit, guarded
from .repairing import Export, Reset, Seek, Yes, changes

Sources = Annotated[list[str], typer.Argument(help="Files, globs, - or sim://...; or one pipeline.toml.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Now = Annotated[bool, typer.Option("--now", help="End an unbounded source at what there is now.")]
Until = Annotated[
    str | None,
    typer.Option("--until", help="now, or a time with its zone: the same, and windows that end by then are final."),
]


@guarded
def _windows(sources: list[str], format: Format, out: Path | None, quiet: bool, options: dict[str, Any]) -> None:
    told = given(options)
    if len(sources) == 1 and sources[0].endswith(".toml"):
        sources, told = _defined(sources[0], told)
    grains = told.pop("grains", None)
    if not grains:
        raise UsageError("no grain is asked for; name some, for example --grain 1h --grain 1d")
    made = windows(sources, grains, progress=False if quiet else None, **told)
    if format is Format.table and out is None:
        for grain, table in made.items():
            typer.echo(f"{grain}: {table!r}\n")
        typer.echo(repr(made.ledger))
        return
    from .._native import concat

    emit(concat(list(made.values())), format, out)


def _defined(path: str, told: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Source and options of a pipeline's .toml that windows have too; flags win."""
    spec = json.loads(Pipeline.from_toml(path)._spec)
    own = {name: spec[name] for name in of_windows() if spec.get(name) is not None}
    if isinstance(own.get("schema"), dict):
        own["schema"] = Schema(**own["schema"])
    source = spec["source"]
    return [source] if isinstance(source, str) else source, own | told


@with_flags(of_windows())
def windows_command(
    sources: Sources,
    format: FormatOption = Format.table,
    out: OutOption = None,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Calendar windows of files, kept nowhere: printed, or written to a file.

    Examples:

    \b
    wattline windows household.txt.gz -o quarters.csv --schema household --grain 1q
    """
    _windows(sources, format, out, quiet, options)


@guarded
def _run(sources: list[str], until: str | None, quiet: bool, json_: bool, options: dict[str, Any]) -> None:
    made = pipeline(sources, options)
    report = made.run(until=until, progress=False if quiet else None)
    if json_:
        typer.echo(json.dumps(report.summary()))
    elif report._changed_nothing():
        typer.echo("nothing new since the last run: the stores are as they were; below is what was counted in all\n")
        typer.echo(report._with(report.totals))
    else:
        typer.echo(repr(report))


@with_flags(of_pipeline())
def run_command(
    sources: Sources,
    now: Now = False,
    until: Until = None,
    quiet: Quiet = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    **options: Any,
) -> None:
    """Runs a pipeline: reads, computes windows, commits them exactly once, and prints the books.

    Run again, it goes on where it was; the same file again changes nothing. A mended export of `wattline rejects`
    is named beside the file it came from. Relative paths in a pipeline.toml begin at the folder the command runs in,
    not at that of the file.

    Examples:

    \b
    wattline run household.txt.gz --schema household --grain 1h --grain 1d --sink out.db
    wattline run pipeline.toml
    wattline run 'sim://?sensors=3' --grain 1min --sink live.db
    """
    _run(sources, until or ("now" if now else None), quiet, json_, options)


@guarded
def _check(sources: list[str], json_: bool, options: dict[str, Any]) -> None:
    told = given(options)
    defined = any(source.endswith(".toml") or "://" in source for source in sources) or "-" in sources
    if defined or {"sinks", "grains", "name"} & {*told}:
        found = pipeline(sources, options).check()
    else:
        from .filecheck import findings

        found = findings(sources, told)
    typer.echo(json.dumps([dict(finding._asdict()) for finding in found]) if json_ else repr(found))
    if not found.ok:
        raise typer.Exit(FAILED)


@with_flags(of_pipeline())
def check_command(
    sources: Sources,
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON list.")] = False,
    **options: Any,
) -> None:
    """Says what is wrong and what to do. Of a pipeline (a .toml, or with --grain and --sink): what would run, before
    row one. Of a file: layout, times, zone, gaps, readings that are there twice, rejects. Writes nothing.

    Examples:

    \b
    wattline check meter.csv
    wattline check pipeline.toml
    """
    _check(sources, json_, options)


@guarded
def _state(
    sources: list[str], json_: bool, told: tuple[list[str] | None, bool, Path | None, bool], options: dict[str, Any]
) -> None:
    seek, reset, export, yes = told
    made = pipeline(sources, options)
    held = made.state(export=export, **changes(made, seek, reset, yes))
    typer.echo(json.dumps(dict(held)) if json_ else repr(held))


@with_flags(of_pipeline())
def state_command(
    sources: Sources,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    seek: Seek = None,
    reset: Reset = False,
    export: Export = None,
    yes: Yes = False,
    **options: Any,
) -> None:
    """Shows what a pipeline's home holds: epoch, newest flush, positions, counters. Repairs it on request.

    Examples:

    \b
    wattline state pipeline.toml
    wattline state pipeline.toml --export before.json --seek 0=1500
    wattline state pipeline.toml --reset
    """
    _state(sources, json_, (seek, reset, export, yes), options)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("windows")(windows_command)
    app.command("run")(run_command)
    app.command("check")(check_command)
    app.command("state")(state_command)

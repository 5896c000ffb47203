"""``state --seek | --reset | --export`` and ``repartition``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import Pipeline
from ..errors import UsageError
from .flags import of_pipeline, pipeline, with_flags
from .output import guarded

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for the pipeline's name.")]
Seek = Annotated[
    list[str] | None, typer.Option("--seek", metavar="PARTITION=OFFSET", help="Read this partition on from here.")
]
Reset = Annotated[bool, typer.Option("--reset", help="Drop the state: the next run counts from the beginning.")]
Export = Annotated[Path | None, typer.Option("--export", help="Write the state to this JSON file first.")]


def confirmed(made: Pipeline, what: str, yes: bool) -> bool | str:
    """``--yes``, or the name that a person types."""
    if yes:
        return True
    typer.echo(f"{what}; this cannot be taken back", err=True)
    try:
        typed: str = typer.prompt("Type the pipeline's name to go on", default="", show_default=False, err=True)
    except typer.Abort:
        typer.echo(err=True)
        raise UsageError("nothing was changed: nobody typed the pipeline's name; pass --yes in a script") from None
    if typed != made.name:
        raise UsageError("nothing was changed: that is not the pipeline's name; pass --yes to leave the question out")
    return typed


def offsets(texts: list[str] | None) -> dict[int, int] | None:
    """``0=15`` as a partition and its offset."""
    found = {}
    for text in texts or []:
        partition, equals, offset = text.partition("=")
        if not (equals and partition.isdecimal() and offset.isdecimal()):
            raise UsageError(f"--seek {text!r} is not PARTITION=OFFSET; write for example --seek 0=1500")
        found[int(partition)] = int(offset)
    return found or None


def changes(made: Pipeline, seek: list[str] | None, reset: bool, yes: bool) -> dict[str, Any]:
    """What ``Pipeline.state`` is told."""
    told: dict[str, Any] = {"seek": offsets(seek), "reset": reset}
    if told["seek"]:
        places = ", ".join(f"offset {at} of partition {partition}" for partition, at in told["seek"].items())
        told["yes"] = confirmed(made, f"the next run of {made.name!r} reads on at {places}", yes)
    elif reset:
        told["yes"] = confirmed(made, f"the next run of {made.name!r} counts everything anew", yes)
    return told


@guarded
def _repartition(sources: list[str], yes: bool, options: dict[str, Any]) -> None:
    made = pipeline(sources, options)
    sure = confirmed(made, f"the open windows of {made.name!r} are moved between partitions", yes)
    for line in made.repartition(yes=sure):
        typer.echo(line)


@with_flags(of_pipeline())
def repartition_command(
    sources: Annotated[list[str], typer.Argument(help="The topic's URL; or one pipeline.toml.")],
    yes: Yes = False,
    **options: Any,
) -> None:
    """Moves open windows to where their sensors' messages go since partitions were added to the topic.

    Count the topic to its end, add partitions (up to a multiple of those there were), then:

    \b
    wattline repartition pipeline.toml
    wattline run pipeline.toml
    """
    _repartition(sources, yes, options)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("repartition")(repartition_command)

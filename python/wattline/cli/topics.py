"""``produce``, and how ``read`` reads a topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .._native import Table
from ..errors import UsageError
from ..kafka import produce, read_kafka
from ..letters import dead_letters, replay_letters
from .output import Format, emit, guarded

Bound = str | None


def bound(text: Bound) -> Any:
    """An offset where it is a number, else a word or a time."""
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def read_topic(
    sources: list[str], schema: str | None, since: Bound, until: Bound, limit: int | None, **told: Any
) -> Table:
    """A range of the one topic that is named."""
    if len(sources) > 1:
        raise typer.BadParameter("one topic at a time")
    return read_kafka(sources[0], schema=schema, since=bound(since), until=bound(until), limit=limit, **told)


@guarded
def produce_command(
    sources: Annotated[list[str], typer.Argument(help="Files, globs, - or sim://..., then the kafka:// URL.")],
    schema: Annotated[
        str | None, typer.Option("--schema", "-s", help="A preset (household) or a .toml file; without it: sniffed.")
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="exact (each row once) or fast (no transactions).")] = "exact",
    name: Annotated[str | None, typer.Option("--name", help="Makes standard input repeatable.")] = None,
    timestamp: Annotated[str | None, typer.Option("--timestamp", help="now: record times are when it is sent.")] = None,
    codec: Annotated[str, typer.Option("--codec", help="json or arrow.")] = "json",
    create: Annotated[bool, typer.Option("--create", help="Make the topic where it is not there.")] = False,
    partitions: Annotated[int | None, typer.Option("--partitions", help="Of a topic that is made.")] = None,
    replication: Annotated[int | None, typer.Option("--replication", help="Of a topic that is made.")] = None,
    retention: Annotated[
        str | None, typer.Option("--retention", help="Of a topic that is made: 7d; by default for ever.")
    ] = None,
    on_reject: Annotated[str, typer.Option("--on-reject", help="raise, collect or skip.")] = "raise",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Sends readings to a topic, each once, however often it is run again.

    Examples:

    \b
    wattline produce household.txt kafka://localhost:9092/power -s household --create
    wattline produce 'sim://?sensors=3&rate=60x' kafka://localhost:9092/live --timestamp now
    """
    if len(sources) < 2:
        raise typer.BadParameter("name what is sent, then the kafka:// URL")
    *inputs, url = sources
    topic = {"partitions": partitions, "replication": replication, "retention": retention}
    asked = {key: value for key, value in topic.items() if value is not None}
    report = produce(
        inputs,
        url,
        schema=schema,
        mode=mode,  # type: ignore[arg-type]
        name=name,
        timestamp=timestamp,  # type: ignore[arg-type]
        codec=codec,  # type: ignore[arg-type]
        create=(asked or True) if create or asked else False,
        on_reject=on_reject,  # type: ignore[arg-type]
        progress=False if quiet else None,
    )
    typer.echo(json.dumps(report.summary()) if json_ else repr(report))


def letters(sources: list[str], replay_file: Path | None, format: Format, out: Path | None) -> None:
    """Exports dead letters, or sends mended ones back."""
    if len(sources) > 1:
        raise UsageError("a dead letter topic stands alone")
    if replay_file is None:
        emit(dead_letters(sources[0]), format, out)
        return
    sent, before, gone = replay_letters(sources[0], replay_file)
    said = f"{sent:,} messages sent back"
    said += f", {before:,} were before" if before else ""
    typer.echo(said + (f", {gone:,} are gone from the topic" if gone else ""), err=True)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("produce")(produce_command)

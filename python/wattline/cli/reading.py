"""``sniff``, ``read``, ``rejects``, ``simulate``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .._native import Table
from ..files import written
from ..reading import read_csv, replay, sniff
from ..schema import text
from ..source import simulate, write_uci
from . import topics
from .output import Format, FormatOption, OutOption, emit, guarded

Sources = Annotated[
    list[str], typer.Argument(help="Files, globs, or - for standard input; .gz .zst .zip are unpacked.")
]
SchemaOption = Annotated[
    str | None, typer.Option("--schema", "-s", help="A preset (household) or a .toml file; without it: sniffed.")
]
MaxRejects = Annotated[int | None, typer.Option("--max-rejects", help="More rejects than this fail in any case.")]

#: How the question begins that a flag of ``sniff`` answers.
ASKED = {"tz": "the zone:", "stamp": "the stamp:", "step": "the step:", "sensor_id": "the sensor:"}

OnRepeatedOption = Annotated[
    str, typer.Option("--on-repeated", help="Local times that occur twice: raise, infer, earliest, latest or null.")
]
OnMissingOption = Annotated[
    str, typer.Option("--on-missing", help="Local times that do not exist: raise, shift or null.")
]


class OnReject(StrEnum):
    """What happens to a record that cannot be read."""

    raise_ = "raise"
    collect = "collect"
    skip = "skip"


@guarded
def sniff_command(
    source: Annotated[str, typer.Argument(help="A file, or - for standard input.")],
    delimiter: Annotated[str | None, typer.Option("--delimiter", "-d", help="Taken as given.")] = None,
    order: Annotated[str | None, typer.Option("--order", help="Of day, month and year: dmy, mdy or ymd.")] = None,
    tz: Annotated[str | None, typer.Option("--tz", help="IANA zone of the file's local times.")] = None,
    stamp: Annotated[str | None, typer.Option("--stamp", help="Whether a time marks start or end.")] = None,
    step: Annotated[str | None, typer.Option("--step", help="Length of a reading's interval: 15min.")] = None,
    sensor_id: Annotated[
        str | None, typer.Option("--sensor-id", help="Name of the sensor, where no column says it.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print schema, reasons and what is not known as one JSON object.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the proposal as TOML, to be edited and used.")
    ] = None,
) -> None:
    """Proposes a schema for a file, with its reasons and what the file cannot tell; that is said with flags, or in the
    TOML.

    Examples:

    \b
    wattline sniff meter.csv -o meter.toml
    wattline sniff meter.csv --tz Europe/Paris --stamp end -o meter.toml
    wattline run meter.csv --schema meter.toml --grain 1d --sink out.db
    """
    found = sniff(source, delimiter=delimiter, order=order)  # type: ignore[arg-type]
    told = {"tz": tz, "stamp": stamp, "step": step, "sensor_id": sensor_id}
    told = {key: value for key, value in told.items() if value is not None}
    made = found.replace(**told) if told else found
    reasons, unknown = found._found()
    unknown = [said for said in unknown if not any(said.startswith(ASKED[key]) for key in told)]
    if json_:
        listed = [dict(zip(("what", "value", "why"), reason, strict=True)) for reason in reasons]
        typer.echo(json.dumps({"schema": json.loads(made._json()), "found": listed, "not_known": unknown}))
    else:
        typer.echo(text(made._json(), reasons, unknown))
    if out is not None:
        written(out, made.to_toml())
        typer.echo(f"written to {out}", err=True)


@guarded
def read_command(
    sources: Sources,
    schema: SchemaOption = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="Only this column; may be repeated.")
    ] = None,
    on_reject: Annotated[
        OnReject, typer.Option("--on-reject", help="A record that cannot be read: raise, collect or skip.")
    ] = OnReject.raise_,
    max_rejects: MaxRejects = None,
    on_repeated: OnRepeatedOption = "raise",
    on_missing: OnMissingOption = "raise",
    threads: Annotated[int | None, typer.Option("--threads", help="By default all cores.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Of a topic: an offset, earliest, or a time with its zone.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Of a topic, not included: an offset, now, or a time with its zone.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Messages of a topic at most.")] = None,
    format: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """Reads text files or a kafka:// topic into a typed table: prints its head, or all of it, or writes a file.

    Examples:

    \b
    wattline read household.txt.gz -s household
    wattline read 'meters/*.csv' -s meter.toml -o meters.parquet
    wattline read kafka://localhost:9092/power -s household --since 2026-01-31T00:00:00Z
    """
    if sources[0].startswith("kafka://"):
        rejects = {"on_reject": on_reject.value, "max_rejects": max_rejects}
        emit(topics.read_topic(sources, schema, since, until, limit, **rejects), format, out)
        return
    table = read_csv(
        sources,
        schema=schema,
        columns=columns or None,
        on_reject=on_reject.value,
        max_rejects=max_rejects,
        on_repeated=on_repeated,  # type: ignore[arg-type]
        on_missing=on_missing,  # type: ignore[arg-type]
        threads=threads,
    )
    emit(table, format, out)
    if table.rejects is not None and len(table.rejects):
        typer.echo(f"{len(table.rejects):,} rejects; see them with: wattline rejects", err=True)


@guarded
def simulate_command(
    sensors: Annotated[int, typer.Option("--sensors", help="Houses.")] = 1,
    start: Annotated[str, typer.Option("--start", help="First instant, ISO 8601.")] = "2026-01-01",
    end: Annotated[str, typer.Option("--end", help="End, not included.")] = "2026-01-02",
    step: Annotated[str, typer.Option("--step", help="One reading in this time.")] = "1min",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same readings.")] = 1,
    uci: Annotated[
        Path | None, typer.Option("--uci", help="Write 47 months of one house in the UCI layout, only that.")
    ] = None,
    format: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """Readings of simulated houses: base load, cooking and laundry peaks, seasons, nights.

    Examples:

    \b
    wattline simulate --sensors 3 --end 2026-02-01 -o houses.parquet
    wattline simulate --uci household.txt
    """
    if uci is not None:
        write_uci(uci, seed=seed)
        typer.echo(f"written to {uci}", err=True)
        return
    emit(simulate(sensors=sensors, start=start, end=end, step=step, seed=seed), format, out)


@guarded
def rejects_command(
    sources: Sources,
    schema: SchemaOption = None,
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="A mended export: read its records as rows.")
    ] = None,
    max_rejects: MaxRejects = None,
    on_repeated: OnRepeatedOption = "raise",
    on_missing: OnMissingOption = "raise",
    format: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """Exports the records that cannot be read, and reads them once they are mended.

    Export, mend the column `raw` in an editor, look at what reads now, commit it:

    \b
    wattline rejects meter.csv -s meter.toml -o mend.csv
    wattline rejects --replay mend.csv meter.csv -s meter.toml
    wattline run meter.csv mend.csv --schema meter.toml --grain 1h --sink out.db

    Give --on-repeated and --on-missing as the run has them, so that the same records are rejects here.

    A run takes the export beside the file it came from, and commits its records exactly once. Of a dead letter
    topic, the messages are exported, and sent back where they came from:

    \b
    wattline rejects kafka://host:9092/power.dlq -o mend.csv
    wattline rejects --replay mend.csv kafka://host:9092/power.dlq
    """
    if any(source.startswith("kafka://") for source in sources):
        topics.letters(sources, replay_file, format, out)
        return
    if replay_file is not None:
        table = replay(replay_file, sources, schema=schema, on_repeated=on_repeated, on_missing=on_missing)  # type: ignore[arg-type]
        emit(table, format, out)
        typer.echo(f"{_left(table):,} records still cannot be read", err=True)
        return
    table = read_csv(
        sources,
        schema=schema,
        on_reject="collect",
        max_rejects=max_rejects,
        on_repeated=on_repeated,  # type: ignore[arg-type]
        on_missing=on_missing,  # type: ignore[arg-type]
    )
    if table.rejects is not None:
        emit(table.rejects, format, out)


def _left(table: Table) -> int:
    return 0 if table.rejects is None else len(table.rejects)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("sniff")(sniff_command)
    app.command("read")(read_command)
    app.command("rejects")(rejects_command)
    app.command("simulate")(simulate_command)

"""The flags of a pipeline: one for each option, from one table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from .. import Pipeline
from ..errors import UsageError
from ..options import PipelineOptions, WindowOptions

#: Option: type, flag (by default the option's name), help.
FLAGS: dict[str, tuple[Any, str | None, str]] = {
    "name": (str, None, "Owns the position in the first sink; the next run with this name goes on."),
    "schema": (str, None, "A preset (household) or a .toml file; without it: sniffed."),
    "grains": (list[str], "--grain", "1min 5min 15min 30min 1h 2h 3h 6h 12h 24h 1d 1w 1mo 1q 1y; anchored: 1d@06:00."),
    "sinks": (
        list[str],
        "--sink",
        "out.db, postgresql://... or a folder; readings=..., late=..., rejects=... what; ...?table=NAME the table.",
    ),
    "tz": (str, None, "IANA zone of the windows."),
    "aggregates": (list[str], "--aggregate", "mean, energy, ... for all measures, or voltage=mean,min."),
    "time": (str, None, "Column of the time, where there is no schema."),
    "sensor": (list[str], None, "Column of the sensor, where there is no schema."),
    "measures": (list[str], "--measure", "Column to aggregate, where there is no schema."),
    "step": (str, None, "Length of a reading's interval."),
    "lateness": (str, None, "How long windows of a stream wait."),
    "on_late": (str, None, "side, drop or correct."),
    "correct_for": (str, None, "How long windows are kept for corrections, in event time."),
    "idle": (str, None, "Silence after which windows close by the clock."),
    "ahead": (str, None, "How far past the clock a reading of a stream may lie."),
    "on_duplicate": (str, None, "Equal readings: once, keep or raise."),
    "on_conflict": (str, None, "Same sensor and time, other values: keep, first, last or raise."),
    "dedupe_for": (str, None, "How far a stream looks back for duplicates."),
    "on_repeated": (str, None, "Local times that occur twice: raise, infer, earliest, latest or null."),
    "on_missing": (str, None, "Local times that do not exist: raise, shift or null."),
    "on_reject": (str, None, "A record that cannot be read: raise, collect or skip."),
    "max_rejects": (int, None, "More rejects than this fail in any case."),
    "flush_interval": (str, None, "Time between flushes of a stream."),
    "flush_rows": (int, None, "Rows of effects after which a flush is made."),
    "chunk_bytes": (int, None, "Bytes of text that one thread decodes at a time."),
    "max_line_bytes": (int, None, "A longer record ends the read."),
    "waiting_rows": (int, None, "Rows that may wait in memory; more are put in order on disk first."),
    "spill_dir": (str, None, "Folder for rows that wait on disk."),
    "take_over": (bool, None, "Take over from an owner that hangs."),
    "stream_name": (str, None, "Makes standard input repeatable."),
    "may_grow": (bool, None, "The file may grow: an unfinished last line waits."),
    "state": (
        str,
        None,
        "Heads of a topic: one a partition (keyed), or one (shared, for topics without keys).",
    ),
    "group": (str, None, "Consumer group that shares a topic's partitions among runs."),
    "instance": (str, None, "Fixed name of this run in the group."),
    "since": (str, None, "Where the first run of a topic begins: earliest, now, or a time with its zone."),
    "cut": (str, None, "Files and then a topic: the instant between them."),
    "dlq": (str, None, "Topic for messages that cannot be read."),
}

#: Options with a short flag, the same as in ``read`` and ``produce``.
SHORT = {"schema": ("-s",)}

#: What a sink may take, in front of its endpoint.
WHAT = ("windows", "readings", "late", "rejects")
DEFAULT_NAME = "wattline"


def parameters(names: list[str]) -> list[inspect.Parameter]:
    """Flags as parameters that typer reads; all optional, so that a definition's own values stand."""
    return [_parameter(name, *FLAGS[name]) for name in names]


def _parameter(name: str, kind: Any, flag: str | None, said: str) -> inspect.Parameter:
    named = [flag or "--" + name.replace("_", "-"), *SHORT.get(name, ())]
    option = Annotated[kind | None, typer.Option(*named, help=said)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)


def of_pipeline() -> list[str]:
    """Every option of a pipeline that has a flag."""
    return [name for name in FLAGS if name == "name" or name in get_type_hints(PipelineOptions)]


def of_windows() -> list[str]:
    """Every option of ``windows`` that has a flag."""
    return [name for name in FLAGS if name == "grains" or name in get_type_hints(WindowOptions)]


def with_flags(names: list[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command that takes ``**options`` a flag for each of ``names``."""

    def give(command: Callable[..., None]) -> Callable[..., None]:
        told = inspect.signature(command, eval_str=True)
        fixed = [p for p in told.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        every = [*fixed, *parameters(names)]
        every = sorted(every, key=lambda p: p.kind)
        command.__signature__ = told.replace(parameters=every)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in every} | {"return": None}
        return command

    return give


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, as the Python call has them."""
    told = {name: value for name, value in options.items() if value not in (None, [])}
    if "aggregates" in told:
        told["aggregates"] = _aggregates(told["aggregates"])
    if "sinks" in told:
        told["sinks"] = [_sink(text) for text in told["sinks"]]
    return told


def _aggregates(texts: list[str]) -> Any:
    named = [text.split("=", 1) for text in texts if "=" in text]
    if not named:
        return [part for text in texts for part in text.split(",")]
    if len(named) < len(texts):
        raise UsageError("--aggregate is either given for all measures or by measure (voltage=mean,min), not both")
    return {measure: listed.split(",") for measure, listed in named}


def _sink(text: str) -> Any:
    what, equals, endpoint = text.partition("=")
    if equals and what in WHAT:
        return {"endpoint": endpoint, "what": what}
    if equals and what.isidentifier():
        raise UsageError(f"--sink {what}=... is nothing a sink takes; write one of {', '.join(WHAT)}, or ./{text}")
    return {"endpoint": text, "what": "windows"}


def pipeline(sources: list[str], options: dict[str, Any]) -> Pipeline:
    """The pipeline that a command names: a .toml file with flags over it, or sources with flags."""
    told = given(options)
    if len(sources) > 1 and any(source.endswith(".toml") for source in sources):
        raise UsageError("a pipeline's .toml stands alone; name its files in it as source")
    if len(sources) == 1 and sources[0].endswith(".toml"):
        return Pipeline.from_toml(sources[0], **told)
    source = sources[0] if len(sources) == 1 else sources
    return Pipeline(told.pop("name", DEFAULT_NAME), source=source, **told)

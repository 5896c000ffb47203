"""``Pipeline``: a definition that runs, stops, and goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Unpack

from . import _native, display
from ._native import Control
from .errors import UsageError, WattlineError
from .options import Data, PipelineOptions, known, spec, split
from .progress import shown
from .reading import Path, counted
from .repair import exported, repaired
from .report import Report
from .signals import chained
from .state import Finding, Findings, State, once

__all__ = ["Pipeline"]

#: ``"now"``, or a time with its zone.
Until = Literal["now"] | str | datetime


class Pipeline:
    """A definition of a run: where readings come from, which windows, where they go. Frozen and picklable.

    ``name`` owns the position in the home, the first of ``sinks``. ``source``: paths, a glob, ``-``, ``sim://...`` or
    Arrow data; a mended export of rejects beside the file it came from. ``schema``, ``grains``, ``aggregates``,
    ``tz``, ``time``, ``sensor``, ``measures``, ``step`` and the policies ``on_...``: as in ``wl.windows``. Unbounded
    sources close windows ``lateness`` behind the greatest event time, after ``idle`` of silence with the clock, and
    reject what lies ``ahead`` of it; ``on_late="correct"`` keeps windows ``correct_for``. ``flush_interval`` and
    ``flush_rows`` say when effects are committed; ``take_over`` takes the pipeline from an owner that hangs;
    ``stream_name`` makes standard input repeatable; ``may_grow`` holds back every unfinished last line, not only
    those that cannot be read yet.

    A topic (``wl.Kafka(...)`` or ``kafka://...``): ``state="keyed"`` gives each partition its own head, so that
    runs of one ``group`` share them (``instance``: a fixed name in it); ``"shared"`` gives all of them one, for
    topics whose keys are not the sensors. The first run begins at ``since`` (``earliest``, ``now``, a time).
    ``source=[files..., topic]`` with ``cut`` takes readings before that instant from the files and the others from
    the topic. ``dlq`` names a topic for messages that cannot be read.
    """

    __slots__ = ("_data", "_running", "_spec")
    _spec: str
    _data: Any
    _running: list[Control]

    def __init__(self, name: str, *, source: Data, **options: Unpack[PipelineOptions]) -> None:
        known(options, PipelineOptions, "Pipeline")
        named, data = split(source)
        self._set(_native.checked_spec(spec({"name": name, "source": named, **options})), data)

    def _set(self, checked: str, data: Any) -> None:
        for slot, value in (("_spec", checked), ("_data", data), ("_running", [])):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Pipeline is frozen; make a new one")

    @property
    def name(self) -> str:
        """The name that owns the position in the home."""
        return str(json.loads(self._spec)["name"])

    @classmethod
    def from_toml(cls, definition: Path, /, **options: Any) -> Pipeline:
        """Reads a definition from a ``.toml`` file or its text; ``options`` win over what it says.

        ``${NAME}`` in a value is taken from the environment, so that no secret stands in the file; the stars that
        ``to_toml`` writes in place of one are refused. Paths in it are relative to the folder the process runs in, as
        in Python, not to the folder of the file: ``cd`` to it first, or write absolute paths.
        """
        text = os.fspath(definition)
        named = text if "\n" not in text and text.endswith(".toml") else None
        if named:
            text = _native.read_text(text)
        try:
            told = json.loads(_native.spec_from_toml(text, list(options))) | options
        except WattlineError as error:
            if named:
                error.args = (f"{named}: {error}",)
            raise
        if not told["source"]:
            raise UsageError('the definition names no source; write for example source = "meter.csv"')
        return cls(told.pop("name"), **told)

    def to_toml(self) -> str:
        """The definition as TOML: what differs from the defaults."""
        return _native.spec_to_toml(self._spec)

    def check(self) -> Findings:
        """Looks at everything a run would need, before row one: source, columns, sinks, stored head.

        Nothing is written. What is wrong comes as findings of level ``error``, not as an exception.
        """
        return Findings(once(Finding(*found) for found in _native.check(self._spec, self._data)))

    def run(self, *, until: Until | None = None, progress: bool | None = None) -> Report:
        """Runs to the end of the source, commits as it goes, and gives a ``Report`` whose books balance.

        The next run goes on where this one ended; running the same file again changes nothing. ``until="now"`` ends
        an unbounded source at what there is, and leaves its open windows open; a time with its zone (a ``datetime`` or
        ISO text) asserts the watermark too: windows that end by then are final. ``progress``: by default on terminals
        and in notebooks.

        Ctrl-C, SIGTERM (in the main thread) and ``stop()`` end it at a decided flush and raise ``Interrupted`` with
        the report. Also raises ``SpecChanged``, ``Fenced``, ``DataLost``, ``EndpointError``, ``LedgerError``, and what
        ``wl.windows`` raises.
        """
        control = Control()
        self._running.append(control)
        try:
            with chained(control), shown(progress, control) as tick:
                return _native.run(self._spec, self._data, _text(until), control, tick)
        finally:
            self._running.remove(control)

    def follow(self, *, until: Until | None = None) -> Iterator[Report]:
        """Runs, and gives a report after each decided flush and one at the end. Leaving the loop stops the run."""
        control = Control()
        self._running.append(control)
        try:
            with chained(control):
                run = _native.Follow(self._spec, self._data, _text(until), control)
                try:
                    yield from run
                finally:
                    run.close()
        finally:
            self._running.remove(control)

    def state(
        self,
        *,
        seek: Mapping[int, int] | None = None,
        reset: bool = False,
        export: Path | None = None,
        yes: bool | str = False,
    ) -> State:
        """What the home holds: head, positions, watermarks, open windows, as tables; counters.

        For repairs, first: ``export`` writes all of it to a JSON file; ``seek={partition: offset}`` moves where a
        topic is read on (what is passed over is not counted, what is read again counts again unless it is a duplicate
        within ``dedupe_for``); ``reset`` drops everything, so that the next run counts from the beginning and writes
        its windows over those that are there. Both want ``yes=True``, or the pipeline's name, and are refused while
        a run owns the pipeline. Raises ``NotFound`` before the first run.
        """
        if export is not None:
            exported(self._spec, export)
        if seek and reset:
            raise UsageError("seek and reset exclude each other; reset begins at the beginning")
        for partition, offset in (seek or {}).items():
            counted(partition=partition, offset=offset)
        if seek or reset:
            repaired(self._spec, {"seek": seek} if seek else "reset", yes)
        held, tables = _native.state(self._spec)
        return State(held, tables, self._spec)

    def repartition(self, *, yes: bool | str = False) -> list[str]:
        """Moves open windows to where their sensors' messages go since partitions were added to the topic.

        Count the topic to its end before partitions are added (a multiple of those there were), call this, then run
        on. Gives a line a partition. Broken off, it goes on where it was.
        """
        return repaired(self._spec, "repartition", yes)

    def stop(self) -> None:
        """Asks the runs of this object to end at the next decided flush. For other threads and signal handlers."""
        for control in tuple(self._running):
            control.stop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and other._spec == self._spec and other._data is self._data

    def __hash__(self) -> int:
        return hash(self._spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._spec, self._data)

    def __repr__(self) -> str:
        return f"Pipeline\n{display.plain_lines(self.to_toml())}"

    def _repr_html_(self) -> str:
        return "<pre>" + "\n".join(display.escaped(line) for line in repr(self).split("\n")) + "</pre>"


def _text(until: Until | None) -> str | None:
    return until.isoformat() if isinstance(until, datetime) else until


def _again(checked: str, data: Any) -> Pipeline:
    made = object.__new__(Pipeline)
    made._set(checked, data)
    return made

"""``Pipeline``: a definition that runs, stops, and goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from . import _native, display
from ._native import Control, Schema
from .options import Aggregates, Data, OnConflict, OnDuplicate, OnLate, listed, spec, split
from .progress import shown
from .reading import OnMissing, OnReject, OnRepeated, Path
from .report import Finding, Findings, Report, State
from .signals import chained
from .sink import Endpoint, Sink, sink_spec

__all__ = ["Pipeline"]


class Pipeline:
    """A definition of a run: where readings come from, which windows, where they go. Frozen and picklable.

    ``name`` owns the position in the home, the first of ``sinks``. ``source``: paths, a glob, ``-``, ``sim://...`` or
    Arrow data. ``schema``, ``grains``, ``aggregates``, ``tz``, ``time``, ``sensor``, ``measures``, ``step`` and the
    policies ``on_...``: as in ``wl.windows``. Unbounded sources close windows ``lateness`` behind the greatest event
    time, after ``idle`` of silence with the clock, and reject what lies ``ahead`` of it; ``on_late="correct"`` keeps
    windows ``correct_for``. ``flush_interval`` and ``flush_rows`` say when effects are committed; ``take_over`` takes
    the pipeline from an owner that hangs; ``stream_name`` makes standard input repeatable; ``may_grow`` holds back an
    unfinished last line.
    """

    __slots__ = ("_data", "_running", "_spec")
    _spec: str
    _data: Any
    _running: list[Control]

    def __init__(
        self,
        name: str,
        *,
        source: Data,
        grains: str | Sequence[str] = (),
        sinks: Sink | Endpoint | Sequence[Sink | Endpoint] = (),
        schema: Schema | Path | None = None,
        tz: str | None = None,
        aggregates: Aggregates | None = None,
        time: str | None = None,
        sensor: str | Sequence[str] | None = None,
        measures: Sequence[str] | None = None,
        step: str | None = None,
        lateness: str = "0s",
        on_late: OnLate = "side",
        correct_for: str | None = None,
        idle: str | None = None,
        ahead: str = "1d",
        on_duplicate: OnDuplicate = "once",
        on_conflict: OnConflict = "keep",
        dedupe_for: str = "1h",
        on_repeated: OnRepeated = "raise",
        on_missing: OnMissing = "raise",
        on_reject: OnReject = "raise",
        max_rejects: int | None = None,
        flush_interval: str = "1s",
        flush_rows: int = 65_536,
        chunk_bytes: int | None = None,
        waiting_rows: int | None = None,
        spill_dir: Path | None = None,
        take_over: bool = False,
        stream_name: str | None = None,
        may_grow: bool = False,
    ) -> None:
        options: dict[str, Any] = {key: value for key, value in locals().items() if key != "self"}
        named, data = split(source)
        alone = isinstance(sinks, (str, os.PathLike, Mapping)) or not isinstance(sinks, Sequence)
        several: Any = [sinks] if alone else sinks
        options |= {"source": named, "grains": listed(grains), "sinks": [sink_spec(sink) for sink in several]}
        options["sensor"] = None if sensor is None else listed(sensor)
        self._set(_native.checked_spec(spec(options)), data)

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
    def from_toml(cls, source: Path, **options: Any) -> Pipeline:
        """Reads a definition from a ``.toml`` file or its text; ``options`` win over what it says.

        ``${NAME}`` in a value is taken from the environment, so that no secret stands in the file.
        """
        text = os.fspath(source)
        if "\n" not in text and text.endswith(".toml"):
            text = _native.read_text(text)
        told = json.loads(_native.spec_from_toml(text)) | options
        return cls(told.pop("name"), **told)

    def to_toml(self) -> str:
        """The definition as TOML: what differs from the defaults."""
        return _native.spec_to_toml(self._spec)

    def check(self) -> Findings:
        """Looks at everything a run would need, before row one: source, columns, sinks, stored head.

        Nothing is written. What is wrong comes as findings of level ``error``, not as an exception.
        """
        return Findings(Finding(*found) for found in _native.check(self._spec, self._data))

    def run(self, *, until: Literal["now"] | None = None, progress: bool | None = None) -> Report:
        """Runs to the end of the source, commits as it goes, and gives a ``Report`` whose books balance.

        The next run goes on where this one ended; running the same file again changes nothing. ``until="now"`` ends
        an unbounded source at what there is, and leaves its open windows open. ``progress``: by default on terminals
        and in notebooks.

        Ctrl-C, SIGTERM (in the main thread) and ``stop()`` end it at a decided flush and raise ``Interrupted`` with
        the report. Also raises ``SpecChanged``, ``Fenced``, ``DataLost``, ``EndpointError``, ``LedgerError``, and what
        ``wl.windows`` raises.
        """
        control = Control()
        self._running.append(control)
        try:
            with chained(control), shown(progress, control) as tick:
                return _native.run(self._spec, self._data, until == "now", control, tick)
        finally:
            self._running.remove(control)

    def follow(self, *, until: Literal["now"] | None = None) -> Iterator[Report]:
        """Runs, and gives a report after each decided flush and one at the end. Leaving the loop stops the run."""
        control = Control()
        self._running.append(control)
        try:
            with chained(control):
                run = _native.Follow(self._spec, self._data, until == "now", control)
                try:
                    yield from run
                finally:
                    run.close()
        finally:
            self._running.remove(control)

    def state(self) -> State:
        """What the home holds: epoch, newest flush, positions, counters. Raises ``NotFound`` before the first run."""
        return State(_native.state(self._spec))

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


def _again(checked: str, data: Any) -> Pipeline:
    made = object.__new__(Pipeline)
    made._set(checked, data)
    return made

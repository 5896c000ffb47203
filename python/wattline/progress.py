"""How far a run is: tqdm's bar, or a line of our own, on a terminal and in a notebook; log lines in a task of Airflow
and where asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ._native import Control

Tick = Callable[[], None]

#: Seconds between log lines.
LOG_EVERY = 10.0


@contextmanager
def shown(progress: bool | None, control: Control) -> Iterator[Tick | None]:
    """Gives what is to be called now and then while ``control``'s run is under way; ``None``: nothing to show."""
    airflow = "AIRFLOW_CTX_TASK_ID" in os.environ
    live = not airflow and (_notebook() or sys.stderr.isatty())
    if progress is False or (progress is None and not live and not airflow):
        yield None
        return
    line = _bar(control) if live else _Log(control)
    try:
        yield line.tick
    finally:
        line.close()


def _bar(control: Control) -> _Bar | _Line:
    """tqdm's bar where it is installed, else a line of our own."""
    try:
        return _Bar(control, sys.stderr)
    except ImportError:
        return _Line(control, sys.stderr)


def _notebook() -> bool:
    shell = sys.modules.get("IPython")
    kernel = getattr(shell.get_ipython(), "kernel", None) if shell else None
    return kernel is not None


def words(control: Control, seconds: float) -> str:
    """One line: share of the bytes, readings, rejects, rate."""
    done, total, readings, rejects, flushes = control.progress()
    share = f"{min(100, 100 * done // total):3}%  " if total else ""
    bad = f", {rejects:,} rejects" if rejects else ""
    rate = readings / seconds if seconds > 0 else 0.0
    return f"{share}{readings:,} readings{bad}, {flushes:,} flushes, {rate / 1e6:.1f} M/s"


class _Bar:
    """tqdm's bar: bytes where their number is known, else readings; it goes away at the end."""

    def __init__(self, control: Control, out: TextIO) -> None:
        if _notebook():
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
        self._control = control
        self._began = time.monotonic()
        self._bar = tqdm(unit="B", unit_scale=True, leave=False, delay=0.5, file=out)

    def tick(self) -> None:
        done, total, readings, *_ = self._control.progress()
        self._bar.total, self._bar.unit = (total, "B") if total else (None, " readings")
        self._bar.set_postfix_str(words(self._control, time.monotonic() - self._began).split("%  ")[-1], refresh=False)
        self._bar.update((min(done, total) if total else readings) - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _Line:
    """One line that is written over; it appears after half a second and goes away at the end."""

    def __init__(self, control: Control, out: TextIO) -> None:
        self._control, self._out = control, out
        self._began = time.monotonic()
        self._width = 0

    def tick(self) -> None:
        seconds = time.monotonic() - self._began
        if seconds < 0.5:
            return
        text = f"{self._bar()}{words(self._control, seconds)}"
        self._out.write("\r" + text.ljust(self._width))
        self._out.flush()
        self._width = len(text)

    def _bar(self) -> str:
        done, total, *_ = self._control.progress()
        if not total:
            return ""
        full = min(20, 20 * done // total)
        return "▕" + "█" * full + " " * (20 - full) + "▏"

    def close(self) -> None:
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._out.flush()


class _Log:
    """A log line now and then, for runs without a terminal."""

    def __init__(self, control: Control) -> None:
        import logging

        self._control, self._logger = control, logging.getLogger("wattline")
        self._began = self._last = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._last >= LOG_EVERY:
            self._last = now
            self._logger.info("%s", words(self._control, now - self._began))

    def close(self) -> None:
        """Nothing is left open."""

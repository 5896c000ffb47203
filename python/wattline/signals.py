"""Ends of runs from outside: SIGTERM in the main thread (then whatever was there before), ``stop_all``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ._native import Control

_running: list[Control] = []


def stop_all() -> None:
    """Asks every run of this process to end at its next decided flush. For signal handlers and other threads."""
    for control in tuple(_running):
        control.stop()


@contextmanager
def chained(control: Control) -> Iterator[None]:
    """While it lasts, ``stop_all`` and SIGTERM stop ``control``'s run; SIGTERM goes on to the earlier handler."""
    _running.append(control)
    try:
        with _handled(control):
            yield
    finally:
        _running.remove(control)


@contextmanager
def _handled(control: Control) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        control.stop()
        if callable(before):
            before(number, frame)

    if before is None or before is signal.SIG_IGN:
        # A handler that is not Python's, or none wanted: left alone.
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

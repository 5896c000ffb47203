"""SIGTERM during a run in the main thread: stop at a decided flush, then whatever was there before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ._native import Control


@contextmanager
def chained(control: Control) -> Iterator[None]:
    """While it lasts, SIGTERM stops ``control``'s run and goes on to the earlier handler, if there was one."""
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

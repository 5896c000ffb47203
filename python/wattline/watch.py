"""Looking at a running stream in a notebook: ``live``."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .errors import Interrupted, UsageError, WattlineError
from .page.moving import Newest, picture
from .pipeline import Pipeline, Until
from .report import Report

__all__ = ["Live", "live"]

Show = Callable[[str], None]


class Live:
    """A run under way in a thread of its own: a table and a chart that refresh, ``stop()``, ``report``.

    Where ipywidgets is installed a button stops it too.
    """

    def __init__(self, pipeline: Pipeline, show: Show, *, last: int, every: float, until: Until | None) -> None:
        self._pipeline, self._show, self._every, self._until = pipeline, show, every, until
        self._newest = Newest(pipeline, last)
        self._report: Report | None = None
        self._error: BaseException | None = None
        self._began = self._shown = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wattline live {pipeline.name}", daemon=True)

    def _start(self) -> Live:
        atexit.register(self._end)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether the run is under way."""
        return self._thread.is_alive()

    @property
    def report(self) -> Report | None:
        """The newest report; ``None`` before the first flush. Raises what ended the run, beside a stop."""
        if self._error is not None:
            raise self._error
        return self._report

    def stop(self) -> Report | None:
        """Ends the run at a decided flush and waits for that; the next run goes on from there. Gives the report."""
        self._end()
        return self.report

    def _end(self) -> None:
        self._stopping.set()
        while self._thread.is_alive():
            # A run that begins just now does not hear the first word.
            self._pipeline.stop()
            self._thread.join(0.05)
        atexit.unregister(self._end)

    def wait(self, timeout: float | None = None) -> Report | None:
        """Waits for the end of the run, or ``timeout`` seconds."""
        self._thread.join(timeout)
        return self.report

    def _run(self) -> None:
        try:
            for report in self._pipeline.follow(until=self._until):
                self._report = report
                if time.monotonic() - self._shown >= self._every or report.outcome != "running":
                    self._refresh(report.outcome)
                if self._stopping.is_set():
                    break
        except Interrupted as stopped:
            self._report = stopped.report or self._report
        except BaseException as error:
            self._error = error
        self._refresh("failed" if self._error else "stopped" if self._stopping.is_set() else "ended")

    def _refresh(self, outcome: str) -> None:
        self._shown = time.monotonic()
        # Where the home is not there yet, or holds nothing to look at, the counters are shown alone.
        with suppress(WattlineError):
            self._newest.look()
        self._show(picture(self._newest, self._report, outcome, self._shown - self._began, self._error))

    def __repr__(self) -> str:
        state = "running" if self.running else "failed" if self._error else "ended"
        done = self._report.ledger["readings"] if self._report else 0
        return f"Live {self._pipeline.name}: {state}, {done:,} readings; stop() ends it at a checkpoint"


def live(
    pipeline: Pipeline,
    *,
    last: int = 60,
    every: float = 0.5,
    until: Until | None = None,
    show: Show | None = None,
) -> Live:
    """Runs a pipeline in the background and shows it in a notebook cell: counters, a chart and a table of its newest
    windows, refreshed at flushes, at most once in ``every`` seconds.

    Returns at once with a ``Live``: its ``stop()``, or the button where ipywidgets is installed, ends the run at a
    decided flush. ``last``: so many windows of the finest grain for each sensor are drawn. ``until``: as in
    ``Pipeline.run``. ``show``: is handed each refresh as HTML, instead of the cell.

    Raises ``UsageError`` where there is neither IPython nor ``show``.
    """
    if every <= 0 or last < 2:
        raise UsageError("every is a number of seconds above 0, last at least 2 windows")
    made: list[Live] = []
    given = show or _cell(lambda: made[0].stop())
    made.append(Live(pipeline, given, last=last, every=every, until=until))
    return made[0]._start()


def _cell(stop: Callable[[], Any]) -> Show:
    """What refreshes the cell: a widget with a button where there are widgets, else a display of IPython."""
    try:
        from IPython.display import HTML, display
    except ImportError:
        raise UsageError("live is for notebooks; elsewhere loop over pipeline.follow(), or give show=") from None
    widgets = _widgets()
    if widgets is None:
        handle = display(HTML(""), display_id=True)
        return lambda text: handle.update(HTML(text))
    shown, button = widgets.HTML(), widgets.Button(description="Stop", icon="stop", tooltip="ends at a checkpoint")

    def pressed(_: object) -> None:
        button.disabled = True
        threading.Thread(target=stop, daemon=True).start()

    button.on_click(pressed)
    display(widgets.VBox([button, shown]))

    def show(text: str) -> None:
        shown.value = text

    return show


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets

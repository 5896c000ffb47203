"""Progress: on a terminal one line that goes away, in logs when asked for, else nothing."""

import io
import logging
import sys
import time

import pytest

import wattline as wl
from wattline import _native, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def later(monkeypatch) -> list[float]:
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_gets_tqdms_bar(monkeypatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")

    class Half:
        def progress(self) -> tuple[int, int, int, int, int]:
            return 512, 1024, 3_000, 1, 2

    with progress.shown(None, Half()) as tick:  # type: ignore[arg-type]
        assert tick is not None
        tick()
        time.sleep(0.6)
        tick()
        assert "50%" in out.getvalue() and "3,000 readings, 1 rejects, 2 flushes" in out.getvalue()
    assert "\n" not in out.getvalue()


def test_a_terminal_without_tqdm_gets_one_line_that_goes_away(monkeypatch, later) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with progress.shown(None, _native.Control()) as tick:
        assert tick is not None
        tick()
        assert out.getvalue() == ""
        later[0] = 1.0
        tick()
        assert "0 readings" in out.getvalue()
    assert out.getvalue().endswith("\r") and "\n" not in out.getvalue()


def test_nothing_without_a_terminal_unless_asked(monkeypatch, later, caplog) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delenv("AIRFLOW_CTX_TASK_ID", raising=False)
    with progress.shown(None, _native.Control()) as tick:
        assert tick is None
    with caplog.at_level(logging.INFO, "wattline"), progress.shown(True, _native.Control()) as tick:
        assert tick is not None
        tick()
        later[0] = 11.0
        tick()
    assert len(caplog.records) == 1 and "readings" in caplog.records[0].message


def test_a_task_of_airflow_gets_log_lines(monkeypatch, later, caplog) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "load")
    with caplog.at_level(logging.INFO, "wattline"), progress.shown(None, _native.Control()) as tick:
        assert tick is not None
        later[0] = 11.0
        tick()
    assert len(caplog.records) == 1


def test_false_is_silent_on_a_terminal_too(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown(False, _native.Control()) as tick:
        assert tick is None


def test_a_run_counts_on_its_wire(uci, tmp_path, monkeypatch, later) -> None:
    seen: list[tuple[int, ...]] = []

    class Spy:
        def __init__(self, control: _native.Control, out: object = None) -> None:
            self.control = control

        def tick(self) -> None:
            """Called while the run waits."""

        def close(self) -> None:
            seen.append(self.control.progress())

    monkeypatch.setattr(progress, "_Log", Spy)
    monkeypatch.setattr(progress, "_Line", Spy)
    made = wl.Pipeline("home", source=uci, schema="household", grains=["1d"], sinks=tmp_path / "o.db")
    made.run(progress=True)
    ((done, total, readings, rejects, flushes),) = seen
    assert readings == 40_000 and rejects == 0 and flushes >= 1
    assert done == total == uci.stat().st_size

"""A running stream in a notebook: what is shown, and that stop() is quick and leaves a checkpoint."""

import sys
import time
import types
from pathlib import Path

import pytest

import wattline as wl
from conftest import python

SOURCE = "sim://?sensors=2&start=2026-01-01&rate=1200x"


def stream(tmp_path: Path, **options: object) -> wl.Pipeline:
    told = {"source": SOURCE, "grains": ["1min", "1h"], "lateness": "1min", "sinks": tmp_path / "live.db", **options}
    return wl.Pipeline("live", **told)


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_it_shows_what_moves_and_stops_at_a_checkpoint(tmp_path: Path) -> None:
    shown: list[str] = []
    pipeline = stream(tmp_path)
    view = wl.live(pipeline, show=shown.append, every=0.01)
    assert view.running
    until(lambda: sum("polyline" in text for text in shown) >= 2)
    report = view.stop()
    assert not view.running and report is not None and report.outcome == "interrupted"
    assert "house-1" in shown[-1] and "house-2" in shown[-1] and "stopped" in shown[-1]
    assert "windows of 1min" in shown[-1] and "global_active_power_mean" in shown[-1]
    # A checkpoint: the home knows all that was counted, and another view goes on from there.
    counted = pipeline.state().ledger["readings"]
    assert counted == report.totals["readings"] > 0
    again = wl.live(pipeline, show=shown.append)
    until(lambda: again.report is not None and again.report.totals["readings"] > counted)
    again.stop()


def test_a_bounded_run_ends_by_itself(tmp_path: Path) -> None:
    shown: list[str] = []
    source = "sim://?sensors=1&start=2026-01-01&end=2026-01-02"
    view = wl.live(stream(tmp_path, source=source), show=shown.append)
    assert view.wait(60).outcome == "done"
    assert "ended" in shown[-1] and "1,440 readings" in shown[-1]
    assert view.stop().outcome == "done"


def test_what_fails_is_shown_and_raised(tmp_path: Path) -> None:
    shown: list[str] = []
    view = wl.live(stream(tmp_path, source=str(tmp_path / "<i>nowhere.csv")), show=shown.append)
    until(lambda: not view.running)
    assert "NotFound" in shown[-1] and "failed" in shown[-1] and "<i>" not in shown[-1]
    with pytest.raises(wl.NotFound):
        view.stop()


def test_a_notebook_cell_is_updated(tmp_path: Path, monkeypatch) -> None:
    texts: list[str] = []
    handle = types.SimpleNamespace(update=lambda html: texts.append(html.data))
    fake = types.ModuleType("IPython.display")
    fake.HTML = lambda data: types.SimpleNamespace(data=data)
    fake.display = lambda thing, display_id: handle
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    view = wl.live(stream(tmp_path), every=0.01)
    until(lambda: any("polyline" in text for text in texts))
    view.stop()


def test_the_button_stops_it(tmp_path: Path, monkeypatch) -> None:
    import ipywidgets

    shown: list[ipywidgets.VBox] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    view = wl.live(stream(tmp_path), every=0.01)
    button, cell = shown[0].children
    until(lambda: "polyline" in cell.value)
    button.click()
    until(lambda: not view.running)
    assert button.disabled and view.report.outcome == "interrupted"


def test_it_is_for_notebooks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(wl.UsageError, match="notebooks"):
        wl.live(stream(tmp_path))


def test_an_interpreter_that_ends_leaves_a_checkpoint(tmp_path: Path) -> None:
    code = (
        "import sys, time, wattline as wl\n"
        "seen = []\n"
        f"p = wl.Pipeline('x', source={SOURCE!r}, grains='1min', sinks=sys.argv[1])\n"
        "wl.live(p, show=seen.append)\n"
        "while not any('polyline' in s for s in seen): time.sleep(0.02)\n"
    )
    done = python(code, tmp_path / "a.db")
    assert done.returncode == 0, done.stderr
    assert wl.Pipeline("x", source=SOURCE, grains="1min", sinks=tmp_path / "a.db").state().ledger["readings"] > 0

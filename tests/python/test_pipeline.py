"""``Pipeline``: runs, goes on, refuses, is frozen, pickled and written as TOML."""

import contextlib
import json
import os
import pickle
import sqlite3
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

import wattline as wl


def rows(path, sql: str = "select count(*) from windows") -> object:
    with sqlite3.connect(path) as store:
        return store.execute(sql).fetchone()[0]


@pytest.fixture
def made(uci, tmp_path) -> wl.Pipeline:
    return wl.Pipeline("home", source=uci, schema="household", grains=["1h", "1d"], sinks=tmp_path / "out.db")


def test_a_run_and_the_same_again(made, tmp_path, household) -> None:
    report = made.run()
    assert report.outcome == "done"
    assert report.ledger["readings"] == 40_000
    due = wl.windows(household, ["1h", "1d"])
    assert rows(tmp_path / "out.db") == len(due["1h"]) + len(due["1d"])
    before = rows(tmp_path / "out.db", "select total(global_active_power_energy_wh) from windows")
    again = made.run()
    assert again.ledger["readings"] == 0
    assert again.totals["readings"] == 40_000
    assert rows(tmp_path / "out.db", "select total(global_active_power_energy_wh) from windows") == before


def test_both_stores_hold_what_windows_gives(uci, tmp_path, household) -> None:
    sinks = [wl.Sqlite(tmp_path / "a.db"), wl.Parquet(tmp_path / "b"), wl.Sink(tmp_path / "a.db", "readings")]
    wl.Pipeline("home", source=uci, schema="household", grains=["1d"], sinks=sinks).run()
    import polars as pl

    due = pl.DataFrame(wl.windows(household, ["1d"])["1d"])
    files = pl.read_parquet(tmp_path / "b" / "**" / "*.parquet", hive_partitioning=False).sort("window_start")
    column = "global_active_power_mean"
    assert files[column].to_list() == due.sort("window_start")[column].to_list()
    with sqlite3.connect(tmp_path / "a.db") as store:
        held = [r[0] for r in store.execute(f"select {column} from windows order by window_start")]
    assert held == due.sort("window_start")[column].to_list()
    assert rows(tmp_path / "a.db", "select count(*) from readings") == 40_000


def test_it_is_frozen_pickled_and_equal(made) -> None:
    with pytest.raises(AttributeError, match="frozen"):
        made.name = "other"
    again = pickle.loads(pickle.dumps(made))
    assert again == made and hash(again) == hash(made)
    assert again.run().ledger["readings"] == 40_000
    sink = wl.Sink(wl.Sqlite("x.db"), "late", columns={"theirs": "time"})
    assert pickle.loads(pickle.dumps(sink)) == sink
    with pytest.raises(AttributeError, match="frozen"):
        sink.what = "windows"


def test_toml_round_trip_with_the_environment(uci, tmp_path, monkeypatch) -> None:
    first = wl.Pipeline("home", source=uci, schema="household", grains=["1h"], lateness="30s", sinks=tmp_path / "o.db")
    assert wl.Pipeline.from_toml(first.to_toml()) == first
    path = tmp_path / "p.toml"
    path.write_text(first.to_toml().replace(str(tmp_path / "o.db"), "${STORE}"))
    monkeypatch.setenv("STORE", str(tmp_path / "o.db"))
    assert wl.Pipeline.from_toml(path) == first
    assert wl.Pipeline.from_toml(path, name="other").name == "other"
    assert "tomorrow.csv" in wl.Pipeline.from_toml(path, source="tomorrow.csv").to_toml()
    monkeypatch.delenv("STORE")
    with pytest.raises(wl.UsageError, match="STORE"):
        wl.Pipeline.from_toml(path)


def test_unknown_words_are_refused(uci) -> None:
    with pytest.raises(TypeError, match="grain"):
        wl.Pipeline("home", source=uci, grain=["1h"])  # type: ignore[call-arg]
    with pytest.raises(wl.UsageError, match="sometimes"):
        wl.Pipeline("home", source=uci, on_late="sometimes")  # type: ignore[arg-type]
    with pytest.raises(wl.UsageError, match="grain"):
        wl.Pipeline.from_toml("name = 'x'\nsource = 'a.csv'\ngrain = ['1h']\n")
    with pytest.raises(wl.WattlineError, match="redis"):
        wl.Pipeline("home", source=uci, grains=["1h"], sinks="redis://host/topic")


def test_check_says_what_would_run_and_writes_nothing(made, tmp_path) -> None:
    found = made.check()
    assert found.ok
    assert {finding.at.split()[0] for finding in found} >= {"source", "windows", "sink"}
    assert not (tmp_path / "out.db").exists()
    bad = wl.Pipeline("home", source=tmp_path / "nowhere.csv", grains=["1h"], sinks=tmp_path / "out.db").check()
    assert not bad.ok
    assert any("no such file" in finding.message for finding in bad if finding.level == "error")
    assert "error" in repr(bad) and "<table>" in bad._repr_html_()


def test_state_before_and_after(made) -> None:
    with pytest.raises(wl.NotFound):
        made.state()
    made.run()
    state = made.state()
    assert state.ledger["readings"] == 40_000
    assert state["head"]["n"] >= 1
    assert "read up to" in repr(state) and "watermark" in state._repr_html_()


def test_a_changed_definition_over_an_old_head_is_refused(made, uci, tmp_path) -> None:
    made.run()
    other = wl.Pipeline("home", source=uci, schema="household", grains=["1h"], sinks=tmp_path / "out.db")
    with pytest.raises(wl.SpecChanged, match="grains"):
        other.run()


def test_a_replaced_file_is_an_error(uci, tmp_path) -> None:
    source = tmp_path / "meter.txt"
    source.write_bytes(uci.read_bytes())
    made = wl.Pipeline("home", source=source, schema="household", grains=["1d"], sinks=tmp_path / "out.db")
    made.run()
    source.write_bytes(source.read_bytes().replace(b"17/12/2006", b"18/12/2006"))
    with pytest.raises(wl.DataLost):
        made.run()


def test_reports_are_plain_pickled_and_escaped(made) -> None:
    report = made.run()
    summary = report.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["ledger"]["grains"]["1h"]["windowed"] > 0
    again = pickle.loads(pickle.dumps(report))
    assert again.summary() == summary
    assert "readings" in repr(report) and "<table>" in report._repr_html_()
    assert all(isinstance(seconds, float) for seconds in report.timings.values())
    assert dict(report.ledger) == summary["ledger"]


def test_follow_gives_reports_and_the_last_is_the_whole(made) -> None:
    reports = list(made.follow())
    assert reports[-1].outcome == "done"
    assert reports[-1].ledger["readings"] == 40_000
    assert all(report.outcome == "running" for report in reports[:-1])


def test_leaving_follow_stops_the_run(tmp_path) -> None:
    live = wl.Pipeline(
        "live",
        source="sim://?sensors=2&start=2026-01-01&rate=20000x",
        grains=["1h"],
        sinks=tmp_path / "live.db",
        flush_interval="50ms",
    )
    for seen, report in enumerate(live.follow()):
        assert report.outcome == "running"
        if seen == 2:
            break
    assert live.state()["head"]["n"] >= 3


def test_handed_data_run_too(household, tmp_path) -> None:
    made = wl.Pipeline("table", source=pa.table(household), grains=["1d"], sinks=tmp_path / "t.db")
    assert made.run().ledger["readings"] == 40_000
    assert os.path.exists(tmp_path / "t.db")


def test_windows_that_are_decided_are_shown_though_no_flush_follows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = {"grains": ["1min"], "lateness": "1min", "flush_interval": "1h", "flush_rows": 8000}
    source = "sim://?sensors=2&start=2026-01-01&rate=6000x"
    made = wl.Pipeline("slow", source=source, sinks=wl.Parquet(out, roll_seconds=0.5), **told)

    def decided() -> int:
        try:
            return int((made.state()["head"] or {}).get("n", 0))
        except wl.NotFound:
            return 0

    def run() -> None:
        with contextlib.suppress(wl.Interrupted):
            made.run(progress=False)

    thread = threading.Thread(target=run)
    thread.start()
    # An eighth of flush_rows is the first flush; the second is a minute away.
    shown = []
    while thread.is_alive() and not shown and decided() < 2:
        time.sleep(0.1)
        shown = list(out.rglob("*.parquet"))
    first = decided()
    made.stop()
    thread.join()
    assert first == 1 and shown

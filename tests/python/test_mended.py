"""Rejects that were mended go through the same engine, once, under a stream of their own."""

import sqlite3
from pathlib import Path

import pytest

import wattline as wl
from conftest import shell

SCHEMA = wl.Schema(
    columns=[
        {"name": "at", "type": "timestamp", "role": "time"},
        {"name": "v", "type": "float", "role": "measure", "measure": "gauge"},
    ],
    tz="UTC",
    sensor_id="m",
)
TEXT = "at,v\n2026-01-01 00:00,1\n2026-01-01 00:30,x2\n2026-01-01 01:00,4\n2026-01-01 01:30,y8\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file with two bad records, and their export with one of them mended."""
    path, mend = tmp_path / "meter.csv", tmp_path / "mend.csv"
    path.write_text(TEXT)
    table = wl.read_csv(path, schema=SCHEMA, on_reject="collect")
    assert table.rejects is not None
    table.rejects.write(mend)
    mend.write_text(mend.read_text().replace(",x2", ",2").replace(",y8", ",8"))
    return path, mend


def made(source: object, store: Path, **options: object) -> wl.Pipeline:
    sinks = [store, wl.Sink(store, "readings"), wl.Sink(store, "late")]
    return wl.Pipeline("p", source=source, schema=SCHEMA, grains="1h", sinks=sinks, on_reject="collect", **options)


def held(store: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(store) as db:
        return db.execute(sql).fetchall()


MEANS = "select v_mean from windows order by window_start"


def test_windows_of_both_are_those_of_the_whole_file(files, tmp_path: Path) -> None:
    path, mend = files
    whole = tmp_path / "whole.csv"
    whole.write_text(TEXT.replace("x2", "2").replace("y8", "8"))
    due = wl.windows(whole, "1h", schema=SCHEMA)["1h"].rows()
    assert wl.windows([path, mend], "1h", schema=SCHEMA, on_reject="collect")["1h"].rows() == due
    made([path, mend], tmp_path / "out.db").run(progress=False)
    assert held(tmp_path / "out.db", MEANS) == [(1.5,), (6.0,)]


def test_a_later_run_commits_them_once(files, tmp_path: Path) -> None:
    path, mend = files
    store = tmp_path / "out.db"
    made(path, store, on_late="correct", correct_for="1d").run(progress=False)
    assert held(store, MEANS) == [(1.0,), (4.0,)]
    for readings in (2, 0, 0):
        report = made([path, mend], store, on_late="correct", correct_for="1d").run(progress=False)
        assert report.ledger["readings"] == readings
        assert held(store, MEANS) == [(1.5,), (6.0,)]
    assert held(store, "select v from readings order by time") == [(1.0,), (2.0,), (4.0,), (8.0,)]
    assert {str(name) for (name,) in held(store, "select file from readings where v in (2, 8)")} == {str(mend)}


def test_behind_final_windows_they_are_late_and_said_so(files, tmp_path: Path) -> None:
    path, mend = files
    store = tmp_path / "out.db"
    made(path, store).run(progress=False)
    report = made([path, mend], store).run(progress=False)
    assert report.ledger["grains"]["1h"]["late"] == 2 - len(held(store, "select 1 from windows where v_mean = 6"))
    assert held(store, "select distinct reason from late") == [("behind a final window",)]
    assert len(held(store, "select 1 from readings")) == 4


def test_what_cannot_be_is_refused(files, tmp_path: Path) -> None:
    path, mend = files
    with pytest.raises(wl.UsageError, match=r"meter\.csv, which is not among the files"):
        made([mend], tmp_path / "out.db").run(progress=False)
    text = mend.read_text()
    made([path, mend], tmp_path / "out.db").run(progress=False)
    mend.write_text(text.replace(",8", ",9"))
    with pytest.raises(wl.DataLost, match="no longer begins"):
        made([path, mend], tmp_path / "out.db").run(progress=False)
    mend.write_text(text.replace(",8", ',""8'))
    with pytest.raises(wl.SchemaError, match="line 5"):
        made([path, mend], tmp_path / "other.db").run(progress=False)


def test_the_shell_takes_it_too(files, tmp_path: Path) -> None:
    path, mend = files
    schema = tmp_path / "meter.toml"
    schema.write_text(SCHEMA.to_toml())
    store = tmp_path / "out.db"
    flags = ["--schema", schema, "--grain", "1h", "--sink", store, "--on-reject", "collect", "--quiet"]
    done = shell("run", path, mend, *flags)
    assert done.returncode == 0, done.stderr
    assert held(store, MEANS) == [(1.5,), (6.0,)]

"""The repeated hour at the end of daylight saving, read by the order of the file."""

import datetime as dt
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

import wattline as wl
from conftest import shell

#: Two passes of 02:xx in Paris, each quarter of an hour, after an hour of summer time.
LOCAL = [f"2007-10-28 {h:02}:{m:02}" for h in (1, 2, 2, 3) for m in (0, 15, 30, 45)]
FIRST = dt.datetime(2007, 10, 27, 23, tzinfo=dt.UTC)
UTC = [FIRST + dt.timedelta(minutes=15 * i) for i in range(16)]
SCHEMA = wl.Schema(
    columns=[
        {"name": "at", "type": "timestamp", "role": "time"},
        {"name": "v", "type": "float", "role": "measure", "measure": "gauge"},
    ],
    tz="Europe/Paris",
    step="15min",
    sensor_id="m",
)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text("at,v\n" + "".join(f"{at},{i}\n" for i, at in enumerate(LOCAL)))
    return path


def hours(table: wl.Table) -> list[tuple[dt.datetime, float]]:
    return table.select("window_start", "v_mean").rows()


MEANS = [(UTC[0] + dt.timedelta(hours=i), 4 * i + 1.5) for i in range(4)]


def test_readers_give_the_second_pass(night: Path) -> None:
    assert [at for at, _ in wl.read_csv(night, schema=SCHEMA, on_repeated="infer").select("at", "v").rows()] == UTC
    batches = wl.scan_csv(night, schema=SCHEMA, on_repeated="infer")
    assert [at for batch in batches for at, _ in batch.select("at", "v").rows()] == UTC
    with pytest.raises(wl.AmbiguousZone, match="twice"):
        wl.read_csv(night, schema=SCHEMA)
    with pytest.raises(wl.UsageError, match=r"on_repeated .guess. is none"):
        wl.read_csv(night, schema=SCHEMA, on_repeated="guess")  # type: ignore[arg-type]
    done = shell("read", night, "--schema", _toml(night), "--on-repeated", "infer", "--format", "csv")
    assert done.stdout.count("2007-10-28T00:") == 4, done


def _toml(beside: Path) -> Path:
    path = beside.with_suffix(".toml")
    path.write_text(SCHEMA.to_toml())
    return path


def test_windows_of_files_and_tables_agree(night: Path) -> None:
    assert hours(wl.windows(night, "1h", schema=SCHEMA, on_repeated="infer")["1h"]) == MEANS
    naive = pa.table(
        {"at": pa.array([dt.datetime.fromisoformat(at) for at in LOCAL]), "v": [float(i) for i in range(16)]}
    )
    assert hours(wl.windows(naive, "1h", schema=SCHEMA, on_repeated="infer")["1h"]) == MEANS


def test_a_run_that_goes_on_within_the_repeated_hour(night: Path, tmp_path: Path) -> None:
    text = night.read_text()
    lines = text.splitlines(keepends=True)
    for upto in range(5, 17):
        night.write_text("".join(lines[:upto]))
        home = tmp_path / f"{upto}.db"
        pipeline = wl.Pipeline("n", source=night, schema=SCHEMA, grains="1h", sinks=home, on_repeated="infer")
        pipeline.run(progress=False)
        night.write_text(text)
        pipeline.run(progress=False)
        with sqlite3.connect(home) as db:
            rows = db.execute("select window_start, v_mean from windows order by window_start").fetchall()
        assert [mean for _, mean in rows] == [mean for _, mean in MEANS], upto


def test_the_sensor_column_must_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("meter,at,v\nm,2007-10-28 02:30,1\n")
    schema = wl.Schema(
        columns=[
            {"name": "meter", "type": "text", "role": "sensor"},
            {"name": "at", "type": "timestamp", "role": "time"},
            {"name": "v", "type": "float", "role": "measure", "measure": "gauge"},
        ],
        tz="Europe/Paris",
    )
    with pytest.raises(wl.UsageError, match="meter"):
        wl.read_csv(path, schema=schema, columns=["at", "v"], on_repeated="infer")


def test_rejects_are_those_of_the_run(night: Path, tmp_path: Path) -> None:
    declared = tmp_path / "s.toml"
    declared.write_text(SCHEMA.to_toml())
    night.write_text(night.read_text() + "2007-10-28 04:00,oops\n")
    every = shell("rejects", night, "-s", declared, "-f", "csv")
    assert len(every.stdout.splitlines()) == 1 + 8 + 1
    mend = tmp_path / "mend.csv"
    asked = ["--on-repeated", "infer", "--on-missing", "shift"]
    alone = shell("rejects", night, "-s", declared, *asked, "-o", mend)
    assert alone.returncode == 0, alone.stderr
    assert [row.split(",")[1] for row in mend.read_text().splitlines()] == ["line", "18"]
    mend.write_text(mend.read_text().replace("2007-10-28 04:00,oops", "2007-10-28 02:15,9"))
    left = shell("rejects", "--replay", mend, night, "-s", declared, "-f", "csv")
    assert "1 records still cannot be read" in left.stderr
    read = shell("rejects", "--replay", mend, night, "-s", declared, "-f", "csv", "--on-repeated", "latest")
    assert "0 records still" in read.stderr
    assert read.stdout.splitlines()[1] == "m,2007-10-28T01:15:00Z,9.0"
    assert shell("rejects", night, "--on-missing", "never").returncode == 2

"""End stamps whose steps stand in a column, or go by sensor."""

import datetime as dt
from pathlib import Path

import pytest

import wattline as wl

COLUMNS = [
    {"name": "meter", "type": "text", "role": "sensor"},
    {"name": "at", "type": "timestamp", "role": "time"},
    {"name": "v", "type": "float", "role": "measure", "measure": "energy", "unit": "kWh"},
    {"name": "seconds", "type": "integer"},
]
STEPS = [{"column": "seconds"}, {"by_sensor": {"a": "15min", "b": "1h"}}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text(
        "meter,at,v,seconds\na,2026-01-01 00:15,1,900\nb,2026-01-01 01:00,2,3600\na,2026-01-01 24:00,3,900\n"
    )
    return path


def schema(step: object) -> wl.Schema:
    return wl.Schema(columns=COLUMNS, tz="UTC", stamp="end", step=step)


@pytest.mark.parametrize("step", STEPS)
def test_they_move_back_by_their_own_step(path: Path, step: object) -> None:
    table = wl.read_csv(path, schema=schema(step))
    starts = [at.replace(tzinfo=None) for (at,) in table.select("at").rows()]
    assert starts == [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, 23, 45)]
    due = wl.windows(path, ["1h", "1d"], schema=schema(step))
    for again in (table, wl.scan_csv(path, schema=schema(step))):
        assert [t.rows() for t in wl.windows(again, ["1h", "1d"]).values()] == [t.rows() for t in due.values()]
    rows = due["1d"].select("sensor_id", "window_start", "v_sum").rows()
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert sorted(rows) == [("a", first, 4.0), ("b", first, 2.0)]


def test_in_the_repeated_hour_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ends = [f"2007-10-28 {h:02}:{m:02}" for h in (2, 2, 3) for m in (0, 15, 30, 45)]
    path.write_text("meter,at,v,seconds\n" + "".join(f"a,{at},1,900\n" for at in ends))
    paris = wl.Schema(columns=COLUMNS, tz="Europe/Paris", stamp="end", step=STEPS[0])
    table = wl.read_csv(path, schema=paris, on_repeated="infer")
    first = dt.datetime(2007, 10, 27, 23, 45, tzinfo=dt.UTC)
    assert [at for (at,) in table.select("at").rows()] == [first + i * dt.timedelta(minutes=15) for i in range(12)]

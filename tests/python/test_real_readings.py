"""The real household: its quarters as worked out independently, to the last digit, in both layouts."""

from decimal import Decimal
from pathlib import Path

import pytest

import wattline as wl

# From the data's own page: rows, rows with readings, sum of Global_active_power (kW), energy (Wh).
QUARTERS = {
    "2006-Q4": (21_996, 21_992, Decimal("41813.282"), Decimal("696888.033333")),
    "2007-Q1": (129_600, 129_595, Decimal("184362.940"), Decimal("3072715.666667")),
    "2007-Q2": (131_040, 127_274, Decimal("114873.166"), Decimal("1914552.766667")),
}
FILES = {
    "household_power_consumption_2006-12_2007-06.txt.gz": list(QUARTERS),
    "household_power_consumption_kaggle.csv.gz": ["2007-Q1", "2007-Q2"],
}
AGGREGATES = {"global_active_power": ["sum", "energy"]}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("schema", ["household", None])
def test_quarters(data: Path, name: str, schema: str | None) -> None:
    windows = wl.windows(data / name, ["1q"], schema=schema, aggregates=AGGREGATES)
    rows = {row["window_label"]: row for row in windows["1q"].to_arrow().to_pylist()}
    assert list(rows) == FILES[name]
    for label in FILES[name]:
        count, with_readings, power, energy = QUARTERS[label]
        row = rows[label]
        assert row["readings"] == with_readings
        assert Decimal(repr(row["global_active_power_sum"])) == power
        assert round(Decimal(repr(row["global_active_power_energy_wh"])), 6) == energy
        assert row["duplicates"] == 0
        if label != "2006-Q4":
            assert row["expected"] == count
            assert row["missing"] == count - with_readings
    books = windows.ledger
    assert books["records"] == sum(QUARTERS[label][0] for label in FILES[name])
    assert books["rejected"] == 0


def test_stores_hold_the_same(data: Path, tmp_path: Path) -> None:
    import sqlite3

    import polars as pl

    name = next(iter(FILES))
    sinks = [tmp_path / "out.db", tmp_path / "out"]
    report = wl.Pipeline("real", source=data / name, schema="household", grains=["1h", "1q"], sinks=sinks).run()
    assert report.ledger["readings"] == 282_636
    columns = "window_label, readings, global_active_power_energy_wh"
    with sqlite3.connect(tmp_path / "out.db") as base:
        rows = base.execute(f"select {columns} from windows where grain = '1q' order by window_start").fetchall()
    for label, readings, energy in rows:
        assert readings == QUARTERS[label][1]
        assert round(Decimal(repr(energy)), 6) == QUARTERS[label][3]
    frame = (
        pl.read_parquet(tmp_path / "out", hive_partitioning=True).filter(pl.col("grain") == "1q").sort("window_start")
    )
    assert frame.select(columns.split(", ")).rows() == rows

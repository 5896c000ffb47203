"""What other libraries make of windows, and the tables of a state."""

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import wattline as wl
from conftest import shell


@pytest.fixture
def two() -> wl.Windows:
    readings = wl.simulate(sensors=2, start="2026-03-28", end="2026-03-31", seed=1)
    return wl.windows(readings, ["1h", "1d"])


def test_polars_takes_one_grain_or_all(two: wl.Windows) -> None:
    assert pl.DataFrame(two["1d"]).height == len(two["1d"]) == 6
    # polars makes one column of structs of any stream but its own and pyarrow's.
    for frame in (pl.DataFrame(two), pl.from_arrow(two).struct.unnest(), pl.from_arrow(pa.table(two))):
        assert frame.height == len(two["1h"]) + len(two["1d"])
        assert frame["grain"].unique().sort().to_list() == ["1d", "1h"]
    assert len(pd.DataFrame(two["1d"].to_pandas())) == 6


def test_pandas_takes_windows_of_thousands_of_sensors(tmp_path: Path) -> None:
    """Its categories have each name once."""
    names, path = [f"m{n}" for n in range(5000)], tmp_path / "fleet.csv"
    times = pd.date_range("2026-01-01", periods=8, freq="15min").strftime("%Y-%m-%dT%H:%MZ")
    rows = [f"{name},{time},1.5" for time in times for name in names]
    path.write_text("\n".join(["meter_id,time,power_kw", *rows]) + "\n")
    table = wl.windows(path, ["1h", "1d"], sensor="meter_id")["1h"]
    frame = pa.table(table).to_pandas()
    assert sorted(frame["sensor_id"].unique()) == sorted(names)


def test_windows_are_read_as_a_mapping(two: wl.Windows) -> None:
    assert list(two) == list(two.keys()) == ["1h", "1d"]
    assert "1d" in two and "1w" not in two and len(two) == 2
    assert two.get("1w") is None and two.get("1d") is two["1d"]
    assert dict(two) == dict(two.items()) and list(two.values()) == [two["1h"], two["1d"]]


def test_a_state_is_tables(uci: Path, tmp_path: Path) -> None:
    made = wl.Pipeline("home", source=uci, schema="household", grains=["1h", "1mo"], sinks=tmp_path / "out.db")
    made.run(progress=False)
    state = made.state()
    assert state.head.select("pipeline", "flush").rows() == [("home", state["head"]["n"])]
    ((stream, path, at, row),) = state.positions.select("stream", "path", "at", "row").rows()
    assert (path, at, row) == (str(uci), uci.stat().st_size, 40_000) and len(stream) == 64
    ((partition, watermark),) = state.watermarks.rows()
    assert partition == 0 and watermark.tzinfo is not None
    open_now = state.open_windows
    assert {grain for (grain,) in open_now.select("grain").rows()} >= {"1mo"}
    assert {final for (final,) in open_now.select("final").rows()} == {False}
    assert open_now.column_names == wl.windows(uci, "1mo", schema="household")["1mo"].column_names
    text = repr(state)
    assert "read up to" in text and "open_windows" in text
    done = shell("state", uci, "--name", "home", "--schema", "household", "--sink", tmp_path / "out.db", "--json")
    assert json.loads(done.stdout)["head"] == state["head"]

"""Charts for notebooks: the same pictures by altair and by matplotlib, from the same rows."""

import pytest

import wattline as wl
from conftest import python
from wattline.plot import rows

CHARTS = [name for name in wl.plot.__all__]


@pytest.fixture(scope="module")
def windows() -> wl.Windows:
    table = wl.simulate(sensors=2, start="2025-11-01", end="2026-01-10", gaps=0.01)
    return wl.windows(table, ["1h", "1d", "1mo", "1q"])


@pytest.mark.parametrize("name", CHARTS)
def test_each_chart_in_each_library(windows: wl.Windows, name: str) -> None:
    drawn = getattr(wl.plot, name)(windows, library="altair").to_dict()
    assert len(drawn["data"]["values"] if "values" in drawn["data"] else next(iter(drawn["datasets"].values()))) > 1
    assert "encoding" in drawn or "spec" in drawn
    figure = getattr(wl.plot, name)(windows, library="matplotlib")
    figure.canvas.draw()
    assert figure.axes and figure.get_suptitle()


def test_the_rows_are_the_windows(windows: wl.Windows) -> None:
    held = rows.held(windows, None, None, {})
    energy = rows.energy(held, "month")
    factor = {"kWh": 1e3, "MWh": 1e6}[energy.unit]
    due = sum(row[-1] for row in windows["1mo"].select("global_active_power_energy_wh").rows())
    assert sum(row["value"] for row in energy.rows) * factor == pytest.approx(due)
    parts = rows.submeters(held)
    factor = {"kWh": 1e3, "MWh": 1e6}[parts.unit]
    assert sum(row["value"] for row in parts.rows) * factor == pytest.approx(due)
    assert len(rows.hours(held).rows) == sum(row[0] > 0 for row in windows["1h"].select("readings").rows())
    assert {row["time"] for row in rows.curve(held).rows} >= {"2025-11-01T00:00", "2026-01-09T00:00"}


def test_one_sensor_and_what_is_not_there(windows: wl.Windows) -> None:
    one = wl.plot.energy(windows, sensor="house-2", by="quarter", library="altair").to_dict()
    values = one["data"].get("values") or next(iter(one["datasets"].values()))
    assert {row["sensor"] for row in values} == {"house-2"}
    with pytest.raises(wl.UsageError, match="house-1, house-2"):
        wl.plot.load_curve(windows, sensor="nobody")
    with pytest.raises(wl.UsageError, match="is none of day, month, quarter"):
        wl.plot.energy(windows, by="year")
    with pytest.raises(wl.UsageError, match="windows of 1h"):
        wl.plot.heat_map(wl.windows(wl.simulate(start="2026-01-01", end="2026-01-03"), "1d"))


def test_a_windows_table_of_another_library(windows: wl.Windows) -> None:
    frame = windows["1h"].to_pandas()
    due = rows.curve(rows.held(windows["1h"], None, None, {}))
    assert rows.curve(rows.held(frame, None, None, {})).rows == due.rows
    assert rows.curve(rows.held(windows["1h"].to_polars(), None, None, {})).rows == due.rows


def test_more_than_a_year_is_drawn_by_weeks() -> None:
    table = wl.simulate(start="2024-01-01", end="2025-06-01", step="1h")
    drawn = rows.hours(rows.held(table, None, None, {}))
    assert len(drawn.rows) == 24 * 74 and "week" in drawn.title


def test_no_library_is_a_clear_sentence(uci) -> None:
    code = (
        "import sys, importlib.util as u\n"
        "there = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('altair', 'matplotlib') else there(name, *a)\n"
        "import wattline as wl\n"
        "try: wl.plot.energy(sys.argv[1], schema='household')\n"
        "except wl.UsageError as error: print(error)\n"
    )
    assert "pip install altair" in python(code, uci).stdout

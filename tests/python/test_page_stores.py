"""Several pipelines in one store: a page, and a running stream, show the windows of the pipeline that was asked for."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import wattline as wl
from wattline.page.moving import Newest

GRAINS = ["1h", "1d", "1mo"]
TWO = [("a", None), ("b", "b_windows")]
HOURS = {"a": 2050, "b": 3075}


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., wl.Pipeline]:
    """A pipeline over hours of one sensor, which has its name."""
    names = [("sensor", "text", {"role": "sensor"}), ("time", "timestamp", {"role": "time"})]
    columns = [{"name": n, "type": t, **more} for n, t, more in [*names, ("power", "float", {"measure": "power"})]]
    columns[2]["unit"] = "kW"
    schema = wl.Schema(columns=columns, tz="UTC", step="1h", dialect={"delimiter": ",", "header": True})

    def made(name: str, endpoint: object, table: str | None) -> wl.Pipeline:
        file, hours = tmp_path / f"{name}.csv", HOURS[name]
        lines = [f"{name}-1,2026-{1 + h // 672:02}-{1 + h // 24 % 28:02}T{h % 24:02}:00:00Z,{h}" for h in range(hours)]
        file.write_text("\n".join(["sensor,time,power", *lines, ""]))
        told = {"schema": schema, "grains": GRAINS, "tz": "Asia/Tokyo" if name == "b" else "UTC"}
        return wl.Pipeline(name, source=file, sinks=wl.Sink(endpoint, table=table), **told)

    return made


def shown(page: wl.Page) -> tuple[set[str], set[int]]:
    """The sensors, and the readings that the ledger tells of."""
    told = re.search(r"<h3>Ledger.*", page.html, re.S)
    assert told is not None
    return {*page.summary()}, {n for n in HOURS.values() if f">{n:,}<" in told[0]}


@pytest.mark.parametrize("second", ["b_windows", "B_Windows"])
def test_a_page_of_a_pipeline_shows_its_own_table_of_the_file(house, tmp_path: Path, second: str) -> None:
    at = wl.Sqlite(tmp_path / "x.db")
    made = [house("a", at, None), house("b", at, second)]
    for pipeline in made:
        pipeline.run(progress=False)
    a, b = (wl.report_page(pipeline) for pipeline in made)
    assert shown(a) == ({"a-1"}, {2050})
    assert shown(b) == ({"b-1"}, {3075})
    assert "Asia/Tokyo" in b.html and "Asia/Tokyo" not in a.html
    assert "holds other tables of windows, not shown here" in wl.report_page(tmp_path / "x.db").html


def test_one_that_has_not_run_is_not_shown_as_another(house, tmp_path: Path) -> None:
    at = wl.Sqlite(tmp_path / "x.db")
    house("a", at, None).run(progress=False)
    with pytest.raises(wl.NotFound, match="'b'"):
        wl.report_page(house("b", at, None))


def test_a_stream_shows_its_own_sensors(house, tmp_path: Path) -> None:
    at = wl.Sqlite(tmp_path / "x.db")
    made = [house(name, at, table) for name, table in TWO]
    for pipeline in made:
        pipeline.run(progress=False)
    for pipeline in made:
        newest = Newest(pipeline, 5)
        newest.look()
        assert {*newest.sensors} == {f"{pipeline.name}-1"}


@pytest.mark.parametrize("tables", [("a_windows", "b_windows"), (None, "b_windows")])
def test_tables_of_one_folder_are_kept_apart(house, tmp_path: Path, tables: tuple[str | None, str]) -> None:
    at = wl.Parquet(tmp_path / "out")
    made = [house(name, at, table) for name, table in zip("ab", tables, strict=True)]
    for pipeline in made:
        pipeline.run(progress=False)
    a, b = (wl.report_page(pipeline) for pipeline in made)
    assert shown(a) == ({"a-1"}, {2050})
    assert shown(b) == ({"b-1"}, {3075})
    assert "Asia/Tokyo" in b.html and "Asia/Tokyo" not in a.html
    folder = wl.report_page(tmp_path / "out")
    assert shown(folder) == ({"a-1"}, {2050})
    assert "b_windows" in folder.html

"""``Table``: the same rows in every library, again and again."""

import json
import math
import pickle
import sqlite3  # noqa: F401  (loaded beside duckdb, as notebooks do)

import arro3.core
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wattline as wl


@pytest.fixture
def rows() -> wl.Table:
    return wl.Table(pa.table({"a": [1, 2, None], "b": ["x", None, "z"], "c": [0.5, 1.5, math.pi]}))


def test_every_library_reads_it_more_than_once(rows: wl.Table) -> None:
    for _ in range(2):
        assert pa.table(rows).to_pydict() == {"a": [1, 2, None], "b": ["x", None, "z"], "c": [0.5, 1.5, math.pi]}
        assert rows.to_polars()["a"].to_list() == [1, 2, None]
        assert rows.to_pandas()["c"].tolist() == [0.5, 1.5, math.pi]
        assert arro3.core.Table.from_arrow(rows).num_rows == 3
        assert duckdb.sql("select sum(a) from rows").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "data",
    [
        pa.table({"a": [1, 2]}),
        pa.record_batch({"a": [1, 2]}),
        pa.table({"a": [1, 2]}).to_reader(),
        pl.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1, 2]}),
        duckdb.sql("select unnest([1, 2]) as a"),
        arro3.core.Table.from_arrow(pa.table({"a": [1, 2]})),
    ],
    ids=["table", "batch", "reader", "polars", "pandas", "duckdb", "arro3"],
)
def test_it_takes_every_library(data: object) -> None:
    assert pa.table(wl.Table(data))["a"].to_pylist() == [1, 2]


def test_the_schema_capsule(rows: wl.Table) -> None:
    assert pa.schema(rows).names == rows.column_names == ["a", "b", "c"]


def test_a_requested_schema_is_cast() -> None:
    narrow = pa.schema([("a", pa.int32())])
    capsule = wl.Table(pa.table({"a": [1]})).__arrow_c_stream__(narrow.__arrow_c_schema__())
    read = pa.RecordBatchReader._import_from_c_capsule(capsule)
    assert read.schema == narrow


def test_it_is_pickled_with_its_schema(household: wl.Table) -> None:
    again = pickle.loads(pickle.dumps(household))
    assert pa.table(again).equals(pa.table(household))
    assert again.schema == household.schema
    assert len(again.rejects) == 0


def test_files_by_their_ending(rows: wl.Table, tmp_path) -> None:
    for ending in ("csv", "json", "parquet", "arrow"):
        rows.write(tmp_path / f"t.{ending}")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == pa.table(rows).to_pydict()
    assert pa.ipc.open_stream((tmp_path / "t.arrow").read_bytes()).read_all().equals(pa.table(rows))
    lines = [json.loads(line) for line in (tmp_path / "t.json").read_text().splitlines()]
    assert lines == pa.table(rows).to_pylist()
    assert pl.read_csv(tmp_path / "t.csv")["c"].to_list() == [0.5, 1.5, math.pi]
    with pytest.raises(wl.UsageError, match="use csv, json, parquet or arrow"):
        rows.write(tmp_path / "t.xls")
    assert len(list(tmp_path.iterdir())) == 4


def test_the_preview_shows_types_units_and_nulls(household: wl.Table) -> None:
    shown = repr(household)
    assert shown.startswith("40,000 rows × 9 columns")
    assert "float kW" in shown and "null" in shown and "timestamp UTC" in shown
    html = household._repr_html_()
    assert "<caption>40,000 rows × 9 columns</caption>" in html and "float kW" in html


def test_what_is_no_data_is_refused_in_words() -> None:
    with pytest.raises((TypeError, ValueError), match="no table with columns"):
        wl.Table(3)


def test_rows_without_any_arrow_library() -> None:
    from datetime import UTC, date, datetime, time

    stamp = datetime(2026, 3, 29, 1, 30, 0, 250, UTC)
    columns = {
        "stamp": pa.array([stamp, None], pa.timestamp("us", "UTC")),
        "naive": pa.array([stamp.replace(tzinfo=None), None], pa.timestamp("us")),
        "day": pa.array([date(2026, 3, 29), None]),
        "time": pa.array([time(1, 30, 0, 250), None], pa.time64("us")),
        "word": pa.array(["x", None]).dictionary_encode(),
        "flag": [True, None],
        "small": pa.array([7, None], pa.int16()),
        "float": [0.1, None],
    }
    table = wl.Table(pa.table(columns))
    first, second = table.rows()
    assert first == (stamp, stamp.replace(tzinfo=None), date(2026, 3, 29), time(1, 30, 0, 250), "x", True, 7, 0.1)
    assert first[0].tzinfo is not None
    assert second == (None,) * 8
    assert table.select("small", "word").rows() == [(7, "x"), (None, None)]
    with pytest.raises(wl.UsageError, match="no column"):
        table.select("nope")


def test_rows_of_unusual_types_are_texts() -> None:
    columns = {"list": [[1, 2], None], "struct": [{"x": 1}, None], "bytes": [b"\xff", None], "nothing": [None, None]}
    assert wl.Table(pa.table(columns)).rows() == [("[1, 2]", "{x: 1}", "ff", None), (None,) * 4]


def test_what_other_libraries_call_it(rows: wl.Table) -> None:
    assert rows.columns == rows.column_names == ["a", "b", "c"]
    assert rows.shape == (3, 3)
    assert rows["b"] == ["x", None, "z"]
    assert rows["a"] == [1, 2, None]
    with pytest.raises(wl.UsageError, match='no column "d"; it has a, b, c'):
        rows["d"]
    with pytest.raises(TypeError):
        list(rows)  # rows or names? neither is guessed


def test_the_head_of_several_batches() -> None:
    parts = pa.table({"n": pa.chunked_array([[1, 2], [3, 4, 5], [6, 7]])})
    table = wl.Table(parts)
    assert [table.head(n)["n"] for n in (0, 1, 2, 4)] == [[], [1], [1, 2], [1, 2, 3, 4]]
    assert table.head().rows() == [(1,), (2,), (3,), (4,), (5,)]
    assert table.head(99).shape == (7, 1)
    assert table.head(0).columns == ["n"]

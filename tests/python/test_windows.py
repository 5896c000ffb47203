"""``windows``: every kind of data gives the same bits; the result is a mapping and a stream."""

import arro3.core
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import wattline as wl

GRAINS = ["1h", "1d"]


def same(a: wl.Windows, b: wl.Windows) -> bool:
    return all(repr(pa.table(a[g]).to_pylist()) == repr(pa.table(b[g]).to_pylist()) for g in a)


def test_a_file_a_table_and_a_reader_give_the_same(uci, household) -> None:
    from_file = wl.windows(uci, GRAINS, schema="household")
    assert same(from_file, wl.windows(household, GRAINS))
    assert same(from_file, wl.windows(wl.scan_csv(uci, schema="household"), GRAINS))
    assert from_file.ledger["readings"] == 40_000


def test_of_a_file_only_the_measures_named_are_read(uci, tmp_path) -> None:
    power = ["global_active_power"]
    due = wl.windows(uci, GRAINS, schema="household", measures=power)
    whole = pa.table(wl.windows(uci, GRAINS, schema="household")["1d"])
    columns = [name for name in pa.table(due["1d"]).column_names if name != "readings"]
    assert not any(name.startswith("voltage") for name in columns)
    assert pa.table(due["1d"]).select(columns).to_pylist() == whole.select(columns).to_pylist()
    lines = uci.read_text().splitlines()
    fields = lines[5].split(";")
    lines[5] = ";".join([*fields[:4], "no number", *fields[5:]])
    faulty = tmp_path / "faulty.txt"
    faulty.write_text("\n".join(lines) + "\n")
    assert same(due, wl.windows(faulty, GRAINS, schema="household", measures=power))
    with pytest.raises(wl.RejectLimit):
        wl.windows(faulty, GRAINS, schema="household")


@pytest.fixture
def plain() -> pa.Table:
    start = pd.Timestamp("2026-03-01T00:00:00Z")
    times = [start + pd.Timedelta(minutes=7 * i) for i in range(2_000)]
    return pa.table(
        {
            "sensor": ["a" if i % 3 else "b" for i in range(2_000)],
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "value": [None if i % 11 == 0 else i / 7 for i in range(2_000)],
        }
    )


@pytest.mark.parametrize(
    "give",
    [
        lambda t: t,
        lambda t: t.to_reader(max_chunksize=100),
        lambda t: t.combine_chunks().to_batches()[0],
        pl.from_arrow,
        lambda t: t.to_pandas(),
        lambda t: duckdb.sql("select * from t"),
        lambda t: arro3.core.Table.from_arrow(t),
        wl.Table,
    ],
    ids=["pyarrow", "reader", "batch", "polars", "pandas", "duckdb", "arro3", "wattline"],
)
def test_every_library_gives_the_same_bits(plain: pa.Table, give) -> None:
    told = {"time": "time", "sensor": "sensor", "measures": ["value"], "step": "7min"}
    due = wl.windows(plain, GRAINS, **told)
    assert same(due, wl.windows(give(plain), GRAINS, **told))
    assert sum(pa.table(due["1d"])["readings"].to_pylist()) == sum(v is not None for v in plain["value"].to_pylist())


def test_it_is_a_mapping_and_an_arrow_stream(household) -> None:
    made = wl.windows(household, GRAINS)
    assert sorted(made) == sorted(GRAINS) and len(made) == 2
    assert "1d" in made and "1w" not in made
    whole = pa.table(made)
    assert whole.num_rows == sum(len(t) for t in made.values())
    assert set(whole["grain"].to_pylist()) == set(GRAINS)
    assert duckdb.sql("select count(*) from made").fetchall() == [(whole.num_rows,)]
    assert pa.schema(made) == whole.schema
    assert len(made.late) == 0
    assert made.report.ledger["readings"] == 40_000
    assert "Windows" in repr(made) and "<table>" in made._repr_html_()


def test_what_is_asked_for_wrongly(household, uci) -> None:
    with pytest.raises(TypeError, match="lateness_"):
        wl.windows(household, GRAINS, lateness_="1h")  # type: ignore[call-arg]
    with pytest.raises(wl.WattlineError, match="1min"):
        wl.windows(household, ["1hour"])
    with pytest.raises(wl.UsageError, match="grain"):
        wl.windows(household, [])
    with pytest.raises(wl.UsageError, match="int is no data"):
        wl.windows(3, GRAINS)
    with pytest.raises(wl.SchemaError, match="nope"):
        wl.windows(household, GRAINS, aggregates={"nope": ["mean"]})
    with pytest.raises(wl.AmbiguousZone, match="tz"):
        wl.windows(uci, GRAINS, schema="household", tz="Europe/Paris")


def test_a_stream_that_fails_in_its_middle_is_an_error(plain: pa.Table) -> None:
    def broken():
        yield plain.to_batches()[0]
        raise RuntimeError("the cable is out")

    reader = pa.RecordBatchReader.from_batches(plain.schema, broken())
    with pytest.raises(wl.WattlineError, match="the cable is out"):
        wl.windows(reader, GRAINS, time="time", sensor="sensor", measures=["value"])


def test_all_grains_to_each_library() -> None:
    readings = wl.simulate(sensors=1, start="2026-01-01", end="2026-01-02", seed=1)
    made = wl.windows(readings, GRAINS)
    assert made.to_polars()["grain"].to_list() == ["1h"] * 24 + ["1d"]
    assert made.to_arrow()["grain"].to_pylist() == made.to_pandas()["grain"].tolist() == ["1h"] * 24 + ["1d"]

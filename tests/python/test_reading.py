"""``read_csv`` and ``scan_csv`` as a user meets them: lists, rejects, columns, one use."""

import gzip

import pyarrow as pa
import pytest

import wattline as wl

SCHEMA = wl.Schema(
    columns=[
        {"name": "time", "type": "timestamp", "role": "time"},
        {"name": "value", "type": "float", "measure": "gauge", "unit": "°C"},
    ],
    sensor_id="a",
)
GOOD = "time,value\n2026-01-01T00:00:00Z,1.5\n2026-01-01T00:01:00Z,\n2026-01-01T00:02:00Z,3\n"
BAD = "time,value\n2026-01-01T00:00:00Z,1.5\n2026-01-01T00:01:00Z,x<y\n2026-01-01T00:02:00Z,3\n"


def test_several_files_are_one_table(write, tmp_path) -> None:
    write(GOOD, "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    several = wl.read_csv([tmp_path / "a.csv", tmp_path / "b.csv.gz"], schema=SCHEMA)
    assert pa.table(several)["value"].to_pylist() == [1.5, None, 3.0] * 2
    assert len(wl.read_csv(str(tmp_path / "*.csv*"), schema=SCHEMA)) == 6
    assert sum(len(piece) for piece in wl.scan_csv(str(tmp_path / "*"), schema=SCHEMA)) == 6


def test_rejects_are_collected_with_everything_needed_to_mend_them(write) -> None:
    path = write(BAD)
    table = wl.read_csv(path, schema=SCHEMA, on_reject="collect")
    assert len(table) == 2
    (reject,) = pa.table(table.rejects).to_pylist()
    assert reject["file"] == str(path)
    assert (reject["line"], reject["row"], reject["column"]) == (3, 1, "value")
    assert reject["raw"] == "2026-01-01T00:01:00Z,x<y"
    assert path.read_bytes()[reject["byte"] :].startswith(reject["raw"].encode())
    assert "x<y" not in table.rejects._repr_html_()


def test_the_three_ways_and_the_limit(write) -> None:
    path = write(BAD)
    with pytest.raises(wl.RejectLimit):
        wl.read_csv(path, schema=SCHEMA)
    assert len(wl.read_csv(path, schema=SCHEMA, on_reject="skip")) == 2
    with pytest.raises(wl.RejectLimit):
        wl.read_csv(path, schema=SCHEMA, on_reject="skip", max_rejects=0)
    with pytest.raises(wl.UsageError, match="raise, collect or skip"):
        wl.read_csv(path, schema=SCHEMA, on_reject="ignore")  # type: ignore[arg-type]


def test_mended_rejects_are_replayed(write, tmp_path) -> None:
    path = write(BAD)
    mend = tmp_path / "mend.csv"
    wl.read_csv(path, schema=SCHEMA, on_reject="collect").rejects.write(mend)
    assert len(wl.replay(mend, path, schema=SCHEMA)) == 0
    mend.write_text(mend.read_text().replace("Z,x<y", "Z,2.5"))
    mended = wl.replay(mend, path, schema=SCHEMA)
    assert pa.table(mended)["value"].to_pylist() == [2.5]
    assert len(mended.rejects) == 0


def test_columns(uci) -> None:
    table = wl.read_csv(uci, schema="household", columns=["time", "voltage"])
    assert table.column_names == ["sensor_id", "time", "voltage"]
    with pytest.raises(wl.SchemaError, match="no column"):
        wl.read_csv(uci, schema="household", columns=["volts"])


def test_a_reader_is_the_table_in_pieces(uci, household) -> None:
    pieces = [pa.table(piece) for piece in wl.scan_csv(uci, schema="household")]
    assert pa.concat_tables(pieces).combine_chunks().equals(pa.table(household).combine_chunks())
    streamed = pa.table(wl.scan_csv(uci, schema="household"))
    assert streamed.combine_chunks().equals(pa.table(household).combine_chunks())


@pytest.mark.parametrize("second", [list, pa.table, lambda r: wl.windows(r, ["1h"])])
def test_a_reader_is_used_once(uci, second) -> None:
    reader = wl.scan_csv(uci, schema="household")
    assert len(list(reader)) > 0
    with pytest.raises(wl.UsageError, match="once"):
        second(reader)


def test_an_error_in_the_middle_of_a_stream_reaches_the_one_who_pulls(write) -> None:
    path = write(GOOD + "2026-01-01T00:03:00Z,x\n")
    with pytest.raises(wl.RejectLimit, match="x"):
        list(wl.scan_csv(path, schema=SCHEMA))
    with pytest.raises(Exception, match="x"):
        pa.table(wl.scan_csv(path, schema=SCHEMA))


def test_a_schema_by_path(uci, tmp_path) -> None:
    path = tmp_path / "household.toml"
    path.write_text(wl.Schema.preset("household").to_toml())
    assert len(wl.read_csv(uci, schema=path)) == 40_000
    with pytest.raises(wl.NotFound):
        wl.read_csv(uci, schema="nowhere.toml")


def test_what_is_no_table_is_refused(write) -> None:
    path = write(b"PAR1" + bytes(range(256)) * 20, "x.csv")
    with pytest.raises(wl.SchemaError, match="Parquet"):
        wl.read_csv(path)
    with pytest.raises(wl.SchemaError, match="LFS"):
        wl.read_csv(write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "lfs.csv"))

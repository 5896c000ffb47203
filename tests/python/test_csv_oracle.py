"""read_csv against Python's csv module and pyarrow, over generated files."""

import csv
import io
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wattline as wl

# No character that ends a line for one reader and not for the other, and no lone surrogate.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff"), max_size=12)
QUOTED = st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "a", "é", " ", "0"]), max_size=8).map("".join)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def declared(kinds: dict[str, str]) -> wl.Schema:
    columns = ", ".join(f'{{name = "{name}", type = "{kind}"}}' for name, kind in kinds.items())
    return wl.Schema.from_toml(f'columns = [{columns}]\n[dialect]\ndelimiter = ","\nheader = true\n')


def written(rows: list[list[str]], names: list[str], **how: object) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, **how)  # type: ignore[arg-type]
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()


@SETTINGS
@given(
    rows=st.lists(st.lists(TEXT | QUOTED, min_size=3, max_size=3), max_size=30),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_text_fields_are_those_of_the_csv_module(tmp_path: Path, rows: list[list[str]], quoting: int, end: str) -> None:
    text = written(rows, ["a", "b", "c"], quoting=quoting, lineterminator=end)
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    table = wl.read_csv(path, schema=declared(dict.fromkeys("abc", "text"))).to_arrow()
    due = list(csv.reader(io.StringIO(text, newline="")))[1:]
    held = [[row[name] or "" for name in "abc"] for row in table.to_pylist()]
    assert held == [row for row in due if row]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18).map(float)


@SETTINGS
@given(values=st.lists(NUMBERS, min_size=1, max_size=50), digits=st.none() | st.integers(0, 12))
def test_numbers_are_the_nearest_floats(tmp_path: Path, values: list[float], digits: int | None) -> None:
    texts = [repr(v) if digits is None else f"{v:.{digits}f}" for v in values]
    path = tmp_path / "n.csv"
    path.write_text("x\n" + "\n".join(texts) + "\n")
    held = wl.read_csv(path, schema=declared({"x": "float"})).to_arrow()["x"].to_pylist()
    assert [math.copysign(1, h) for h in held] == [math.copysign(1, float(t)) for t in texts]
    assert held == [float(t) for t in texts]


@SETTINGS
@given(
    rows=st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.dates(), st.datetimes(), st.booleans(), st.none() | TEXT),
        min_size=1,
        max_size=20,
    )
)
def test_types_are_those_of_pyarrow(tmp_path: Path, rows: list[tuple]) -> None:
    lines = [
        [str(i), f"{d:%Y-%m-%d}".zfill(10), t.isoformat(" ", "microseconds"), str(b).lower(), s or ""]
        for i, d, t, b, s in rows
    ]
    names = ["i", "d", "t", "b", "s"]
    path = tmp_path / "types.csv"
    path.write_bytes(written(lines, names, lineterminator="\n").encode())
    kinds = {"i": "integer", "d": "date", "t": "timestamp", "b": "boolean", "s": "text"}
    ours = wl.read_csv(path, schema=declared(kinds)).to_arrow()
    types = {"i": pa.int64(), "d": pa.date32(), "t": pa.timestamp("us"), "b": pa.bool_(), "s": pa.string()}
    convert = pacsv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    theirs = pacsv.read_csv(path, convert_options=convert)
    for name in names:
        due = theirs[name].cast(pa.int64()).to_pylist() if name == "t" else theirs[name].to_pylist()
        held = ours[name].cast(pa.int64()).to_pylist() if name == "t" else ours[name].to_pylist()
        assert held == due, name


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".zip"])
def test_the_same_table_packed_or_not_for_any_number_of_threads(
    tmp_path: Path, data: Path, threads: int, ending: str
) -> None:
    import gzip
    import zipfile

    text = gzip.decompress((data / "household_power_consumption_kaggle.csv.gz").read_bytes())[:3_000_000]
    text = text[: text.rindex(b"\n") + 1]
    path = tmp_path / f"k.csv{ending}"
    if ending == ".gz":
        path.write_bytes(gzip.compress(text, 1))
    elif ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("k.csv", text)
    elif ending == ".zst":
        path.write_bytes(pa.Codec("zstd").compress(text, asbytes=True))
    else:
        path.write_bytes(text)
    plain = tmp_path / "plain.csv"
    plain.write_bytes(text)
    one = wl.read_csv(plain, schema="household", threads=1).to_arrow()
    assert wl.read_csv(path, schema="household", threads=threads).to_arrow().equals(one)
    streamed = pa.concat_tables([pa.table(b) for b in wl.scan_csv(path, schema="household")])
    assert streamed.combine_chunks().equals(one.combine_chunks())


def test_good_neighbours_of_a_bad_record_are_untouched(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("i,x\n1,1.5\n2,zwei\n3,nan\n4\n5,2.5\n6,7,8\n7,3.5")
    table = wl.read_csv(path, schema=declared({"i": "integer", "x": "float"}), on_reject="collect")
    assert table.to_arrow().to_pylist() == [{"i": 1, "x": 1.5}, {"i": 5, "x": 2.5}, {"i": 7, "x": 3.5}]
    rejects = table.rejects.to_arrow().to_pylist()
    assert [(r["line"], r["row"], r["byte"], r["raw"]) for r in rejects] == [
        (3, 1, 10, "2,zwei"),
        (4, 2, 17, "3,nan"),
        (5, 3, 23, "4"),
        (7, 5, 31, "6,7,8"),
    ]
    with pytest.raises(wl.RejectLimit) as caught:
        wl.read_csv(path, schema=declared({"i": "integer", "x": "float"}))
    assert (caught.value.line, caught.value.column) == (3, "x")

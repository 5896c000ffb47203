"""Last lines without an end, files named twice, readings of files with one name."""

import sqlite3
from pathlib import Path

import pytest

import wattline as wl

SCHEMA = wl.Schema(
    columns=[
        {"name": "at", "type": "timestamp", "role": "time"},
        {"name": "v", "type": "float", "role": "measure", "measure": "gauge"},
        {"name": "note", "type": "text"},
    ],
    tz="UTC",
    sensor_id="m",
)
HEAD = "at,v,note\n2026-01-01 00:00,1,a\n"
LAST = '2026-01-01 01:00,2,"b, c"'


def pipeline(source: object, store: Path, **options: object) -> wl.Pipeline:
    return wl.Pipeline(
        "p", source=source, schema=SCHEMA, grains="1h", sinks=[store, wl.Sink(store, "readings")], **options
    )


def values(store: Path) -> list[float]:
    with sqlite3.connect(store) as db:
        return [v for (v,) in db.execute("select v from readings order by time")]


@pytest.mark.parametrize("at", range(1, len(LAST)))
def test_a_line_cut_anywhere_waits_for_its_rest(write, tmp_path: Path, at: int) -> None:
    path, store = write(HEAD + LAST[:at]), tmp_path / "out.db"
    made = pipeline(path, store)
    # Three whole fields are a record as far as anyone can tell; it is counted, and going on within it is an error.
    whole = LAST[:at].count(",") == 2 and not LAST[:at].endswith('"') and '"' not in LAST[:at]
    report = made.run(progress=False)
    assert values(store) == ([1.0, 2.0] if whole else [1.0]), LAST[:at]
    assert report.ledger["rejected"] == 0
    path.write_text(HEAD + LAST + "\n2026-01-01 02:00,3,d\n")
    if whole:
        with pytest.raises(wl.DataLost, match="went on since"):
            made.run(progress=False)
        return
    made.run(progress=False)
    assert values(store) == [1.0, 2.0, 3.0]
    assert made.run(progress=False).ledger["readings"] == 0


def test_a_whole_last_line_is_counted_and_may_get_its_end(write, tmp_path: Path) -> None:
    path, store = write(HEAD + LAST), tmp_path / "out.db"
    made = pipeline(path, store)
    made.run(progress=False)
    assert values(store) == [1.0, 2.0]
    path.write_text(HEAD + LAST + "\n2026-01-01 02:00,3,d\n")
    made.run(progress=False)
    assert values(store) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("2026-01-01 01:00", "cut last line: 1 field where the table has 3"),
        ('2026-01-01 01:00,2,"b', "cut last line: a quote is opened and not closed"),
        ("2026-01-01 01:00,2x,c", 'not a number: "2x"'),
    ],
)
def test_a_read_that_ends_there_rejects_it(write, end: str, reason: str) -> None:
    data = wl.read_csv(write(HEAD + end), schema=SCHEMA, on_reject="collect")
    assert data.rejects is not None
    assert data.rejects.select("reason").rows() == [(reason,)]
    with pytest.raises(wl.RejectLimit, match="mend the file"):
        wl.windows(write(HEAD + end), "1h", schema=SCHEMA)


def test_a_bad_record_with_an_end_is_a_reject_in_a_run_too(write, tmp_path: Path) -> None:
    path = write(HEAD + "2026-01-01 01:00\n")
    with pytest.raises(wl.RejectLimit, match="1 field where") as caught:
        pipeline(path, tmp_path / "out.db").run(progress=False)
    assert caught.value.report is not None
    assert caught.value.report.outcome == "failed"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "day.csv" for folder in "ab"]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(f"at,v,note\n2026-01-01 00:00,{i + 1},a\n")
    store = tmp_path / "out.db"
    for folder in "ab":
        # Named the same way from two folders.
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path / folder)
            name = f"p{folder}"
            sinks = [wl.Sink(store, "windows", table=f"w{folder}"), wl.Sink(store, "readings", table=f"r{folder}")]
            wl.Pipeline(name, source="day.csv", schema=SCHEMA, grains="1h", sinks=sinks).run(progress=False)
    with sqlite3.connect(store) as db:
        (one,), (two,) = (db.execute(f"select file, stream from r{f}").fetchall() for f in "ab")
    assert one[0] == two[0] == "day.csv"
    assert one[1] != two[1] and len(one[1]) == 64


def test_the_same_readings_under_another_path_have_the_same_key(tmp_path: Path) -> None:
    store, first, second = tmp_path / "out.db", tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(HEAD)
    pipeline(first, store).run(progress=False)
    first.rename(second)
    assert pipeline(second, store).run(progress=False).ledger["readings"] == 0
    assert values(store) == [1.0]


def test_a_file_named_twice_is_noticed(tmp_path: Path) -> None:
    first, second, longer = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv"
    first.write_text(HEAD)
    second.write_text(HEAD)
    longer.write_text(HEAD + "2026-01-01 01:00,2,a\n")
    with pytest.raises(wl.UsageError, match=r"b\.csv holds the same bytes as .*a\.csv"):
        pipeline([first, second], tmp_path / "out.db").run(progress=False)
    with pytest.raises(wl.UsageError, match="same bytes"):
        wl.windows([first, first], "1h", schema=SCHEMA)
    with pytest.raises(wl.UsageError, match=r"c\.csv begins with all of .*a\.csv"):
        wl.windows([longer, first], "1h", schema=SCHEMA)
    # A header alone names no file.
    first.write_text("at,v,note\n")
    second.write_text("at,v,note\n")
    assert len(wl.windows([first, second, longer], "1h", schema=SCHEMA)["1h"]) == 2

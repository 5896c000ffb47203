"""Layouts of files: quality, comments, preambles and footers, headers of two lines, wide files, lines of a day."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow.csv
import pytest

import wattline as wl

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def declared(columns, **more):
    return wl.Schema(columns=columns, **{"step": "1h", "tz": "UTC", **more})


TIME = {"name": "time", "type": "timestamp", "role": "time"}
POWER = {"name": "power", "type": "float", "measure": "power", "unit": "kW"}
WIDE = {"into": "sensor", "value": {"name": "energy", "type": "float", "measure": "energy", "unit": "kWh"}}
DATE = {"name": "date", "type": "date", "role": "time"}
METER = {"name": "meter", "type": "text", "role": "sensor"}


def balanced(table_or_ledger):
    counted = dict(table_or_ledger)
    assert counted["records"] == counted["accepted"] + counted["rejected"]
    assert counted["readings"] == counted["accepted"] + counted["melted"]
    return counted


def test_quality_says_what_counts(write):
    rows = [("1", "A"), ("2", "E"), ("100", "F"), ("4", ""), ("5", "x")]
    text = "time,power,q\n" + "".join(f"2026-01-01 {h:02}:00,{v},{q}\n" for h, (v, q) in enumerate(rows))
    quality = {"column": "q", "values": {"A": "ok", "": "ok", "E": "estimated", "F": "bad"}}
    schema = declared([TIME, POWER, {"name": "q", "type": "text"}], quality=quality)
    w = wl.windows(write(text), "1d", schema=schema, aggregates=["sum"], on_reject="collect")
    (day,) = w["1d"].to_arrow().to_pylist()
    assert (day["power_sum"], day["readings"], day["estimated"]) == (7.0, 3, 1)
    books = balanced(w.ledger)
    assert books["rejected"] == 1
    assert books["grains"]["1d"]["dropped"] == 1
    assert day["missing"] == 24 - 3
    told = wl.read_csv(write(text), schema=schema)
    assert told.column_names[-1] == "q"
    with pytest.raises(wl.RejectLimit, match="not a declared quality"):
        wl.windows(write(text), "1d", schema=schema)


def test_preamble_comments_and_footer_are_no_records(write):
    text = (
        "Export of meter 7\nfrom: 2026-01-01\n\ntime;power\n# the first hour\n2026-01-01 00:00;1\n"
        "2026-01-01 01:00;2\n# a note; with a mark\nTotal;3\n2026-01-01 02:00;4\nTotal;7\n\nSigned: J. Doe\n"
    )
    dialect = {"comment": "#", "footer": ["Total", "Signed"]}
    table = wl.read_csv(write(text), schema=declared([TIME, POWER], dialect=dialect))
    assert [row[1] for row in table.rows()] == [1.0, 2.0, 4.0]
    w = wl.windows(write(text), "1h", schema=declared([TIME, POWER], dialect=dialect), chunk_bytes=16)
    books = balanced(w.ledger)
    assert (books["lines"], books["records"], books["preamble"], books["header"]) == (13, 3, 3, 1)
    assert books["blank"] == 13 - 3 - 3 - 1
    with pytest.raises(wl.RejectLimit, match="line 9"):
        wl.read_csv(write(text), schema=declared([TIME, POWER], dialect={"comment": "#"}))


def test_rows_behind_a_footer_keep_their_numbers(write):
    text = "time,power\n2026-01-01 00:00,1\nTotal,x\n2026-01-01 01:00,oops\n2026-01-01 02:00,3\n"
    schema = declared([TIME, POWER], dialect={"footer": ["Total"]})
    table = wl.read_csv(write(text), schema=schema, on_reject="collect")
    assert [row[1] for row in table.rows()] == [1.0, 3.0]
    (reject,) = table.rejects.to_arrow().to_pylist()
    assert (reject["line"], reject["row"]) == (4, 2)


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("time,power,voltage\n,kW,V\n", ["time", "power kW", "voltage V"]),
        ("when,phase a,\ntime,power kW,voltage V\n", ["when time", "phase a power kW", "phase a voltage V"]),
    ],
)
def test_a_header_of_two_lines(write, head, names):
    body = "".join(f"2026-01-01 {h:02}:00,{h}.5,230\n" for h in range(24))
    table = wl.read_csv(write(head + body))
    assert table.column_names == names
    assert len(table) == 24
    units = {name: column.get("unit") for name, column in table.schema.columns.items()}
    assert [units[name] for name in names] == [None, "kW", "V"]
    declared_power = {**POWER, "names": [names[1], "power kW"]} if "phase" in head else POWER
    time = TIME if "when" not in head else {**TIME, "names": ["time"]}
    schema = declared([time, declared_power], dialect={"header_lines": 2})
    told = wl.read_csv(write(head + body), schema=schema)
    assert [row[1] for row in told.rows()] == [h + 0.5 for h in range(24)]
    assert wl.windows(write(head + body), "1h", schema=schema).ledger["header"] == 2


def test_a_first_row_of_words_is_no_header(write):
    text = "time,state,power\nx,off,none\n" + "".join(f"2026-01-01 {h:02}:00,on,{h}.5\n" for h in range(5))
    assert wl.sniff(write(text)).to_toml().count("header_lines") == 0


def wide_text(sensors=3, hours=30, order=1):
    head = "time," + ",".join(f"M{s}" for s in range(sensors)) + "\n"
    value = lambda h, s: "" if (h, s) == (4, 1) else str(h + s / 8)  # noqa: E731
    values = (",".join(value(h, s) for s in range(sensors)) for h in range(hours))
    lines = [f"{START + HOUR * h:%Y-%m-%d %H:%M},{text}" for h, text in enumerate(values)]
    return head + "\n".join(lines[::order]) + "\n"


def test_a_wide_file_is_a_row_a_sensor(write):
    table = wl.read_csv(write(wide_text()), schema=declared([TIME], melt=WIDE))
    assert table.column_names == ["time", "sensor_id", "energy"]
    assert table.rows()[:4] == [
        (START, "M0", 0.0),
        (START, "M1", 0.125),
        (START, "M2", 0.25),
        (START + HOUR, "M0", 1.0),
    ]
    assert len(table) == 90
    again = wl.windows(table, "1d", step="1h")["1d"].rows()
    assert again == wl.windows(write(wide_text()), "1d", schema=declared([TIME], melt=WIDE))["1d"].rows()


@pytest.mark.parametrize("options", [{}, {"chunk_bytes": 40}, {"waiting_rows": 7}, {"order": -1, "waiting_rows": 7}])
def test_windows_of_a_wide_file(write, tmp_path, options):
    text = wide_text(hours=60, order=options.pop("order", 1))
    schema = declared([TIME], melt=WIDE)
    w = wl.windows(write(text), ["1h", "1d"], schema=schema, **options)
    days = w["1d"].to_arrow().to_pylist()
    assert [(d["sensor_id"], d["energy_sum"]) for d in days[:3]] == [
        ("M0", sum(range(24))),
        ("M1", sum(range(24)) - 4 + 23 / 8),
        ("M2", sum(range(24)) + 24 / 4),
    ]
    books = balanced(w.ledger)
    assert (books["records"], books["readings"], books["melted"]) == (60, 180, 120)
    assert books["grains"]["1h"]["null"] == 1
    p = wl.Pipeline("p", source=write(text), schema=schema, grains="1d", sinks=tmp_path / "o.db", **options)
    assert balanced(p.run(progress=False).ledger)["readings"] == 180
    assert p.run(progress=False).flushes == 0
    with open(tmp_path / "data.csv", "a") as grown:
        grown.write("2026-01-09 00:00,1,2,3\n")
    assert balanced(p.run(progress=False).ledger)["readings"] == 3


def test_a_fault_in_a_wide_record_rejects_the_record(write):
    text = wide_text(hours=3).replace("1.125", "oops")
    schema = declared([TIME], melt=WIDE)
    table = wl.read_csv(write(text), schema=schema, on_reject="collect")
    assert len(table) == 6
    (reject,) = table.rejects.to_arrow().to_pylist()
    assert (reject["line"], reject["column"]) == (3, "M1")
    quality = {"column": "q", "values": {"A": "ok"}}
    text = "time,q,M0,M1\n2026-01-01 00:00,A,1,2\n2026-01-01 01:00,B,3,4\n"
    schema = declared([TIME, {"name": "q", "type": "text"}], melt=WIDE, quality=quality)
    w = wl.windows(write(text), "1d", schema=schema, on_reject="collect")
    assert balanced(w.ledger)["rejected"] == 1
    assert w.ledger["readings"] == 2


def test_some_columns_of_a_wide_file(write):
    text = "nr,time,note,M0,M1\n1,2026-01-01 00:00,x,1,2\n"
    melt = {**WIDE, "columns": ["M1"]}
    assert wl.read_csv(write(text), schema=declared([TIME], melt=melt)).rows() == [(START, "M1", 2.0)]
    for columns, wrong in ((["M7"], "M7"), (["M1", "m_1"], "two columns to melt")):
        with pytest.raises(wl.SchemaError, match=wrong):
            wl.read_csv(write(text), schema=declared([TIME], melt={**WIDE, "columns": columns}))


def day_text(days, columns=25):
    head = "meter,date," + ",".join(f"h{n + 1}" for n in range(columns)) + "\n"
    values = {hours: ",".join(str(n) if n < hours else "" for n in range(columns)) for _, _, hours in days}
    return head + "".join(f"{meter},{date},{values[hours]}\n" for meter, date, hours in days)


DAY = {**WIDE, "into": "time"}


def test_a_line_a_day_follows_the_clock(write):
    days = [("a", "2026-03-28", 24), ("a", "2026-03-29", 23), ("b", "2026-10-25", 25)]
    schema = declared([METER, DATE], melt=DAY, tz="Europe/Paris")
    table = wl.read_csv(write(day_text(days)), schema=schema)
    times = [row[1] for row in table.rows()]
    assert len(table) == 24 + 23 + 25
    assert times[:2] == [datetime(2026, 3, 27, 23, tzinfo=UTC), datetime(2026, 3, 28, tzinfo=UTC)]
    assert times[:47] == [times[0] + HOUR * n for n in range(47)]
    w = wl.windows(write(day_text(days)), "1d", schema=schema)
    rows = [(r["sensor_id"], r["expected"], r["missing"], r["energy_sum"]) for r in w["1d"].to_arrow().to_pylist()]
    assert rows == [("a", 24, 0, 276.0), ("a", 23, 0, 253.0), ("b", 25, 0, 300.0)]
    balanced(w.ledger)


def test_a_value_behind_its_day_is_a_reject(write):
    days = [("a", "2026-03-28", 25), ("a", "2026-03-29", 23), ("a", "2026-03-30", 24)]
    schema = declared([METER, DATE], melt=DAY, tz="Europe/Paris")
    table = wl.read_csv(write(day_text(days)), schema=schema, on_reject="collect")
    (reject,) = table.rejects.to_arrow().to_pylist()
    assert (reject["line"], reject["column"]) == (2, "h25")
    assert "behind the end of its day" in reject["reason"]
    assert len(table) == 47


@pytest.mark.parametrize(("step", "columns"), [("30min", 48), ("15min", 96)])
def test_days_of_other_steps_without_a_zone(write, step, columns):
    schema = wl.Schema(columns=[METER, DATE], melt=DAY, step=step)
    table = wl.read_csv(write(day_text([("a", "2026-03-29", columns)], columns)), schema=schema)
    assert len(table) == columns
    assert table.rows()[-1][1] == datetime(2026, 3, 30, tzinfo=UTC) - timedelta(days=1) / columns


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"columns": [METER, TIME], "melt": DAY}, "type date"),
        ({"melt": DAY, "stamp": "end"}, "leave stamp out"),
        ({"melt": DAY, "step": None}, "add step"),
        ({"melt": DAY, "step": "7h"}, "divide the day"),
        ({"melt": WIDE}, "names a sensor too"),
        ({"columns": [DATE, POWER], "melt": WIDE}, "no column can be a measure"),
    ],
)
def test_what_cannot_be_melted(change, word):
    told = {"columns": [METER, DATE], "step": "1h", **change}
    with pytest.raises(wl.SchemaError, match=word):
        wl.Schema(**{key: value for key, value in told.items() if value is not None})


def test_a_schema_with_melt_comes_back_the_same():
    schema = declared([TIME], melt=WIDE, dialect={"footer": ["Total"], "header_lines": 2})
    assert wl.Schema.from_toml(schema.to_toml()) == schema
    assert "melt" not in json.loads(declared([TIME])._json())


@pytest.mark.parametrize("name", ["sensor_id", "meter"])
@pytest.mark.parametrize("schema", [None, "household"])
def test_houses_of_the_preset_are_told_apart_by_their_column(tmp_path, name, schema):
    houses = wl.simulate(sensors=2, start="2026-03-28", end="2026-03-30").to_arrow()
    path = tmp_path / "houses.csv"
    pyarrow.csv.write_csv(houses.rename_columns([name, *houses.column_names[1:]]), path)
    days = wl.windows(path, "1d", schema=schema)["1d"].to_arrow()
    assert days["sensor_id"].to_pylist() == ["house-1", "house-2"] * 2
    assert days["readings"].to_pylist() == [1440] * 4
    found = wl.windows(houses, "1d")["1d"].to_arrow()
    assert days["global_active_power_energy_wh"] == found["global_active_power_energy_wh"]


@pytest.mark.parametrize("form", ["{0:%Y-%m-%dT%H:%M:%S}Z", "{1:%Y-%m-%d %H:%M:%S}+01:00", "{2}"])
def test_times_that_say_their_zone_are_instants(tmp_path, form):
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    stamps = [start + timedelta(minutes=15 * n) for n in range(96)]
    rows = [form.format(t, t + HOUR, int(t.timestamp())) for t in stamps]
    path = tmp_path / "meter.csv"
    path.write_text("time,kw\n" + "".join(f"{row},1.0\n" for row in rows))
    days = wl.windows(path, "1d", tz="Europe/Paris")["1d"].to_arrow()
    # The day on which clocks go forward has 23 hours.
    assert days["readings"].to_pylist() == [92, 4]
    assert wl.windows(wl.read_csv(path), "1d", tz="Europe/Paris")["1d"].to_arrow() == days
    checked = wl.Pipeline("p", source=path, grains="1d", tz="Europe/Paris", sinks=tmp_path / "o.db").check()
    assert "carry no zone" not in str(checked)

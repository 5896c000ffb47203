"""One page about a load: its figures, what it escapes, what it is made from."""

import re
import sqlite3
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import wattline as wl
from conftest import python, shell

NASTY = "<script>alert(1)</script>\"'&\x1b[2J</style><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def real(data: Path) -> wl.Page:
    file = data / "household_power_consumption_2006-12_2007-06.txt.gz"
    return wl.report_page(file, schema="household")


def store_of(source: object, path: Path, **options: object) -> Path:
    told = {"schema": "household", "grains": ["1h", "1d", "1mo", "1q"], "on_reject": "collect", **options}
    wl.Pipeline("home", source=source, sinks=path, **told).run()
    return path


def without_what_differs(html: str) -> str:
    """The page without its name, its ledger of bytes and when it was made."""
    body = html.split("<body>")[1].split("<h3>Rejected")[0]
    return re.sub(r"<h1>.*?</h1>", "", body)


def test_the_figures_are_those_worked_out_by_hand(real: wl.Page) -> None:
    held = real.summary()["household"]
    assert held["energy_wh"] == pytest.approx(696888.033333 + 3072715.666667 + 1914552.766667, abs=1e-5)
    assert (held["readings"], held["expected"], held["missing"]) == (278_861, 282_636, 3_775)
    for text in ("696.888", "3,072.716", "1,914.553", "5.68 MWh", "98.66 %", "28 Apr 2007"):
        assert text in real.html, text


def test_base_load_peak_and_gaps_agree_with_polars(data: Path, real: wl.Page) -> None:
    file = data / "household_power_consumption_2006-12_2007-06.txt.gz"
    hours = pl.DataFrame(wl.windows(file, "1h", schema="household")["1h"])
    watts = hours["global_active_power_mean"] * 1000
    held = real.summary()["household"]
    assert held["base"] == pytest.approx(watts.quantile(0.05, "linear"))
    assert held["highest_hour"][1] == pytest.approx(watts.max())
    assert held["highest_hour"][0] == hours.sort("global_active_power_mean", nulls_last=False)["window_label"][-1]
    lost = hours.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(0).otherwise("missing").alias("lost"))
    runs = lost.with_columns((pl.col("lost") > 0).rle_id().alias("run")).filter(pl.col("lost") > 0)
    sums = runs.group_by("run").agg(pl.col("lost").sum())["lost"].sort(descending=True)
    assert held["gaps"] == len(sums)
    assert f"{sums[0]:,}" in real.html


def test_a_store_gives_the_page_of_its_file(uci: Path, tmp_path: Path) -> None:
    options = {"schema": "household"}
    file = wl.report_page(uci, **options)
    store = store_of(uci, tmp_path / "a.db")
    folder = tmp_path / "windows"
    wl.Pipeline("home", source=uci, grains=["1h", "1d", "1mo", "1q"], sinks=wl.Parquet(folder), **options).run()
    pages = [wl.report_page(f"sqlite://{store}"), wl.report_page(store), wl.report_page(folder)]
    made = wl.Pipeline("home", source=uci, grains=["1h", "1d", "1mo", "1q"], sinks=store, **options)
    pages.append(wl.report_page(made))
    for page in pages:
        assert page.summary() == file.summary()
        assert without_what_differs(page.html) == without_what_differs(file.html)
        assert "39,9" in page.html and "the books balance" in page.html


def test_finer_windows_alone_are_folded(uci: Path, tmp_path: Path) -> None:
    due = wl.report_page(uci, schema="household").summary()["household"]
    store = store_of(uci, tmp_path / "a.db", grains=["15min"])
    held = wl.report_page(store).summary()["household"]
    assert held["energy_wh"] == pytest.approx(due["energy_wh"])
    assert held["base"] == pytest.approx(due["base"])
    assert held["readings"] == due["readings"]


def test_the_books_of_several_partitions_are_added(uci: Path, tmp_path: Path) -> None:
    store = store_of(uci, tmp_path / "a.db")
    assert ">40,000<" in wl.report_page(store).html
    with sqlite3.connect(store) as home:
        home.execute(
            "insert into wattline_head select pipeline, 1, epoch, token, owner, since, n,"
            " replace(head, '\"partition\":0', '\"partition\":1') from wattline_head"
        )
    html = wl.report_page(store).html
    assert ">80,000<" in html and ">40,000<" not in html.split("<h3>Ledger")[1]


def test_rejects_that_a_sink_holds_are_shown(uci: Path, tmp_path: Path) -> None:
    lines = uci.read_text().split("\n")
    path = tmp_path / "bad.txt"
    path.write_text("\n".join([*lines[:3000], "1/13/2007;00:00:00;<b>;1;1;1;1;1;1", *lines[3000:4000]]) + "\n")
    sinks = [wl.Sink(wl.Sqlite(tmp_path / "r.db")), wl.Sink(wl.Sqlite(tmp_path / "r.db"), "rejects")]
    wl.Pipeline("home", source=path, schema="household", grains=["1h", "1d"], on_reject="collect", sinks=sinks).run()
    html = wl.report_page(tmp_path / "r.db").html
    assert "1 record could not be read" in html and "&lt;b&gt;" in html and "<b>;" not in html


def test_hostile_names_and_records_are_escaped(tmp_path: Path) -> None:
    lines = ["sensor,time,power"]
    quoted = '"' + NASTY.replace('"', '""') + '"'
    lines += [f"{quoted},2026-01-0{1 + h // 24}T{h % 24:02}:00:00Z,{h}" for h in range(72)]
    lines.append(f"{quoted},2026-01-04T00:00:00Z,{quoted}")
    path = tmp_path / "<b>meter.csv"
    path.write_text("\n".join(lines) + "\n")
    columns = [
        {"name": "sensor", "type": "text", "role": "sensor"},
        {"name": "time", "type": "timestamp", "role": "time"},
        {"name": "power", "type": "float", "measure": "power", "unit": "kW"},
    ]
    schema = wl.Schema(columns=columns, tz="UTC", step="1h", dialect={"delimiter": ",", "header": True})
    page = wl.report_page(path, schema=schema, title=NASTY)
    markup = page.html.split("<body>")[1].split("<script>")[0]
    assert "&lt;script&gt;" in markup and "1 record could not be read" in markup
    for bad in ("<script", "<img", "</style", "\x1b", "<b>meter"):
        assert bad not in markup
    assert page.html.count("<script>") == 1 and page.html.count("</style>") == 1
    assert "<script" not in page._repr_html_()
    assert "\x1b" not in repr(page)


def test_several_sensors_are_summed_and_chosen(tmp_path: Path) -> None:
    table = wl.simulate(sensors=3, start="2026-01-01", end="2026-01-15", gaps=0.01)
    page = wl.report_page(table)
    held = page.summary()
    assert list(held) == ["All 3 sensors", "house-1", "house-2", "house-3"]
    parts = list(held.values())[1:]
    for name in ("energy_wh", "readings", "expected", "missing"):
        assert held["All 3 sensors"][name] == pytest.approx(sum(part[name] for part in parts)), name
    assert page.html.count('class="sensor"') == 4
    assert all(f'<option value="s{i}">' in page.html for i in range(4))


def test_windows_at_hand_and_other_measures() -> None:
    times = pa.array(range(0, 86_400_000_000 * 3, 900_000_000), pa.timestamp("us", "UTC"))
    table = pa.table({"t": times, "who": ["a"] * len(times), "celsius": [float(i % 96) for i in range(len(times))]})
    made = wl.windows(table, ["1h", "1d"], time="t", sensor="who", measures=["celsius"], step="15min")
    page = wl.report_page(made, title="a cellar")
    held = page.summary()["a"]
    assert held["energy_wh"] is None and held["mean"] == pytest.approx(47.5)
    assert "Energy by month" not in page.html and "Base load" not in page.html.split("<footer>")[0]


def test_a_header_without_rows_makes_a_page(uci: Path, write) -> None:
    header = uci.read_text().split("\n")[0]
    assert "no reading here" in wl.report_page(write(header + "\n"), schema="household").html


def test_a_file_of_days_is_drawn_by_days(write) -> None:
    rows = "".join(f"2026-{1 + d // 28:02}-{1 + d % 28:02},{10 + d}\n" for d in range(56))
    columns = [
        {"name": "day", "type": "date", "role": "time"},
        {"name": "kwh", "type": "float", "measure": "energy", "unit": "kWh"},
    ]
    schema = wl.Schema(columns=columns, step="1d", sensor_id="x", dialect={"delimiter": ",", "header": True})
    page = wl.report_page(write("day,kwh\n" + rows), schema=schema)
    assert page.summary()["x"]["energy_wh"] == pytest.approx(1000 * sum(10 + d for d in range(56)))
    assert "Load curve" in page.html and "Every hour" not in page.html


def test_no_arrow_library_is_needed(uci: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('pyarrow', 'pandas', 'polars', 'numpy', 'altair'): sys.modules[name] = None\n"
        "import wattline as wl\n"
        "wl.report_page(sys.argv[1], schema='household', out=sys.argv[2])\n"
        "wl.Pipeline('x', source=sys.argv[1], schema='household', grains='1h', sinks=wl.Parquet(sys.argv[3])).run()\n"
        "wl.report_page(sys.argv[3])\n"
    )
    done = python(code, uci, tmp_path / "page.html", tmp_path / "folder")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_what_is_no_store_or_measure_is_said(uci: Path, tmp_path: Path) -> None:
    with pytest.raises(wl.NotFound):
        wl.report_page(f"sqlite://{tmp_path}/nowhere.db")
    with pytest.raises(wl.UsageError, match="keeps no table that could be read back"):
        wl.report_page("kafka://localhost/windows")
    with pytest.raises(wl.EndpointError, match="postgresql://"):
        wl.report_page("postgresql://x:hidden@127.0.0.1:1/db")
    with pytest.raises(wl.UsageError, match="there are: global_active_power"):
        wl.report_page(uci, schema="household", measure="nope")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("create table t (x)")
    with pytest.raises(wl.UsageError, match="no store of wattline"):
        wl.report_page(tmp_path / "other.db")


def test_the_command(uci: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = shell("report", uci, "-o", out, "--schema", "household", "--title", "At home")
    assert done.returncode == 0, done.stderr
    assert "<title>At home</title>" in out.read_text()
    assert "complete" in done.stdout
    assert shell("report", uci, "--sink", "a.db", "--schema", "household").returncode == 2
    assert shell("report", tmp_path / "nowhere.csv", "-o", out).returncode == 1


def test_the_demo_leaves_a_page(uci: Path, tmp_path: Path) -> None:
    done = shell("demo", uci, "-o", tmp_path)
    page = tmp_path / f"{uci.stem}.html"
    assert str(page) in done.stdout
    assert "Energy by quarter" in page.read_text()


def test_an_unknown_step_leaves_energy_unknown(write) -> None:
    rows = "".join(f"2026-01-{1 + d:02} {d * d % 24:02}:{d * 7 % 60:02}:00,{d}.5\n" for d in range(20))
    page = wl.report_page(write("time,power_kw\n" + rows))
    held = next(iter(page.summary().values()))
    assert held["energy_wh"] is None and held["missing"] is None
    assert held["mean"] == pytest.approx(10_000)
    assert "no step is declared" in page.html and "Energy by month" not in page.html


def test_a_zone_with_clock_changes() -> None:
    table = wl.simulate(start="2026-03-27", end="2026-03-31", tz="Europe/Paris", step="15min")
    page = wl.report_page(table, tz="Europe/Paris")
    held = page.summary()["house-1"]
    assert held["missing"] == 0
    due = wl.windows(table, "1d", tz="Europe/Paris")["1d"].select("expected").rows()
    assert held["expected"] == sum(row[0] for row in due)
    assert "local in Europe/Paris" in page.html


def test_it_says_in_short_what_stands_out(real: wl.Page) -> None:
    told = real.html.split('<ul class="short">')[1].split("</ul>")[0]
    assert "Jan 2007 (1.15 MWh) used most" in told
    assert "13 gaps" in told and "2.6 days from 28 Apr 2007 00:00" in told and "98.6 % of them" in told
    assert "higher than on working days" in told and "Every record could be read" in told


@pytest.mark.parametrize("sink", ["a.db", "folder"])
def test_too_many_hours_are_left_out_and_said(uci: Path, tmp_path: Path, monkeypatch, sink: str) -> None:
    store = store_of(uci, tmp_path / sink) if sink == "a.db" else tmp_path / sink
    if sink == "folder":
        wl.Pipeline("home", source=uci, schema="household", grains=["1h", "1d"], sinks=wl.Parquet(store)).run()
    due = wl.report_page(store).summary()["household"]
    for room in ("held", "gather"):
        monkeypatch.setattr(sys.modules[f"wattline.page.{room}"], "MOST", 100)
    for page in (wl.report_page(store), wl.report_page(wl.windows(uci, ["1h", "1d"], schema="household"))):
        held = page.summary()["household"]
        assert "windows of 1h are too many for a page" in page.html
        assert (held["missing"], held["readings"]) == (due["missing"], due["readings"])
        assert held["energy_wh"] == pytest.approx(due["energy_wh"])
        assert "Every hour of every day" not in page.html and "Load curve" in page.html


def test_years_under_many_months_are_those_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "nineties.csv"
    stamps = [f"{1997 + m // 12}-{1 + m % 12:02}-{day:02}" for m in range(30) for day in range(1, 29)]
    path.write_text("\n".join(["time,power", *(f"{s}T00:00:00Z,1" for s in stamps), ""]))
    columns = [
        {"name": "time", "type": "timestamp", "role": "time"},
        {"name": "power", "type": "float", "measure": "power", "unit": "kW"},
    ]
    schema = wl.Schema(columns=columns, sensor_id="a", tz="UTC", step="1h", dialect={"delimiter": ",", "header": True})
    html = wl.report_page(path, schema=schema).html
    drawn = html.split("<h3>Energy by month")[1].split("</figure>")[0]
    for year in ("1998", "1999"):
        assert f">{year}<" in drawn
    assert ">2098<" not in drawn and ">2099<" not in drawn

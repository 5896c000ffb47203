"""What cannot be meant is refused in words that say what to do, and nothing is taken silently for something else."""

import os
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest

import wattline as wl
from conftest import python, shell

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = [START + timedelta(minutes=m) for m in range(60)]
DAY = "time,power_kw\n" + "".join(f"{t:%Y-%m-%dT%H:%M:%SZ},1.5\n" for t in TIMES)


def table(key, kind=None):
    return pa.table({"time": TIMES, "meter": pa.array(key * 30, kind), "kw": [1.0] * 60})


def refused(error, *words):
    return pytest.raises(error, match="(?s)" + ".*".join(words))


def test_a_zone_in_the_times_is_found(write):
    found = repr(wl.sniff(write(DAY)))
    assert "time, UTC" in found
    assert "no zone" not in found
    assert "no zone: wall clock" in repr(wl.sniff(write(DAY.replace("Z,", ","))))


def test_a_number_named_like_a_key_is_asked_about():
    numbers = table([1, 2])
    with refused(wl.SchemaError, "meter", "sensor="):
        wl.windows(numbers, "1h")
    told = wl.windows(numbers, "1h", sensor="meter")["1h"]
    assert [row[0] for row in told.rows()] == ["1", "2"]
    one = wl.windows(table([7, 7]), "1h", sensor=[], measures=["kw"], on_conflict="keep")["1h"]
    assert one.column_names[-1] == "kw_max"


def test_bytes_named_like_a_key_are_asked_about():
    with refused(wl.SchemaError, "meter", "cast it to text"):
        wl.windows(table([b"a", b"b"], pa.binary()), "1h")


def test_a_column_is_one_thing(write):
    numbers = table([1, 2])
    for data in (numbers, write(DAY)):
        with refused(wl.SchemaError, '"time" cannot be of time and of sensor'):
            wl.windows(data, "1h", sensor="time")
    with refused(wl.SchemaError, '"meter" cannot be of sensor and of measures'):
        wl.windows(numbers, "1h", sensor="meter", measures=["meter"])


@pytest.mark.parametrize("twice", [["out", "./out/"], ["sqlite://o.db", "o.db"], ["./o.db", wl.Sqlite("o.db")]])
def test_two_sinks_are_two_tables(write, tmp_path, monkeypatch, twice):
    monkeypatch.chdir(tmp_path)
    with refused(wl.UsageError, "two sinks write to the same table"):
        wl.Pipeline("p", source=write(DAY), grains="1h", sinks=twice).run(progress=False)
    both = [wl.Sink("o.db", "windows"), wl.Sink("o.db", "readings")]
    assert wl.Pipeline("p", source=write(DAY), grains="1h", sinks=both).run(progress=False).flushes == 1


def test_home_and_follower_exchanged(write, tmp_path):
    sinks = [tmp_path / "a.db", tmp_path / "b.db"]
    wl.Pipeline("p", source=write(DAY), grains="1h", sinks=sinks).run(progress=False)
    with refused(wl.SpecChanged, "put the former first sink in front again"):
        wl.Pipeline("p", source=write(DAY), grains="1h", sinks=sinks[::-1]).run(progress=False)


def test_a_changed_definition_is_told_before_its_columns(write, tmp_path):
    wl.Pipeline("p", source=write(DAY), grains="1h", sinks=tmp_path / "a.db").run(progress=False)
    with refused(wl.SpecChanged, "aggregates"):
        wl.Pipeline("p", source=write(DAY), grains="1h", aggregates=["sum"], sinks=tmp_path / "a.db").run()
    other = write(DAY.replace("power_kw", "volts"))
    with refused(wl.UsageError, "replaced by another", "new name"):
        wl.Pipeline("p", source=other, grains="1h", sinks=tmp_path / "a.db").run(progress=False)


def test_a_named_reader_that_became_shorter(tmp_path):
    def run(rows):
        part = table(["a", "b"]).slice(0, rows)
        reader = pa.RecordBatchReader.from_batches(part.schema, part.to_batches())
        p = wl.Pipeline("p", source=reader, stream_name="s", grains="1h", sinks=tmp_path / "a.db")
        return p.run(progress=False).flushes

    assert run(20) == 1
    with refused(wl.DataLost, "4 rows, fewer than were read"):
        run(4)
    assert run(24) == 1


def test_no_grain_and_no_zone(write):
    with refused(wl.UsageError, "no grain"):
        wl.windows(write(DAY), [])
    local = write(DAY.replace("Z,", ","))
    with refused(wl.UsageError, "Mars/X", "is not an IANA time zone"):
        wl.windows(local, "1h", tz="Mars/X")
    with refused(wl.UsageError, "Mars/X", "is not an IANA time zone"):
        wl.Pipeline("p", source="a", tz="Mars/X")


@pytest.mark.parametrize(
    ("text", "decimal", "thousands"), [("1.234,5", ",", "."), ("1,234.5", ".", ","), ("1 234,5", ",", " ")]
)
def test_thousands_marks_are_proposed(write, text, decimal, thousands):
    path = write("time;power_kw\n" + "".join(f"2026-01-01 00:{m:02}:00;{text}\n" for m in range(60)))
    found = wl.sniff(path)
    assert f'decimal = "{decimal}"' in found.to_toml()
    assert f'thousands = "{thousands}"' in found.to_toml()
    assert wl.read_csv(path).rows()[7][1] == 1234.5


def test_a_column_with_other_marks_is_not_misread(write):
    path = write("time;a;b\n" + "".join(f"2026-01-01 00:{m:02}:00;1,5;1.5\n" for m in range(60)))
    assert wl.read_csv(path).rows()[0][1:] == (1.5, "1.5")


def test_random_bytes_are_no_table(write):
    state, noise = 1, bytearray()
    while len(noise) < 100_000:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        noise.append((state >> 33) % 255 + 1)
    with refused(wl.SchemaError, "is a binary file"):
        wl.read_csv(write(bytes(noise)))


def test_paths_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink("b.csv", "a.csv")
    os.symlink("a.csv", "b.csv")
    with refused(wl.EndpointError, "a link that leads back to itself"):
        wl.read_csv("a.csv")
    with refused(wl.UsageError, "zero byte"):
        wl.read_csv("a\0.csv")
    with refused(wl.EndpointError, "longer than the name of a file can be"):
        wl.read_csv("a" * 300)


def test_paths_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open(b"a\xff.csv", "w") as file:
        file.write(DAY)
    for call in (wl.read_csv, wl.sniff, lambda p: wl.Pipeline("p", source=p, grains="1h", sinks="o.db")):
        for path in (b"a\xff.csv", os.fsdecode(b"a\xff.csv"), [os.fsdecode(b"a\xff.csv")]):
            with refused(wl.UsageError, "not UTF-8", "rename"):
                call(path)
    with refused(wl.UsageError, "rename the file"):
        wl.read_csv("a*.csv")


def test_what_has_no_columns_is_no_table():
    for thing in (pl.Series([1, 2]), pa.array([1, 2]), 5):
        with refused(wl.UsageError, "no table with columns|is no data"):
            wl.Table(thing)
    with refused(wl.UsageError, "Series is no table"):
        wl.windows(pl.Series([1, 2]), "1h")


def test_a_failing_stream_says_why_and_no_more():
    def batches():
        yield table(["a", "b"]).to_batches()[0]
        raise KeyError("boom")

    reader = pa.RecordBatchReader.from_batches(table(["a", "b"]).schema, batches())
    with refused(wl.EndpointError, "boom") as caught:
        wl.Table(reader)
    assert "Traceback" not in str(caught.value)
    assert "C Data" not in str(caught.value)


def test_a_sink_takes_what_there_is(write, tmp_path):
    done = shell("run", write(DAY), "--grain", "1h", "--sink", "bogus=r.db", cwd=tmp_path)
    assert done.returncode == 2
    assert "bogus=... is nothing a sink takes" in done.stderr
    assert not list(tmp_path.glob("*.db*"))


def test_the_longest_line_can_be_raised(write):
    path = write("time,note\n2026-01-01T00:00:00Z," + "x" * 5000 + "\n")
    with refused(wl.SchemaError, "raise max_line_bytes"):
        wl.read_csv(path, max_line_bytes=1000)
    assert len(wl.read_csv(path, max_line_bytes=6000)) == 1
    assert len(wl.read_csv(path)) == 1


def test_a_file_without_a_time_is_named(write):
    program = write("import os\n\n\ndef f():\n    return 1\n" * 9, "f.py")
    with refused(wl.SchemaError, "f.py: no column reads as a time"):
        wl.windows(program, "1h")
    assert len(wl.read_csv(program)) > 0


def test_a_register_is_named_where_there_is_nothing_else(write):
    totals = "time,energy_kWh\n" + "".join(f"2026-01-01 00:{m:02}:00,{m}.5\n" for m in range(60))
    with refused(wl.UsageError, "energy_kWh is a register", "gauge"):
        wl.windows(write(totals), "1h")
    both = write(totals.replace("energy_kWh", "energy_kWh,kw").replace(".5", ".5,1.0"), "both.csv")
    checked = wl.Pipeline("p", source=both, grains="1h", sinks=both.with_suffix(".db")).check()
    assert "energy_kWh is a register" in str(checked)
    stand = wl.sniff(write(totals)).replace(columns={"energy_kWh": {"measure": "gauge"}})
    assert wl.windows(write(totals), "1h", schema=stand, aggregates=["last"])["1h"].rows()[0][-1] == 59.5


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"on_late": "corect"}, 'on_late: "corect" is none of side, drop, correct; did you mean "correct"?'),
        ({"max_rejects": "many"}, 'max_rejects: "many" is not a whole number from 0 on'),
        ({"sinks": [{"endpoint": "o.db", "tabel": "x"}]}, 'sinks: there is no key "tabel"; did you mean "table"?'),
        ({"grains": "1hour"}, 'grains: "1hour" is not a grain'),
        ({"tz": "+01:00"}, "did you mean Etc/GMT-1 (which is UTC+01:00"),
    ],
)
def test_an_option_that_is_wrong_is_named_in_our_own_words(told, words):
    with pytest.raises(wl.UsageError) as caught:
        wl.Pipeline("x", **({"source": "a.csv", "grains": "1h"} | told))
    assert words in str(caught.value)
    assert "cannot be read" not in str(caught.value) and "expected" not in str(caught.value)


def test_a_misspelt_name_is_answered_with_the_near_one():
    with refused(TypeError, "'grain'", "Did you mean 'grains'"):
        wl.Pipeline("x", source="a.csv", grain="1h")
    with refused(wl.UsageError, 'no key "grain"; did you mean "grains"'):
        wl.Pipeline.from_toml('name = "x"\nsource = "a.csv"\ngrain = "1h"\n')
    with refused(wl.SchemaError, 'columns: there is no key "mesure"; did you mean "measure"'):
        wl.Schema(columns=[{"name": "a", "type": "float", "mesure": "power"}])
    with refused(wl.SchemaError, "line 3: there is no key .*stap"):
        wl.Schema.from_toml('name = "x"\n\nstap = "15min"\n')
    with refused(wl.UsageError, "names no source"):
        wl.Pipeline.from_toml('name = "x"\ngrains = "1h"\n')


def test_what_is_no_list_and_what_was_not_asked_for(write):
    with refused(wl.UsageError, "5 is neither a text nor a list"):
        wl.Pipeline("x", source="a.csv", grains=5)
    with refused(KeyError, "no windows of '1d'; there are 1h"):
        wl.windows(write(DAY), "1h")["1d"]


def test_a_schema_is_no_pipeline_and_a_path_has_no_options(write, tmp_path):
    declared = tmp_path / "s.toml"
    declared.write_text(wl.sniff(write(DAY)).to_toml())
    done = shell("run", declared)
    assert done.returncode == 2 and "declaration of a schema" in done.stderr and "--schema" in done.stderr
    with refused(wl.UsageError, "has no option .*tabel", r"\?table=NAME"):
        wl.Pipeline("x", source="a.csv", grains="1h", sinks="out.db?tabel=x")


def test_stars_are_no_password():
    made = wl.Pipeline("x", source="a.csv", grains="1h", sinks="postgresql://me:secret@h/d")
    assert "***" in made.to_toml() and "secret" not in made.to_toml()
    with refused(wl.UsageError, "sinks.endpoint.password", r"write \$\{NAME\}"):
        wl.Pipeline.from_toml(made.to_toml())
    again = wl.Pipeline.from_toml(made.to_toml(), sinks="postgresql://me:secret@h/d")
    assert again == made


def test_what_the_shell_can_do_about_two_readings_is_said(write):
    local = write(DAY.replace("Z,", ","), "local.csv")
    done = shell("windows", local, "--grain", "1d", "--tz", "Europe/Paris")
    assert done.returncode == 1
    assert "wattline sniff FILE --tz" in done.stderr
    page = shell("report", local, "--state", "keyed")
    assert page.returncode == 2
    assert "--state is nothing for the page of a file; it belongs to a pipeline.toml" in page.stderr


@pytest.mark.parametrize("table", ["", "  "])
@pytest.mark.parametrize("store", ["out.db", "out"])
def test_a_table_without_a_name(table, store, write, tmp_path):
    sink = wl.Sink(tmp_path / store, "windows", table=table)
    with refused(wl.UsageError, "no name", "leave table out"):
        wl.Pipeline("p", source=write(DAY), grains="1h", sinks=sink).run(progress=False)


def test_measures_of_a_simulation_are_not_chosen(tmp_path):
    url = "sim://?sensors=1&start=2026-01-01&end=2026-01-02"
    with refused(wl.SchemaError, "nope", "global_active_power", "leave measures out"):
        wl.Pipeline("p", source=url, grains="1h", sinks=tmp_path / "o.db", measures=["nope"]).run(progress=False)
    assert not list(tmp_path.glob("o.db*"))


def test_a_sum_beyond_all_floats_is_infinite_and_its_mean_is_not(write):
    path = write("time,v\n2026-01-01T00:00:00Z,1.7e308\n2026-01-01T00:01:00Z,1.7e308\n")
    row = wl.windows(wl.read_csv(path), "1h", aggregates=["sum", "mean"])["1h"].to_arrow().to_pylist()[0]
    assert (row["v_sum"], row["v_mean"]) == (float("inf"), 1.7e308)


MINUTES = {"source": "m.csv", "grains": "1h", "sinks": "a.db"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wl.Sqlite("a.db", synchronous="ful"), 'Sqlite: synchronous: "ful" is none of .* did you mean "full"'),
        (lambda: wl.Postgres("h", sslmode="requir"), 'sslmode: "requir" .* did you mean "require"'),
        (lambda: wl.Postgres("h", port="many"), 'port: "many" is not a whole number'),
        (lambda: wl.Postgres("h", user=object()), "Postgres: .*give texts and numbers"),
        (lambda: wl.Parquet("out", partition_by="day"), '"day" is none of date, month, year'),
        (lambda: wl.Cassandra("h", keyspace="k", replication="three"), "replication is a number of replicas, or a"),
        (lambda: wl.Sink("a.db", columns=["a"]), "columns=.'a'. is no mapping; write columns={their_column"),
        (lambda: wl.Pipeline("x", source="m.csv", grains="1h", sinks=[None]), "None is no sink; give a path"),
        (lambda: wl.Pipeline("x", **MINUTES, lateness={1}), r"lateness=\{1\} is no text, number, list or dictionary"),
        (lambda: wl.read_csv(5), "5 is no path; give a path, a glob"),
        (lambda: wl.scan_csv(["a.csv", None]), "None is no path"),
        (lambda: wl.read_kafka("kafka://h/t", since=[1]), "offset, a table of offsets by partition.* with its zone$"),
        (lambda: wl.Pipeline.from_toml("[pipeline]\nname = 'x'\n"), "stand at the top .*take that line out"),
        (lambda: wl.report_page("hdfs://bucket/windows"), "^hdfs:// is no endpoint of this version"),
    ],
)
def test_a_plausible_mistake_is_told_in_one_sentence(call, words):
    with pytest.raises(wl.UsageError, match=words) as told:
        call()
    assert "\n" not in str(told.value)


def test_what_stands_for_a_password_is_not_told():
    with pytest.raises(wl.UsageError, match=r"password: .* give the text") as told:
        wl.Postgres("h", password=271828)
    assert "271828" not in str(told.value)


def test_durations_and_zones_of_python_are_taken_as_they_are(write):
    file = write(DAY)
    made = wl.Pipeline("x", source=file, grains="1h", sinks="a.db", lateness=timedelta(minutes=5), tz=ZoneInfo("UTC"))
    assert 'lateness = "300000ms"' in made.to_toml() and "UTC" in made.to_toml()
    assert len(wl.windows(file, "1d", tz=ZoneInfo("Asia/Tokyo"))["1d"]) == 1


def test_a_page_for_a_folder_that_is_not_there(write, tmp_path):
    with pytest.raises(wl.EndpointError, match=r"page.html could not be written: there is no folder"):
        wl.report_page(write(DAY), out=tmp_path / "nowhere" / "page.html")


def test_nobody_at_the_terminal_changes_nothing(write, tmp_path):
    at = ["--name", "x", "--grain", "1h", "--sink", tmp_path / "a.db"]
    assert shell("run", write(DAY), *at).returncode == 0
    done = shell("state", write(DAY), *at, "--reset", stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "nothing was changed" in done.stderr and "Aborted" not in done.stderr


@pytest.mark.parametrize("sink", ["shut/a.db", "shut/windows", "missing/a.db"])
def test_check_sees_a_folder_that_takes_no_file(sink):
    code = (
        "import os, sys, wattline as wl\n"
        "day = wl.simulate(start='2026-01-01', end='2026-01-02')\n"
        "made = wl.Pipeline('x', source=day, grains='1h', sinks=sys.argv[1])\n"
        "made.check()  # imports what a user without rights may not read\n"
        "if os.geteuid() == 0: os.setgid(65534), os.setuid(65534)\n"
        "print([f.message for f in made.check() if f.level == 'error'])\n"
    )
    # Beside the test's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shut = os.path.join(folder, "shut")
        os.mkdir(shut)
        os.chmod(shut, 0o555)
        done = python(code, os.path.join(folder, sink))
        left = os.listdir(shut)
    due = "is not there; make it" if "missing" in sink else "no file can be made in"
    assert due in done.stdout, done.stdout + done.stderr
    assert left == []


def test_ctrl_c_while_the_command_is_imported_is_quiet(tmp_path):
    code = (
        "import sys, builtins\n"
        "taken = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'typer': raise KeyboardInterrupt\n"
        "    return taken(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "from wattline.__main__ import main\n"
        "main()\n"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (130, "wattline: interrupted\n")

"""What a person meets first: files that stay what they are, and sentences that are true and say what to do."""

import io
import os
import pickle
import stat

import pytest

import wattline as wl
from conftest import python, shell
from wattline.files import written

ROWS = "".join(f"2026-01-01T00:{minute:02d}:00Z,1.5\n" for minute in range(60))
HOUR = "time,power_kw\n" + ROWS
RUN = ["--grain", "1h", "--step", "1min", "--sink"]


@pytest.mark.parametrize("command", [["report"], ["sniff"]])
def test_a_link_is_followed_and_a_pipe_written_to(write, tmp_path, command):
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(real)
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for out in (link, pipe):
        assert shell(*command, write(HOUR), "-o", out).returncode == 0
    taken = os.read(end, 1 << 20)
    os.close(end)
    assert link.is_symlink() and stat.S_ISFIFO(pipe.stat().st_mode)
    assert taken and taken == real.read_bytes()


def test_a_text_that_cannot_be_written_names_its_file_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    for out in (tmp_path / "folder", tmp_path / "nowhere" / "a.toml"):
        with pytest.raises(wl.EndpointError, match=f"{out} could not be written: "):
            written(out, "x")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_file_that_is_there_is_replaced_whole(write, tmp_path):
    out = write("before", "a.toml")
    assert written(out, "after") == out and out.read_text() == "after"
    assert os.listdir(tmp_path) == ["a.toml"]


@pytest.mark.parametrize("call", ["windows(data, '1h')", "report_page(data)"])
def test_ctrl_c_on_what_is_kept_nowhere_does_not_promise_to_go_on(call):
    code = (
        "import os, signal, threading, wattline as wl, pyarrow as pa\n"
        "day = wl.simulate(start='2026-01-01', end='2026-01-02').to_arrow()\n"
        "def endless():\n"
        "    while True: yield from day.to_batches()\n"
        "data = pa.RecordBatchReader.from_batches(day.schema, endless())\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"try: wl.{call}\n"
        "except wl.Interrupted as error: print(error, error.report.outcome)\n"
    )
    done = python(code)
    assert "nothing was kept" in done.stdout and "go on" not in done.stdout, done.stdout + done.stderr
    assert "interrupted\n" in done.stdout


@pytest.mark.parametrize("read", [wl.read_csv, wl.scan_csv, wl.sniff])
@pytest.mark.parametrize("data", [io.BytesIO(HOUR.encode()), io.StringIO(HOUR), HOUR.encode()])
def test_content_is_no_path(read, data):
    with pytest.raises(wl.UsageError, match="path"):
        read(data)


@pytest.mark.parametrize("name", ["threads", "max_rejects", "max_line_bytes"])
@pytest.mark.parametrize("number", [-1, 1 << 70, 1.5])
@pytest.mark.parametrize("read", [wl.read_csv, wl.scan_csv])
def test_a_number_that_counts_nothing_is_named(write, read, name, number):
    with pytest.raises(wl.UsageError, match=f"{name}: {number} is not a whole number from 0"):
        read(write(HOUR), **{name: number})


def test_a_number_in_the_shell_is_named(write):
    done = shell("read", write(HOUR), "--threads", "-1")
    assert (done.returncode, done.stderr) == (2, "wattline: threads: -1 is not a whole number from 0 on\n")
    done = shell("read", "kafka://nowhere:1/x", "--limit", "-1")
    assert (done.returncode, done.stderr) == (2, "wattline: limit: -1 is not a whole number from 0 on\n")
    done = shell("produce", write(HOUR), "kafka://nowhere:1/x", "--partitions", "-1")
    assert (done.returncode, done.stderr) == (2, "wattline: partitions: -1 is not a whole number from 0 on\n")
    done = shell("state", write(HOUR), *RUN, "a.db", "--seek", f"0={1 << 70}", "--yes")
    assert done.returncode == 2 and done.stderr.startswith(f"wattline: offset: {1 << 70} is not a whole number")


def test_check_names_columns_and_duplicates_only_where_there_are_some(write):
    said = shell("check", write(HOUR + "2026-01-01T00:00:00Z,1.5,7,8\n")).stdout
    assert "1; line 62" in said, said
    said = shell("check", write(HOUR + "2026-01-01T00:00:00Z,2.5\n")).stdout
    assert "1 with other values is kept" in said and "equal" not in said, said
    said = shell("check", write(HOUR + ROWS)).stdout
    assert "60 equal readings count once" in said and "other values" not in said, said


def test_check_says_once_that_a_server_is_away(write):
    found = wl.Pipeline("x", source=write(HOUR), grains="1h", sinks="postgresql://me@127.0.0.1:1/power").check()
    errors = [finding.message for finding in found if finding.level == "error"]
    assert len(errors) == 1 and "127.0.0.1:1" in errors[0]


def test_windows_that_were_not_asked_for_are_told_with_those_that_were(write):
    made = wl.windows(write(HOUR), ["1h", "1d"], step="1min")
    with pytest.raises(KeyError) as caught:
        made["2h"]
    assert isinstance(caught.value, wl.UsageError)
    assert str(caught.value) == "there are no windows of '2h'; there are 1h, 1d"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(("call", "name"), [("to_polars", "polars"), ("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_a_library_that_is_not_there_is_named_as_it_is_installed(call, name):
    code = (
        f"import sys, wattline as wl; sys.modules[{name!r}] = None\n"
        f"try: wl.simulate(start='2026-01-01', end='2026-01-02').{call}()\n"
        "except wl.UsageError as error: print(error)\n"
    )
    said = python(code).stdout
    assert f"pip install {name}\n" in said and "wattline[" not in said


@pytest.mark.parametrize("command", ["run", "windows", "check", "report", "state", "read", "produce", "rejects"])
def test_the_schema_has_the_same_short_flag_everywhere(command):
    helped = shell(command, "--help").stdout
    assert any("--schema" in line and "-s" in line.split() for line in helped.replace(",", " ").splitlines()), helped


def test_a_run_that_finds_nothing_new_says_so(write, tmp_path):
    file, sink = write(HOUR), tmp_path / "a.db"
    assert "nothing new" not in shell("run", file, *RUN, sink).stdout
    again = shell("run", file, *RUN, sink).stdout
    assert again.startswith("nothing new since the last run") and "60 = 60 accepted" in again
    grown = shell("run", write(HOUR + "2026-01-01T01:00:00Z,1.5\n"), *RUN, sink).stdout
    assert "nothing new" not in grown and "records   1" in grown


@pytest.mark.parametrize("text", ['name = "x', 'name = "x"\ngrans = ["1h"]\n'])
def test_a_fault_in_a_toml_file_names_the_file(write, tmp_path, text):
    file, faulty = write(HOUR), write(text, "faulty.toml")
    for call in (lambda: wl.Pipeline.from_toml(faulty), lambda: wl.read_csv(file, schema=faulty)):
        with pytest.raises(wl.WattlineError, match=f"^{faulty}: .*line|^{faulty}: .*grans") as caught:
            call()
        assert str(caught.value).count(str(faulty)) == 1
    with pytest.raises(wl.WattlineError) as caught:
        wl.Pipeline.from_toml(text + "\n")
    assert "faulty.toml" not in str(caught.value)


@pytest.mark.parametrize("ending", ["csv", "json", "parquet", "arrow"])
def test_a_disk_that_is_full_is_told_with_the_file(tmp_path, ending):
    code = (
        "import resource, sys, wattline as wl\n"
        "from wattline.files import written\n"
        "table = wl.simulate(start='2026-01-01', end='2026-01-08')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "for write in (lambda: table.write(sys.argv[1]), lambda: written(sys.argv[1], 'x' * 5000)):\n"
        "    try: write()\n"
        "    except wl.EndpointError as error: print(error)\n"
    )
    out = tmp_path / f"rows.{ending}"
    said = python(code, out).stdout.splitlines()
    assert len(said) == 2 and all(line.startswith(str(out)) and "too large" in line for line in said), said
    assert os.listdir(tmp_path) == []


def test_stored_windows_of_other_digits_are_told_with_what_is_asked_for_now(write, tmp_path):
    declared = '[time]\ncolumns = ["time"]\n[[columns]]\nname = "time"\nrole = "time"\ntype = "timestamp"\n'
    declared += '[[columns]]\nname = "power_kw"\nrole = "measure"\nmeasure = "power"\nunit = "kW"\ntype = "float"\n'

    def run(digits, text):
        schema = write(f"{declared}digits = {digits}\n", "s.toml")
        made = wl.Pipeline("x", source=write(text), schema=schema, grains="1d", step="1min", sinks=tmp_path / "a.db")
        return made.run(progress=False)

    run(3, HOUR)
    now = r"power_kw to 4 digits \(.*mean.*\); step 1min; zone UTC"
    with pytest.raises(wl.SpecChanged, match=f"other measures, digits.* than now .*{now}"):
        run(4, HOUR + "2026-01-01T01:00:00Z,1.5555\n")


def test_the_head_of_a_table_has_no_negative_length(write):
    table = wl.read_csv(write(HOUR))
    assert [len(table.head(n)) for n in (0, 3, 99)] == [0, 3, 60]
    with pytest.raises(wl.UsageError, match="n: -1 is not a whole number from 0 on"):
        table.head(-1)

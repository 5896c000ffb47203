"""What a careless or hostile user does: an answer in one clear sentence, never a wrong number or a hang."""

import os
import warnings
from datetime import UTC, datetime

import pyarrow as pa
import pytest

import wattline as wl
from conftest import shell

HOURS = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(4)]


def table(**columns):
    return pa.table({"time": pa.array(HOURS, pa.timestamp("us", "UTC")), **columns})


def test_aggregates_are_those_asked_for():
    data = wl.simulate(sensors=1, start="2026-01-01", end="2026-01-02", seed=1)
    named = wl.windows(data, "1h", aggregates={"voltage": ["mean"]})["1h"].column_names
    assert [name for name in named if name.endswith(("_mean", "_min", "_sum", "_wh"))] == ["voltage_mean"]
    energy = wl.windows(data, "1h", aggregates=["energy"])["1h"].column_names[14:]
    assert energy and all(name.endswith("_energy_wh") for name in energy)
    with pytest.raises(wl.WattlineError, match="no measure to aggregate"):
        wl.windows(table(power=[1.0] * 4), "1h", aggregates=["energy"])


def test_a_trailing_delimiter_moves_no_column(write):
    path = write("time,sensor,power\n2024-01-01T00:00:00Z,a,1.5,\n2024-01-01T01:00:00Z,b,2.5,\n")
    read = wl.read_csv(path)
    assert read.select("sensor", "power").rows() == [("a", 1.5), ("b", 2.5)]


def test_several_columns_without_a_name_are_numbered(write):
    path = write("time,,power,\n2024-01-01T00:00:00Z,a,1.5,2\n2024-01-01T01:00:00Z,a,2.5,3\n")
    assert wl.read_csv(path).column_names == ["time", "column_2", "power", "column_4"]


def test_a_line_of_too_many_fields_is_refused_at_once(write):
    with pytest.raises(wl.SchemaError, match="at most 10000"):
        wl.sniff(write("1," * 500_000))


@pytest.mark.parametrize("time", [2**63 - 1, -(2**63), 253402300800 * 10**6])
def test_times_beyond_the_calendar_are_rejects(time):
    data = pa.table({"time": pa.array([0, time], pa.timestamp("us", "UTC")), "power": [1.0, 2.0]})
    made = wl.windows(data, "1h", on_reject="collect")
    assert made.ledger["rejected"] == 1 and len(made["1h"]) == 1
    with pytest.raises(wl.RejectLimit):
        wl.windows(data, "1h")


def test_measures_that_a_store_does_not_tell_apart_are_refused():
    with pytest.raises(wl.SchemaError, match="one name where case does not count"):
        wl.windows(table(Power=[1.0] * 4, power=[2.0] * 4), "1h")


def test_windows_of_what_never_ends_are_refused():
    with pytest.raises(wl.UsageError, match="never ends"):
        wl.windows("sim://?sensors=1", "1h")


def test_too_many_threads_are_refused(write):
    with pytest.raises(wl.UsageError, match="too many"):
        wl.read_csv(write("time,power\n2024-01-01T00:00:00Z,1\n"), threads=100_000)


def test_a_message_holds_no_sign_that_steers_a_terminal():
    with pytest.raises(wl.UsageError) as raised:
        wl.Table(table(**{"\x1b[31mred\u202e": [1.0] * 4})).select("none")
    assert not any(sign in str(raised.value) for sign in "\x1b\u202e\n")


def test_a_run_or_a_reader_under_way_is_refused_in_a_fork(write):
    rows = "".join(f"2024-01-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z,1\n" for i in range(80_000))
    reader = iter(wl.scan_csv(write("time,power\n" + rows)))
    run = wl.Pipeline("p", source="sim://?sensors=1&rate=100", grains=["1min"], sinks="memory:").follow()
    next(reader)
    next(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        refused = 0
        for taken in (reader, run):
            try:
                next(taken)
            except wl.UsageError:
                refused += 1
        os._exit(10 + refused)
    _, status = os.waitpid(child, 0)
    run.close()
    assert os.waitstatus_to_exitcode(status) == 12


def test_the_shell_says_what_is_wrong_in_one_line(write, tmp_path):
    path = write("time,power\n2024-01-01T00:00:00Z,1\n")
    for arguments, code in [
        (["sniff", path, "-o", tmp_path / "none/x.toml"], 1),
        (["sniff", path, "-d", "ab"], 2),
        (["read", path, "--threads", "-1"], 2),
        (["read", path, "--max-rejects", "-1"], 2),
        (["read", path, "-o", tmp_path / "none/x.csv"], 1),
        (["run", tmp_path / "a.toml", path], 2),
    ]:
        done = shell(*arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr

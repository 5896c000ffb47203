"""What sniffing decides, the whole way: no reading is lost for a name, a cell or a line that Excel wrote."""

import pyarrow as pa
import pytest

import wattline as wl
from conftest import shell

START = "2026-01-01T00:{:02}:00Z"


def meters(count, quarters=8):
    """Quarter hours of many meters in time order: no meter comes again before all the others did."""
    rows = ["meter_id,timestamp,power_kw"]
    for quarter in range(quarters):
        at = f"2026-01-01T{quarter // 4:02}:{quarter % 4 * 15:02}:00Z"
        rows += [f"m{meter:05},{at},1.5" for meter in range(count)]
    return "\n".join(rows) + "\n"


def rows(made):
    """The windows of an hour in order."""
    names = ["sensor_id", "window_start", "readings", "duplicates", "power_kw_mean"]
    found = pa.table(made["1h"]).select(names).to_pylist()
    return sorted(found, key=lambda row: (row["sensor_id"], row["window_start"]))


@pytest.mark.parametrize(("count", "quarters"), [(5000, 8), (3, 1), (1, 1)])
def test_meters_that_do_not_come_again_near_the_top_are_sensors(write, tmp_path, count, quarters):
    path = write(meters(count, quarters))
    made = wl.windows(path, "1h", step="15min")
    assert made.ledger["readings"] == count * quarters
    windows = rows(made)
    assert {row["sensor_id"] for row in windows} == {f"m{meter:05}" for meter in range(count)}
    assert sum(row["readings"] for row in windows) == count * quarters
    assert sum(row["duplicates"] for row in windows) == 0
    # The same table, handed over, gives the same windows.
    assert rows(wl.windows(pa.table(wl.read_csv(path)), "1h", step="15min")) == windows
    # The shell says the same of it.
    ran = shell("run", path, "--grain", "1h", "--step", "15min", "--sink", f"sqlite:///{tmp_path}/out.db")
    assert ran.returncode == 0, ran.stderr
    checked = shell("check", path)
    assert f"{count * quarters:,} of" in checked.stdout and "no reading is there twice" in checked.stdout
    assert "meter_id" in shell("sniff", path).stdout.split("sensor\n")[0]


def test_a_damaged_cell_is_a_reject_and_its_column_a_measure(write):
    path = write(
        f"meter,time,kw,volt\na,{START.format(0)},1,230\na,{START.format(15)},2x,231\na,{START.format(30)},2,232\n"
    )
    table = wl.read_csv(path, on_reject="collect")
    assert table.select("kw", "volt").rows() == [(1, 230), (2, 232)]
    assert table.rejects.select("line", "column", "reason").rows() == [(3, "kw", 'not an integer: "2x"')]
    made = wl.windows(path, "1h", on_reject="collect")
    assert made.ledger["rejected"] == 1 and pa.table(made["1h"])["kw_mean"].to_pylist() == [1.5]
    ran = shell("read", path)
    assert ran.returncode == 1 and "2x" in ran.stderr and "line 3" in ran.stderr


def test_a_file_without_a_measure_names_the_cell_that_is_no_number(write):
    text = f"meter,time,flow\na,{START.format(0)},1\na,{START.format(15)},2x\na,{START.format(30)},2\n"
    path = write(text)
    with pytest.raises(wl.WattlineError, match='column "flow" was taken for text, for "2x" in line 3 is no number'):
        wl.windows(path, "1h")
    # Told that it is a measure, it is one, and the cell a reject.
    made = wl.windows(path, "1h", measures=["flow"], on_reject="collect")
    assert pa.table(made["1h"])["flow_mean"].to_pylist() == [1.5]
    words = write(text.replace(",1\n", ",low\n"), "words.csv")
    with pytest.raises(wl.SchemaError, match='column "flow" was taken for text, for "low" in line 2 is no number'):
        wl.windows(words, "1h", measures=["flow"])


def test_a_file_without_a_time_names_the_value_that_is_none(write):
    path = write("meter,time,kw\na,noon,1\na,2026-01-01 00:15,2\na,later,3\na,soon,4\n")
    with pytest.raises(wl.SchemaError, match='column "time" was taken for text, for "noon" in line 2 is no time'):
        wl.windows(path, "1h")


def test_the_line_in_which_excel_says_the_delimiter_is_no_header(write):
    body = f"meter;time;kw\na;{START.format(0)};1,5\na;{START.format(15)};?!\na;{START.format(30)};2,5\n"
    plain = wl.read_csv(write(body), on_reject="collect", schema=None)
    told = wl.read_csv(write("sep=;\r\n" + body, "excel.csv"), on_reject="collect")
    assert told.column_names == ["meter", "time", "kw"] and told.rows() == plain.rows()
    assert told.rejects.select("line", "column").rows() == [(4, "kw")]
    assert plain.rejects.select("line", "column").rows() == [(3, "kw")]


def test_too_few_rows_are_called_so(write):
    assert "too few to show it" in repr(wl.sniff(write(f"meter,time,kw\na,{START.format(0)},1\n")))

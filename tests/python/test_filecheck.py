"""``wattline check FILE``: in about ten lines what is wrong with a file, and what to do."""

from pathlib import Path

from conftest import shell


def lines(*arguments: object, code: int = 0) -> dict[str, tuple[str, str]]:
    """What is found, by place: level and sentence (the last of a place)."""
    done = shell("check", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    shown = done.stdout.rstrip("\n").split("\n")
    assert len(shown) <= 13
    at = shown[0].index("at"), shown[0].index("what")
    return {line[at[0] : at[1]].strip(): (line[: at[0]].strip(), line[at[1] :]) for line in shown[1:]}


def test_the_real_file(data: Path) -> None:
    found = lines(data / "household_power_consumption_2006-12_2007-06.txt.gz")
    assert found["delimiter"][1].startswith(";")
    assert "282,636" in found["records"][1] and "2007-06-30 23:59" in found["records"][1]
    assert found["gaps"][0] == "warning" and "3,775" in found["gaps"][1] and "28 Apr 2007" in found["gaps"][1]
    assert found["not known"][0] == "warning" and "zone" in found["not known"][1]
    assert found["rejects"] == ("info", "none") and found["twice"][0] == "info"
    assert "5.68 MWh" in found["measures"][1]


def test_rejects_duplicates_and_conflicts(uci: Path, write) -> None:
    head, first, second, *_ = rows = uci.read_text().split("\n")
    other = second.replace(second.split(";")[2], "9.876", 1)
    bad = "1/13/2007;00:00:00;1;1;1;1;1;1;1"
    path = write("\n".join([head, first, first, second, other, bad, *rows[3:2000]]) + "\n")
    found = lines(path, code=1)
    assert found["rejects"][0] == "error" and "line 6" in found["rejects"][1]
    assert "wattline rejects" in found["rejects"][1]
    assert found["twice"][0] == "warning" and "1 equal" in found["twice"][1] and "--on-conflict" in found["twice"][1]


def test_dates_that_can_be_read_two_ways(write) -> None:
    found = lines(write("time,power\n01/02/2026 00:00,1\n02/02/2026 00:00,1\n"), code=1)
    assert found["file"][0] == "error" and "two ways" in found["file"][1]
    assert "--order dmy" in found["to do"][1]


def test_no_time_and_no_file(write) -> None:
    found = lines(write("when,kwh\n2026-01-01 00:00,1\n2026-13-01 00:15,1\n"), code=1)
    assert found["times"][0] == "error"
    assert "2026-13-01" in found["column when"][1]
    assert "no such file" in lines("nowhere.csv", code=1)["file"][1]


def test_a_step_that_is_not_known(write) -> None:
    rows = "".join(f"2026-01-{1 + d:02} {d * d % 24:02}:{d * 7 % 60:02}:00,{d}.5\n" for d in range(20))
    found = lines(write("time,power_kw\n" + rows))
    assert found["gaps"][0] == "warning" and "--step" in found["gaps"][1]
    assert found["not known"][0] == "warning"


def test_a_header_and_no_rows(uci: Path, write) -> None:
    found = lines(write(uci.read_text().split("\n")[0] + "\n"), "--schema", "household")
    assert "no rows" in found["records"][1]


def test_gaps_are_counted_in_the_files_own_interval(write) -> None:
    quarters = [f"2026-01-{d:02} {h:02}:{m:02}" for d in (1, 14) for h in range(24) for m in (0, 15, 30, 45)]
    # Two gaps in neighbouring hours, one of them over the hour; and the twelve days between.
    left = [at for at in quarters if at[8:] not in ("01 02:15", "01 02:45", "01 03:00", "01 03:15")]
    found = lines(write("time,kwh\n" + "".join(f"{at},0.5\n" for at in left)))
    assert "1,156 of 1,344 readings missing" in found["gaps"][1]
    assert "in 3 gaps; the worst 12 days from 2 Jan 2026 00:00" in found["gaps"][1].replace("12.0", "12")
    days = [f"2026-{m:02}-{d:02}" for m in (1, 2) for d in range(1, 29) if (m, d) not in ((1, 5), (1, 6), (2, 9))]
    found = lines(write("time,kwh\n" + "".join(f"{at} 00:00,0.5\n" for at in days)), "--step", "1d")
    assert "in 3 gaps; the worst 3 days from 29 Jan 2026" in found["gaps"][1].replace("3.0", "3")

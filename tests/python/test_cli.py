"""The shell: the same words, output formats, exit codes, no tracebacks."""

import json
import signal
import sqlite3
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wattline as wl
from conftest import shell

COMMANDS = ["sniff", "read", "rejects", "simulate", "windows", "run", "check", "state", "report", "demo"]
BAD = "n,word\n1,x\nnope,y\n3,z\n"


def test_help_names_every_command() -> None:
    done = shell("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert "130 interrupted" in " ".join(done.stdout.split())
    assert shell("--version").stdout.strip() == f"wattline {wl.__version__}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    done = shell(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    if command not in ("demo",):
        assert f"\n  wattline {command}" in done.stdout


def test_sniff_writes_a_schema_that_reads(write, tmp_path) -> None:
    path = write("n,word\n1,x\n2,y\n")
    done = shell("sniff", path, "-o", tmp_path / "s.toml")
    assert done.returncode == 0, done.stderr
    assert "delimiter" in done.stdout
    assert len(wl.read_csv(path, schema=tmp_path / "s.toml")) == 2


def test_read_in_each_format(write, tmp_path) -> None:
    path = write("n,word\n1,x\n2,\n")
    assert "2 rows × 2 columns" in shell("read", path).stdout
    assert shell("read", path, "-f", "csv").stdout == "n,word\n1,x\n2,\n"
    assert [json.loads(line) for line in shell("read", path, "-f", "json").stdout.splitlines()] == [
        {"n": 1, "word": "x"},
        {"n": 2, "word": None},
    ]
    assert shell("read", path, "-o", tmp_path / "t.parquet").returncode == 0
    assert pq.read_table(tmp_path / "t.parquet")["n"].to_pylist() == [1, 2]


def test_standard_input(write) -> None:
    with write("n,word\n1,x\n").open() as file:
        assert shell("read", "-", "-f", "csv", stdin=file).stdout == "n,word\n1,x\n"


def test_rejects_are_exported_mended_and_replayed(write, tmp_path) -> None:
    path, mend = write(BAD), tmp_path / "mend.csv"
    schema = tmp_path / "s.toml"
    columns = [{"name": "n", "type": "integer"}, {"name": "word", "type": "text"}]
    schema.write_text(wl.Schema(columns=columns, dialect={"delimiter": ",", "header": True}).to_toml())
    assert shell("rejects", path, "-s", schema, "-o", mend).returncode == 0
    mend.write_text(mend.read_text().replace("nope,y", "2,y"))
    done = shell("rejects", "--replay", mend, path, "-s", schema, "-f", "csv")
    assert done.stdout == "n,word\n2,y\n", done.stderr


def test_run_is_the_pipeline_that_toml_says(uci, tmp_path) -> None:
    flags = ["--schema", "household", "--grain", "1h", "--grain", "1d", "--sink"]
    first = shell("run", uci, *flags, f"sqlite://{tmp_path / 'a.db'}", "--name", "home")
    assert first.returncode == 0, first.stderr
    assert "40,000" in first.stdout
    made = wl.Pipeline("home", source=uci, schema="household", grains=["1h", "1d"], sinks=tmp_path / "b.db")
    (tmp_path / "p.toml").write_text(made.to_toml())
    second = shell("run", tmp_path / "p.toml", "--json")
    assert json.loads(second.stdout)["ledger"]["readings"] == 40_000
    tables = []
    for name in ("a", "b"):
        with sqlite3.connect(tmp_path / f"{name}.db") as store:
            tables.append(store.execute("select * from windows order by grain, window_start").fetchall())
    assert tables[0] == tables[1] and len(tables[0]) > 600
    again = shell("run", tmp_path / "p.toml", "--json")
    assert json.loads(again.stdout)["ledger"]["readings"] == 0


def test_check_state_and_report(uci, tmp_path) -> None:
    made = wl.Pipeline("home", source=uci, schema="household", grains=["1d"], sinks=tmp_path / "a.db")
    path = tmp_path / "p.toml"
    path.write_text(made.to_toml())
    assert shell("check", path).returncode == 0
    assert shell("state", path).returncode == 1
    made.run()
    assert "newest flush" in shell("state", path).stdout
    assert json.loads(shell("state", path, "--json").stdout)["totals"]["readings"] == 40_000
    assert "40,000" in shell("report", path).stdout
    assert shell("check", "nowhere.csv", "--grain", "1h", "--sink", tmp_path / "b.db").returncode == 1


def test_windows_to_a_file(uci, tmp_path) -> None:
    out = tmp_path / "w.parquet"
    done = shell("windows", uci, "-o", out, "--schema", "household", "--grain", "1d", "--aggregate", "voltage=mean,max")
    assert done.returncode == 0, done.stderr
    due = wl.windows(uci, ["1d"], schema="household", aggregates={"voltage": ["mean", "max"]})
    assert pq.read_table(out).to_pydict() == pa.table(due["1d"]).to_pydict()


def test_simulate(tmp_path) -> None:
    done = shell("simulate", "--sensors", 2, "--end", "2026-01-01T01:00", "-f", "csv")
    assert len(done.stdout.splitlines()) == 1 + 2 * 60
    assert shell("simulate", "--uci", tmp_path / "h.txt").returncode == 0
    with (tmp_path / "h.txt").open() as file:
        assert file.readline().startswith("Date;Time;Global_active_power")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["read"], 2, "Missing"),
        (["read", "x.csv", "--nope"], 2, "nope"),
        (["nope"], 2, "nope"),
        (["read", "nowhere.csv"], 1, "no such file"),
        (["windows", "nowhere.csv"], 2, "no grain"),
        (["run", "nowhere.csv", "--grain", "1h"], 2, "sink"),
    ],
)
def test_exit_codes_and_one_line(arguments: list[str], code: int, said: str) -> None:
    done = shell(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_books_that_do_not_balance_are_3(monkeypatch) -> None:
    import typer

    from wattline.cli.output import guarded

    def broken() -> None:
        raise wl.LedgerError("the books do not balance")

    with pytest.raises(typer.Exit) as caught:
        guarded(broken)()
    assert caught.value.exit_code == 3


def test_ctrl_c_is_130(tmp_path) -> None:
    store = tmp_path / "live.db"
    arguments = ["run", "sim://?start=2026-01-01&rate=20000x", "--grain", "1h", "--sink", str(store)]
    run = subprocess.Popen(
        [sys.executable, "-m", "wattline.cli", *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for _ in range(200):
        if store.exists():
            break
        time.sleep(0.05)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors


def test_control_characters_do_not_reach_the_terminal(write) -> None:
    done = shell("read", write("n,word\n1,\x1b[2Jx\n"))
    assert "\x1b" not in done.stdout and "\\x1b[2Jx" in done.stdout


def test_a_reader_that_goes_away_is_no_error_text(uci) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m wattline.cli read {uci} -s household -f csv | head -2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_the_demo_and_the_demo_again(uci, tmp_path) -> None:
    first = shell("demo", uci, "-o", tmp_path)
    assert first.returncode == 0, first.stderr
    assert "energy per quarter" in first.stdout and "where the time went" in first.stdout
    assert "2007-Q1" in first.stdout
    again = shell("demo", uci, "-o", tmp_path)
    assert again.returncode == 0, again.stderr
    assert "nothing new" in again.stdout


def test_windows_of_a_definition(uci, tmp_path) -> None:
    definition = tmp_path / "house.toml"
    told = ['name = "house"', f'source = "{uci}"', 'schema = "household"', 'grains = "1d"', 'sinks = "out.db"']
    definition.write_text("\n".join([*told, 'measures = "voltage"']))
    done = shell("windows", definition, "--aggregate", "mean", "-f", "csv", "-q")
    assert done.returncode == 0, done.stderr
    due = wl.windows(uci, "1d", schema="household", measures=["voltage"], aggregates=["mean"])["1d"].to_arrow()
    assert len(done.stdout.splitlines()) == len(due) + 1
    assert "voltage_mean" in done.stdout.splitlines()[0]


def test_readings_behind_final_windows_are_told(tmp_path) -> None:
    reports = []
    for month in (2, 1):
        path = tmp_path / f"{month}.csv"
        shell("simulate", "--start", f"2026-0{month}-01", "--end", f"2026-0{month}-02", "-o", path)
        p = wl.Pipeline("p", source=path, grains="1h", sinks=tmp_path / "out.db")
        reports.append(p.run(progress=False))
    newer, older = reports
    assert newer.summary()["notes"] == []
    assert older.ledger["grains"]["1h"]["late"] == 1440
    assert "1440 readings came behind windows that are final" in str(older)
    assert "in no store" in str(older)


LOCAL = "time,kwh\n" + "".join(f"2026-01-{day:02} 00:15,0.5\n2026-01-{day:02} 00:30,0.5\n" for day in (1, 14))


def test_sniff_takes_what_the_file_cannot_tell(write, tmp_path) -> None:
    path, schema = write(LOCAL), tmp_path / "s.toml"
    asked = shell("sniff", path)
    assert all(f"\n  the {what}:" in asked.stdout for what in ("zone", "stamp", "step", "sensor"))
    flags = ["--tz", "Europe/Paris", "--stamp", "end", "--step", "15min", "--sensor-id", "home"]
    told = shell("sniff", path, *flags, "-o", schema)
    assert told.returncode == 0, told.stderr
    assert not any(f"\n  the {what}:" in told.stdout for what in ("zone", "stamp", "step", "sensor"))
    table = wl.windows(path, "1d", schema=schema, tz="Europe/Paris")["1d"]
    assert {row[0] for row in table.rows()} == {"home"}
    assert table["window_label"][0] == "2026-01-01"
    assert shell("sniff", path, "--tz", "Europe/Pari").returncode == 1


def test_sniff_and_check_as_json(write) -> None:
    path = write(LOCAL)
    found = json.loads(shell("sniff", path, "--stamp", "end", "--step", "15min", "--json").stdout)
    assert found["schema"]["stamp"] == "end"
    assert {"what", "value", "why"} == {*found["found"][0]}
    assert any(line.startswith("the zone:") for line in found["not_known"])
    assert not any(line.startswith("the stamp:") for line in found["not_known"])
    listed = json.loads(shell("check", path, "--json").stdout)
    assert {"level": "info", "at": "rejects", "message": "none"} in listed
    missing = shell("check", path.with_name("no.csv"), "--json")
    assert missing.returncode == 1
    assert json.loads(missing.stdout)[0]["level"] == "error"


def test_a_sinks_text_names_its_table(write, tmp_path) -> None:
    path, store = write(LOCAL), tmp_path / "out.db"
    sinks = ["--sink", f"{store}?table=days", "--sink", f"readings=sqlite://{store}?table=raw"]
    done = shell("run", path, "--grain", "1d", *sinks, "-q")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(store) as base:
        assert base.execute("select count(*) from days").fetchone() == (14,)
        assert base.execute("select count(*) from raw").fetchone() == (4,)
    made = wl.Pipeline("x", source=path, grains="1d", sinks=f"{store}?table=days")
    assert 'table = "days"' in made.to_toml()

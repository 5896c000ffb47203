"""A real PostgreSQL behind `wl.Postgres` and `postgresql://`."""

import pickle
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import wattline as wl
from conftest import shell
from tests.services import Postgres

SECRET = "pass-phrase-of-the-test"


@pytest.fixture
def base(postgres: Postgres, request: pytest.FixtureRequest) -> Callable[..., list[tuple]]:
    """An empty schema named `mine`, and a way to ask it."""

    def ask(sql: str, url: str = postgres.url) -> list[tuple]:
        with psycopg.connect(url, autocommit=True) as link:
            link.execute("set search_path = mine; set time zone 'UTC'")
            done = link.execute(sql)
            return done.fetchall() if done.description else []

    ask("drop schema if exists mine cascade")
    ask("create schema mine")
    return ask


def endpoint(postgres: Postgres, **options: object) -> wl.Postgres:
    told = {"port": postgres.port, "dbname": "wattline", "user": "wattline", "password": "wattline", "schema": "mine"}
    return wl.Postgres("127.0.0.1", **{**told, **options})


def pipeline(source: Path, *sinks: object, **options: object) -> wl.Pipeline:
    told = {"schema": "household", "grains": ["1h", "1d", "1q"]}
    return wl.Pipeline("home", source=source, sinks=list(sinks), **{**told, **options})


def test_windows_and_readings_arrive_once(postgres: Postgres, base, uci: Path) -> None:
    at = endpoint(postgres)
    p = pipeline(uci, wl.Sink(at), wl.Sink(at, "readings"), wl.Sink(at, "rejects"))
    assert not [f for f in p.check() if f.level == "error"]
    assert base("select count(*) from pg_tables where schemaname = 'mine'") == [(0,)]
    report = p.run(progress=False)
    again = p.run(progress=False)
    assert again.summary()["flushes"] == 0
    due = wl.windows(uci, ["1h", "1d", "1q"], schema="household")
    for grain in ("1h", "1d", "1q"):
        columns = ["window_start", "readings", "missing", "global_active_power_mean", "global_active_power_energy_wh"]
        rows = base(f"select {', '.join(columns)} from windows where grain = '{grain}' order by 1")
        table = due[grain].to_arrow().select(columns).sort_by("window_start")
        assert rows == [tuple(row.values()) for row in table.to_pylist()]
    assert base("select count(*) from readings")[0][0] == report.ledger["readings"]
    assert p.state()["epoch"] == 2


def test_sqlite_and_postgres_hold_the_same(postgres: Postgres, base, uci: Path, tmp_path: Path) -> None:
    import sqlite3

    url = f"{postgres.url}?schema=mine"
    pipeline(uci, tmp_path / "a.db", url).run(progress=False)
    columns = "sensor_id, grain, window_label, readings, expected, missing, revision, voltage_mean, voltage_energy_wh"
    columns = columns.removesuffix(", voltage_energy_wh")
    with sqlite3.connect(tmp_path / "a.db") as file:
        due = file.execute(f"select {columns} from windows order by grain, window_label, window_start").fetchall()
    assert base(f"select {columns} from windows order by grain, window_label, window_start") == due


def test_a_quarterly_table_needs_its_index_and_then_fills(postgres: Postgres, base, uci: Path) -> None:
    base("create table quarterly_energy_data (quarter text, total_energy_wh double precision, record_count bigint)")
    theirs = {
        "quarter": "window_label",
        "total_energy_wh": "global_active_power_energy_wh",
        "record_count": "readings",
    }
    sink = wl.Sink(endpoint(postgres), table="quarterly_energy_data", columns=theirs, key=["quarter"])
    p = pipeline(uci, sink, grains=["1q"])
    wrong = [f.message for f in p.check() if f.level == "error"]
    assert len(wrong) == 1
    with pytest.raises(wl.UsageError, match="CREATE UNIQUE INDEX"):
        p.run(progress=False)
    base(wrong[0].split("run ")[1])
    p.run(progress=False)
    table = wl.windows(uci, "1q", schema="household")["1q"].to_arrow()
    due = list(zip(*(table[c].to_pylist() for c in theirs.values()), strict=True))
    assert sorted(base("select * from quarterly_energy_data")) == sorted(due)


def test_tls_is_checked_as_asked(postgres: Postgres, base, uci: Path) -> None:
    good = endpoint(postgres, sslmode="verify-full", sslrootcert=postgres.ca)
    pipeline(uci, good).run(progress=False)
    used = base("select count(*) from mine.windows")
    assert used[0][0] > 0
    findings = pipeline(uci, endpoint(postgres, sslmode="verify-full")).check()
    assert any("certificate" in f.message for f in findings if f.level == "error")


def test_grants_that_are_missing_are_named(postgres: Postgres, base, uci: Path) -> None:
    base("drop role if exists reader", url=postgres.admin_url)
    base(f"create role reader login password '{SECRET}'", url=postgres.admin_url)
    at = endpoint(postgres, user="reader", password=SECRET)
    p = pipeline(uci, at)

    def wrong() -> str:
        found = [f.message for f in p.check() if f.level == "error"]
        assert all(SECRET not in message for message in found)
        return found[0] if found else ""

    for _ in range(9):
        message = wrong()
        if not message:
            break
        grant = (
            "GRANT USAGE ON SCHEMA mine TO reader" if "USAGE" in message else message.split("run ")[1].split(", and")[0]
        )
        base(grant, url=postgres.admin_url)
    p.run(progress=False)
    assert base("select count(*) from windows", url=postgres.admin_url)[0][0] > 0
    base("drop owned by reader cascade; drop role reader", url=postgres.admin_url)


def test_secrets_are_never_shown(postgres: Postgres, uci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://wattline:{SECRET}@127.0.0.1:{postgres.port}/wattline"
    at = endpoint(postgres, password=SECRET)
    for made in (at, wl.Sink(at), wl.Sink(url), pipeline(uci, at), pipeline(uci, url)):
        assert SECRET not in repr(made)
        assert SECRET not in repr(pickle.loads(pickle.dumps(made)))
    p = pipeline(uci, url)
    assert SECRET not in p.to_toml()
    with pytest.raises(wl.EndpointError) as refused:
        p.run(progress=False)
    shown = f"{refused.value} {refused.value.__notes__ if hasattr(refused.value, '__notes__') else ''}"
    assert "password" in shown
    assert SECRET not in shown
    assert "${WL_TEST_PASSWORD}" in repr(endpoint(postgres, password="${WL_TEST_PASSWORD}"))


def test_a_password_by_reference_is_read_when_it_is_used(
    postgres: Postgres, base, uci: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = pipeline(uci, endpoint(postgres, password="${WL_TEST_PASSWORD}"))
    kept = pickle.loads(pickle.dumps(p))
    with pytest.raises(wl.UsageError, match="WL_TEST_PASSWORD"):
        kept.run(progress=False)
    monkeypatch.setenv("WL_TEST_PASSWORD", "wattline")
    assert kept.run(progress=False).summary()["flushes"] > 0


def test_the_shell_takes_the_url(postgres: Postgres, base, uci: Path) -> None:
    done = shell("run", uci, "--schema", "household", "--grain", "1d", "--sink", f"{postgres.url}?schema=mine")
    assert done.returncode == 0, done.stderr
    assert base("select count(*) from windows")[0][0] > 20
    assert "wattline:wattline" not in done.stdout + done.stderr

"""A PostgreSQL of the tests answers real clients, is crashed and frozen, and comes back with its data."""

from pathlib import Path

import psycopg
import pytest

from tests.services import Postgres, guard


def test_postgres_answers_with_and_without_tls(postgres: Postgres) -> None:
    for url, encrypted in ((postgres.url + "?sslmode=disable", False), (postgres.tls_url, True)):
        with psycopg.connect(url) as client:
            assert client.pgconn.ssl_in_use is encrypted
            assert client.execute("SELECT current_user").fetchone() == ("wattline",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(":wattline@", ":wrong@"))


@pytest.mark.parametrize("from_package", [False, True])
def test_postgres_keeps_what_was_committed(from_package: bool) -> None:
    with Postgres(from_package=from_package) as server:
        with psycopg.connect(server.url) as client:
            client.execute("CREATE TABLE kept AS SELECT 1 AS one")
        before = server.pids
        server.kill()
        assert not any(map(guard.running, before))
        server.start()
        with psycopg.connect(server.url) as client:
            assert client.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_postgres_frozen_does_not_answer_and_thawed_does(postgres: Postgres) -> None:
    postgres.freeze()
    try:
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(postgres.url, connect_timeout=2)
    finally:
        postgres.thaw()
    psycopg.connect(postgres.url).close()


def test_postgres_takes_settings_and_can_insist_on_tls() -> None:
    with Postgres(tls_only=True, settings={"max_connections": 7}) as server:
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(server.url + "?sslmode=disable")
        with psycopg.connect(server.tls_url) as client:
            assert client.execute("SHOW max_connections").fetchone() == ("7",)


def shared_memory() -> set[str]:
    """The ids of the machine's shared memory segments."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_a_crash_leaves_no_shared_memory() -> None:
    with Postgres() as server:
        held = (server.folder / "data/postmaster.pid").read_text().splitlines()[6].split()[1]
        assert held in shared_memory()
        server.kill()
    assert held not in shared_memory()


#: computes for some seconds, then inserts: a backend that only waits would notice that its server is gone
BUSY = """DO $$ BEGIN
    WHILE clock_timestamp() < now() + interval '{} s' LOOP END LOOP;
    INSERT INTO kept VALUES (1);
END $$"""


def begin_busy(server: Postgres, seconds: int) -> psycopg.Connection:
    """A connection whose backend is busy; nobody waits for its answer."""
    with psycopg.connect(server.url) as client:
        client.execute("CREATE TABLE kept (a int)")
    busy = psycopg.connect(server.url, autocommit=True)
    busy.pgconn.send_query(BUSY.format(seconds).encode())
    with psycopg.connect(server.admin_url, autocommit=True) as client:
        question = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'"
        while client.execute(question).fetchone() is None:
            pass
    return busy


def test_a_backend_may_outlive_its_server_and_commit() -> None:
    with Postgres() as server:
        begin_busy(server, 2)
        server.kill(children=False)
        server.start()
        with psycopg.connect(server.url) as client:
            assert client.execute("SELECT a FROM kept").fetchall() == [(1,)]


def test_orphans_of_a_killed_server_end_with_it() -> None:
    with Postgres() as server:
        pid = begin_busy(server, 600).pgconn.backend_pid
        server.kill(children=False)
        assert guard.running(pid)
    assert not guard.running(pid)

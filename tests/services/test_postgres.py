"""A PostgreSQL of the tests answers real clients, is crashed and frozen, and comes back with its data."""

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

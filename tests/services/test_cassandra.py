"""A Cassandra of the tests answers a real driver, is crashed and frozen, and comes back with its rows."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cassandra import ConsistencyLevel, OperationTimedOut, Unauthorized
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import RoundRobinPolicy

from tests.services import Cassandra
from tests.services.cassandra import USER

KEYSPACE = "CREATE KEYSPACE kept WITH replication = {'class': 'SimpleStrategy', 'replication_factor': %d}"
TABLE = "CREATE TABLE kept.t (k int PRIMARY KEY, v int)"


@contextmanager
def session(server: Cassandra, user: str | None = None, password: str | None = None) -> Iterator[Session]:
    """A session that asks for quorums."""
    profile = ExecutionProfile(RoundRobinPolicy(), consistency_level=ConsistencyLevel.QUORUM, request_timeout=30)
    cluster = Cluster(
        server.addresses,
        port=server.port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=PlainTextAuthProvider(user, password or user) if user else None,
        ssl_context=ssl.create_default_context(cafile=server.ca) if server.encrypted else None,
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


def test_rows_survive_a_crash_and_a_freeze() -> None:
    with Cassandra() as server:
        with session(server) as client:
            client.execute(KEYSPACE % 1)
            client.execute(TABLE)
            for n in range(100):
                client.execute("INSERT INTO kept.t (k, v) VALUES (%s, %s)", (n, n))
        server.kill()
        server.start()
        with session(server) as client:
            assert client.execute("SELECT count(*) FROM kept.t").one() == (100,)
            server.freeze()
            try:
                with pytest.raises(OperationTimedOut):
                    client.execute("SELECT count(*) FROM kept.t", timeout=2)
            finally:
                server.thaw()
            assert client.execute("SELECT count(*) FROM kept.t").one() == (100,)


def test_three_nodes_go_on_without_one() -> None:
    with Cassandra(nodes=3) as server:
        with session(server) as client:
            client.execute(KEYSPACE % 3)
            client.execute(TABLE)
            assert len(client.cluster.metadata.all_hosts()) == 3
            server.nodes[2].kill()
            client.execute("INSERT INTO kept.t (k, v) VALUES (1, 1)")
        server.start()
        with session(server) as client:
            assert client.execute("SELECT v FROM kept.t WHERE k = 1").one() == (1,)


def test_passwords_tls_and_grants() -> None:
    with Cassandra(auth=True, encrypted=True) as server:
        with session(server, USER) as client:
            client.execute(KEYSPACE % 1)
            client.execute(TABLE)
            client.execute("CREATE ROLE reader WITH LOGIN = true AND PASSWORD = 'reader'")
            client.execute("GRANT SELECT ON kept.t TO reader")
        with session(server, "reader") as client:
            assert client.execute("SELECT * FROM kept.t").all() == []
            with pytest.raises(Unauthorized):
                client.execute("INSERT INTO kept.t (k, v) VALUES (1, 1)")
        for user in (None, "nobody"):
            with pytest.raises(NoHostAvailable), session(server, user):
                pass

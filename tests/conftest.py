"""Real servers for every test that asks for one: started with the first such test, gone after the last.

Side by side (``-n 4 --dist loadgroup``) the tests of a server run in one worker, so that each server is started once.
"""

from collections.abc import Iterator

import pytest

from tests.services import Cassandra, Kafka, Postgres

SERVERS = ("cassandra", "kafka", "postgres")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests of a server; one that wants several goes with the slowest to start, the first named."""
    for item in items:
        wanted = [server for server in SERVERS if server in getattr(item, "fixturenames", ())]
        if wanted:
            item.add_marker(pytest.mark.xdist_group(wanted[0]))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this session; make tables in a schema of the test's own."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One broker of this session; make topics with names of the test's own."""
    with Kafka() as server:
        yield server


@pytest.fixture(scope="session")
def cassandra() -> Iterator[Cassandra]:
    """One node of this session; make keyspaces with names of the test's own."""
    with Cassandra() as server:
        yield server

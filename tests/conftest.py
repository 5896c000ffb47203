"""Real servers for every test that asks for one: started with the first such test, gone after the last.

Side by side (``-n 4``) each worker starts those that its own tests want.
"""

from collections.abc import Iterator

import pytest

from tests.services import S3, Cassandra, Kafka, Postgres


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


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """One server of this session; use prefixes of the test's own in its bucket."""
    with S3() as server:
        yield server

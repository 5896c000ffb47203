"""Real servers for every test that asks for one: started with the first such test, gone after the last."""

from collections.abc import Iterator

import pytest

from tests.services import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this session; make tables in a schema of the test's own."""
    with Postgres() as server:
        yield server

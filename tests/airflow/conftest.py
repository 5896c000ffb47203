"""An Airflow of its own for these tests, real servers, the DAGs as Airflow reads them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.airflow.place import AIRFLOW_2, DAGS, connection, lay, read
from tests.services.keep import started

#: The way in which `standalone` is driven here is that of Airflow 3.
collect_ignore = ["test_scheduler.py"] if AIRFLOW_2 else []


def pytest_sessionstart() -> None:
    lay()
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Any]]:
    """Kafka, Cassandra and PostgreSQL, and the connections of those names that the DAGs ask for."""
    with started(["kafka", "cassandra", "postgres"]) as found:
        held: dict[str, Any] = {server.kind: server for server in found}
        login = {"login": "wattline", "password": "wattline", "schema": "wattline"}
        connection("kafka_default", "kafka", extra={"bootstrap.servers": held["kafka"].bootstrap})
        connection("postgres_default", "postgres", host="127.0.0.1", port=held["postgres"].port, **login)
        cassandra = held["cassandra"]
        connection(
            "cassandra_default", "cassandra", host=cassandra.addresses[0], port=cassandra.port, schema="electrical"
        )
        yield held


@pytest.fixture(scope="session", autouse=True)
def scheduler(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The real scheduler, for the tests that ask for it; it starts while the others run."""
    if not any("scheduler" in item.path.name for item in request.session.items):
        yield None
        return
    from tests.airflow.scheduler import Scheduler

    request.getfixturevalue("servers")
    with Scheduler() as made:
        yield made


@pytest.fixture(scope="session")
def bag() -> Any:
    """The DAGs, as Airflow reads them."""
    return read(DAGS)

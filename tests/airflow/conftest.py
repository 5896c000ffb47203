"""An Airflow of its own for these tests. The environment is set here, before airflow is imported for the first time."""

import atexit
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.keep import started

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(tempfile.mkdtemp(prefix="wattline-airflow-"))
PACKAGE = Path(importlib.util.find_spec("wattline").origin).parent  # type: ignore[union-attr, arg-type]
DAGS = PACKAGE / "airflow" / "example_dags"

atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
)


def connection(name: str, kind: str, **fields: Any) -> None:
    """A connection as people keep it, for tasks of this process and of those it starts."""
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({"conn_type": kind, **fields})


def pytest_sessionstart() -> None:
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
        connection("cassandra_default", "cassandra", host=cassandra.addresses[0], port=cassandra.port, schema="lands")
        yield held


@pytest.fixture(scope="session")
def bag() -> Any:
    """The example DAGs, as Airflow reads them."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.x
    except ImportError:
        from airflow.models.dagbag import DagBag  # 2.x
    found = DagBag(str(DAGS))
    assert not found.import_errors
    return found

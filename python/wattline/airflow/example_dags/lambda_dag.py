"""A batch view and a speed view of the same readings, and a task that fails if they differ in one bit.

``lambda_speed`` runs every minute: what is new in the file goes to the topic ``electrical_read``, and from there raw
readings (for five minutes) and windows into Cassandra; each run goes on where the last one ended. ``lambda_batch`` runs
at night: the history in the file into Parquet, then both views are compared.

Connections: ``fs_default`` (the folder of the file and of the Parquet files), ``kafka_default``,
``cassandra_default`` (its schema is the keyspace). The comparison uses pyarrow and cassandra-driver.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from wattline import Sink
from wattline.airflow import LagSensor, PipelineOperator, ProduceOperator, WattlineHook

FILE = "conn://fs_default/{{ params.file }}"
LAKE = "conn://fs_default/lambda"
TOPIC = "conn://kafka_default/electrical_read"
VIEW: dict[str, Any] = {
    "schema": "household",
    "grains": ["15min", "1h"],
    "aggregates": ["mean", "min", "max", "energy"],
}
COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "params": {"file": "household_power_consumption.txt"},
    "default_args": {"retries": 3, "retry_delay": timedelta(seconds=10)},
    "tags": ["wattline"],
}

with DAG("lambda_speed", schedule="* * * * *", **COMMON) as speed_dag:
    load = ProduceOperator(task_id="load", source=FILE, endpoint=TOPIC, schema="household", create=True, may_grow=True)
    speed = PipelineOperator(
        task_id="speed",
        name="lambda_speed",
        source=TOPIC,
        sinks=[
            Sink("conn://cassandra_default", table="aggregated_sensor_data"),
            Sink("conn://cassandra_default", "readings", table="sensor_data", ttl="5min"),
        ],
        until="now",
        **VIEW,
    )
    load >> speed


def final(rows: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Final windows by their key; measures by their bits."""
    found = {}
    for row in rows:
        if row["final"]:
            key = (row["sensor_id"], row["grain"], row["window_start"].replace(tzinfo=None))
            measures = sorted(name for name in row if name.startswith(("global_", "voltage", "sub_metering")))
            found[key] = tuple(None if row[name] is None else float(row[name]).hex() for name in measures)
    return found


def of_parquet() -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The batch view."""
    from pyarrow import dataset

    folder = str(WattlineHook().endpoint(LAKE))
    return final(dataset.dataset(folder, partitioning="hive").to_table().to_pylist())


def of_cassandra() -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The speed view."""
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import Cluster
    from cassandra.query import dict_factory

    kept = BaseHook.get_connection("cassandra_default")
    login = PlainTextAuthProvider(kept.login, kept.password) if kept.login else None
    with Cluster(kept.host.split(","), port=kept.port or 9042, auth_provider=login) as cluster:
        session = cluster.connect(kept.schema)
        session.row_factory = dict_factory
        return final(session.execute("SELECT * FROM aggregated_sensor_data"))


with DAG("lambda_batch", schedule="@daily", **COMMON) as batch_dag:
    batch = PipelineOperator(task_id="batch", name="lambda_batch", source=FILE, sinks=LAKE, **VIEW)
    caught_up = LagSensor(
        task_id="caught_up",
        name="lambda_speed",
        home="conn://cassandra_default",
        source=TOPIC,
        below=1,
        poke_interval=10,
        timeout=600,
    )

    @task
    def reconcile() -> dict[str, int]:
        """Compares the windows that are final in both views."""
        ours, theirs = of_parquet(), of_cassandra()
        both = ours.keys() & theirs.keys()
        wrong = sorted(key for key in both if ours[key] != theirs[key])
        if wrong or not both:
            raise ValueError(f"{len(wrong)} of {len(both)} windows differ, the first is {wrong[:1]}")
        return {"equal": len(both), "batch_only": len(ours.keys() - both), "speed_only": len(theirs.keys() - both)}

    [batch, caught_up] >> reconcile()

if __name__ == "__main__":
    speed_dag.test()
    batch_dag.test()

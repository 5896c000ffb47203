"""A household's meter file into the topic ``power-data``, from there readings and calendar windows into Cassandra.

Connections: ``fs_default`` (the folder of the file), ``kafka_default``, ``cassandra_default`` (its schema is the
keyspace). Run it again with the same file, or with one that has grown: each reading is counted once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from wattline import Sink
from wattline.airflow import CheckOperator, PipelineOperator, ProduceOperator

TOPIC = "conn://kafka_default/power-data"
PIPELINE: dict[str, Any] = {
    "name": "household_power",
    "source": TOPIC,
    "schema": "household",
    "grains": ["1h", "1d", "1mo"],
    "sinks": [Sink("conn://cassandra_default"), Sink("conn://cassandra_default", "readings")],
}

with DAG(
    "household_power",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"file": "household_power_consumption.txt"},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10), "execution_timeout": timedelta(hours=2)},
    tags=["wattline"],
) as dag:
    # In transactions of a second; what a killed try sent is not sent again.
    load = ProduceOperator(
        task_id="load",
        source="conn://fs_default/{{ params.file }}",
        endpoint=TOPIC,
        schema="household",
        create={"partitions": 3},
    )
    check = CheckOperator(task_id="check", **PIPELINE)
    # Ends at what the topic holds now; the next run goes on there.
    land = PipelineOperator(task_id="land", until="now", **PIPELINE)

    load >> check >> land

if __name__ == "__main__":
    dag.test()

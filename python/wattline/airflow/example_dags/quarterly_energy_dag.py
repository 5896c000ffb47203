"""A meter's text file into the topic ``raw_energy``, and the energy of each quarter into PostgreSQL.

Connections: ``fs_default`` (the folder of the file), ``kafka_default``, ``postgres_default``. The table is made where
it is not there. The second DAG starts whenever the first has changed it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from wattline import Sink
from wattline.airflow import PipelineOperator, ProduceOperator, asset

TOPIC = "conn://kafka_default/raw_energy"
QUARTERS = Sink("conn://postgres_default", table="quarterly_energy_data")
START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG(
    "quarterly_energy",
    schedule=None,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    params={"file": "household_power_consumption.txt"},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["wattline"],
) as dag:
    load = ProduceOperator(
        task_id="load",
        source="conn://fs_default/{{ params.file }}",
        endpoint=TOPIC,
        schema="household",
        create=True,
    )
    land = PipelineOperator(
        task_id="land",
        name="quarterly_energy",
        source=TOPIC,
        schema="household",
        grains="1q",
        aggregates={"global_active_power": ["energy", "mean", "max"]},
        sinks=QUARTERS,
        until="now",
    )

    load >> land

with DAG("quarterly_energy_changed", schedule=[asset(QUARTERS)], start_date=START, catchup=False) as changed:

    @task
    def told(triggering_asset_events: Any = None, triggering_dataset_events: Any = None) -> int:
        """The rows that were written or corrected: they are in the extra of the asset's event."""
        events = triggering_asset_events or triggering_dataset_events or {}
        return sum(event.extra["rows"] for each in events.values() for event in each)

    told()

if __name__ == "__main__":
    dag.test()

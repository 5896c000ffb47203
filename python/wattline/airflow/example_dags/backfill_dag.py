"""Many files of history: sent by tasks side by side, then one run of one pipeline over the topic.

Sending is mapped over the files; windows never are: a window may need readings of two files, and belongs to one
pipeline. Files sent side by side come out of order in time, so windows are corrected (``on_late="correct"``) within the
span of the whole history.

Connections: ``fs_default`` (the folder above ``backfill/*.txt``), ``kafka_default``, ``postgres_default``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from glob import glob

from airflow.providers.common.compat.sdk import DAG, task

from wattline import Sink
from wattline.airflow import PipelineOperator, ProduceOperator, WattlineHook, asset

TOPIC = "conn://kafka_default/backfill"

with DAG(
    "backfill",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    tags=["wattline"],
) as dag:

    @task
    def files() -> list[str]:
        """The files, oldest first by name."""
        found = sorted(glob(str(WattlineHook().endpoint("conn://fs_default/backfill/*.txt"))))
        if not found:
            raise FileNotFoundError("no backfill/*.txt in the folder of the connection fs_default")
        return found

    load = ProduceOperator.partial(
        task_id="load",
        endpoint=TOPIC,
        schema="household",
        create=True,
        outlets=[asset(TOPIC)],
        max_active_tis_per_dagrun=4,
    ).expand(source=files())

    land = PipelineOperator(
        task_id="land",
        name="backfill",
        source=TOPIC,
        schema="household",
        grains=["1h", "1d", "1mo"],
        on_late="correct",
        correct_for="3660d",
        sinks=Sink("conn://postgres_default", table="backfill_windows"),
        until="now",
    )

    load >> land

if __name__ == "__main__":
    dag.test()

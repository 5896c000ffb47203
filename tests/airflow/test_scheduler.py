"""The quarterly DAG through the real scheduler: tasks end mid-file, their retries finish, each row counts once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

import wattline as wl
from tests.airflow.place import DATA
from tests.airflow.scheduler import Scheduler, until
from wattline.source import write_uci

ROWS = 1_500_000
TOPIC = "raw_energy"
COLUMNS = ["window_label", "readings", "global_active_power_energy_wh"]
CHANGED = "/dags/quarterly_energy_changed/dagRuns"


def written(bootstrap: str) -> int:
    """The next offset of the topic, open transactions included."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "isolation.level": "read_uncommitted"})
    try:
        return int(reader.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=5)[1])
    except Exception:
        return 0
    finally:
        reader.close()


def head(url: str) -> int:
    """Flushes that were decided."""
    try:
        with psycopg.connect(url) as link:
            return int(link.execute("select n from wattline_head").fetchone()[0])  # type: ignore[index]
    except psycopg.errors.UndefinedTable:
        return 0


@contextmanager
def undecided(url: str) -> Iterator[None]:
    """Holds the run at its first flush: all of the topic takes it less than a second."""
    waits = "select from pg_locks where not granted and relation = 'wattline_flush'::regclass"
    with psycopg.connect(url) as link:

        def held() -> bool:
            try:
                link.execute("lock table wattline_flush in share mode")
            except psycopg.errors.UndefinedTable:
                link.rollback()
                return False
            return True

        until(held, 120, "the home to be made")
        until(lambda: link.execute(waits).fetchone() is not None, 60, "the first flush")
        yield


def quarters(url: str) -> set[tuple[Any, ...]]:
    with psycopg.connect(url) as link:
        return set(link.execute(f"select {', '.join(COLUMNS)} from quarterly_energy_data").fetchall())


def emptied(servers: dict[str, Any]) -> None:
    """Takes away what the same DAG has left."""
    admin = AdminClient({"bootstrap.servers": servers["kafka"].bootstrap})
    if TOPIC in admin.list_topics(timeout=10).topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
    with psycopg.connect(servers["postgres"].url) as link:
        link.execute("drop schema public cascade; create schema public")


def test_tasks_that_are_ended_mid_file(servers: dict[str, Any], scheduler: Scheduler) -> None:
    kafka, url = servers["kafka"], servers["postgres"].url
    emptied(servers)
    file = DATA / "long.txt"
    write_uci(file, rows=ROWS, seed=11)
    readings = len(wl.read_csv(file, schema="household"))
    scheduler.wait_for("quarterly_energy")
    scheduler.wait_for("quarterly_energy_changed")
    run = scheduler.trigger("quarterly_energy", file=file.name)

    # A worker that dies: SIGKILL to the task's process while it sends.
    scheduler.state(run, "load", "running")
    until(lambda: written(kafka.bootstrap), 60, "the first messages")
    kafka.freeze()
    try:
        os.kill(scheduler.task(run, "load")["pid"], signal.SIGKILL)
    finally:
        kafka.thaw()
    assert scheduler.state(run, "load", "up_for_retry", "failed")["state"] == "up_for_retry"
    assert 0 < written(kafka.bootstrap) < readings
    assert scheduler.state(run, "load", "success", "failed")["state"] == "success"

    # A person who marks it failed: SIGTERM, and SIGKILL 5 s later for those that have not ended.
    with undecided(url):
        kafka.freeze()
    try:
        until(lambda: head(url), 60, "the first flush to be decided")
        scheduler.api("PATCH", f"{run}/taskInstances/land", {"new_state": "failed"})
        until(lambda: "Interrupted" in scheduler.said(run, "land"), 60, "the run to end at a decided flush")
    finally:
        kafka.thaw()
    first = head(url)
    # A run that is cleared while the scheduler is about to call it failed stays failed, and its task is never begun.
    until(lambda: scheduler.api("GET", run)["state"] == "failed", 60, "the run to be failed")
    dag = run.partition("/dagRuns")[0]
    told = {"dry_run": False, "task_ids": ["land"], "dag_run_id": run.rpartition("/")[2], "only_failed": False}
    scheduler.api("POST", f"{dag}/clearTaskInstances", told)
    assert scheduler.state(run, "land", "success")["try_number"] == 2

    assert head(url) > first
    due = wl.windows(file, "1q", schema="household")["1q"]
    assert quarters(url) == set(due.select(*COLUMNS).rows())
    assert len(wl.read_kafka(f"kafka://{kafka.bootstrap}/{TOPIC}", schema="household")) == readings
    changed = until(lambda: scheduler.api("GET", CHANGED)["dag_runs"], 60, "the DAG that the asset starts")[0]
    scheduler.state(f"{CHANGED}/{changed['dag_run_id']}", "told", "success")

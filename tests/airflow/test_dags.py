"""Every DAG by ``dag.test()`` against real servers, judged by what is in the stores."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cassandra.cluster import Cluster, Session

import wattline as wl
from tests.airflow.place import DAGS, DATA, ROOT, read, shown
from wattline.source import write_uci

SHARED = Path(os.environ.get("WATTLINE_SHARED", ROOT.parent / "shared"))
MEASURES = ["global_active_power", "voltage", "global_intensity"]


def rows(table: Any, *columns: str) -> set[tuple[Any, ...]]:
    """Rows for comparison: times without zone, as drivers differ in that."""
    return {tuple(plain(value) for value in row) for row in table.select(*columns).rows()}


def plain(value: Any) -> Any:
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value


def run(bag: Any, dag: str, **conf: str) -> dict[str, Any]:
    """Runs a DAG in this process; gives what its tasks returned."""
    for task in bag.dags[dag].tasks:
        task.retries = 0  # their delay would be waited for
    made = bag.dags[dag].test(run_conf=conf)
    found = {ti.task_id: ti for ti in made.get_task_instances()}
    assert made.state == "success", {name: ti.state for name, ti in found.items()}
    return {name: ti.xcom_pull(name) for name, ti in found.items()}


@pytest.fixture
def cql(servers: dict[str, Any]) -> Iterator[Session]:
    node = servers["cassandra"]
    with Cluster([node.addresses[0]], port=node.port) as cluster, cluster.connect() as session:
        yield session


def sql(servers: dict[str, Any], text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(servers["postgres"].url) as link:
        link.execute("set time zone 'UTC'")
        return link.execute(text).fetchall()


def test_household_power(servers: dict[str, Any], bag: Any, cql: Session) -> None:
    file = DATA / "house.txt"
    write_uci(file, rows=20_000, seed=5)
    done = run(bag, "household_power", file=file.name)
    assert done["load"]["ledger"]["readings"] == done["land"]["ledger"]["readings"]
    assert done["check"]["ok"]
    due = wl.windows(file, ["1h", "1d", "1mo"], schema="household")
    columns = ["grain", "window_start", "readings", *(f"{name}_mean" for name in MEASURES)]
    held = cql.execute(f"SELECT {', '.join(columns)} FROM electrical.windows")
    assert {tuple(map(plain, row)) for row in held} == set().union(*(rows(t, *columns) for t in due.values()))
    readings = wl.read_csv(file, schema="household")
    held = cql.execute(f"SELECT time, {', '.join(MEASURES)} FROM electrical.readings")
    assert {tuple(map(plain, row)) for row in held} == rows(readings, "time", *MEASURES)
    again = run(bag, "household_power", file=file.name)
    assert again["load"]["ledger"]["readings"] == again["land"]["ledger"]["readings"] == 0
    write_uci(file, rows=21_000, seed=5)
    grown = run(bag, "household_power", file=file.name)
    assert (
        grown["load"]["ledger"]["readings"]
        == grown["land"]["ledger"]["readings"]
        == len(wl.read_csv(file, schema="household")) - len(readings)
    )


def test_quarterly_energy(servers: dict[str, Any], bag: Any) -> None:
    packed = SHARED / "data/household_power_consumption_2006-12_2007-06.txt.gz"
    file = DATA / "half_a_year.txt"
    file.write_bytes(gzip.decompress(packed.read_bytes()))
    done = run(bag, "quarterly_energy", file=file.name)
    assert done["land"]["ledger"]["readings"] == 282_636
    due = wl.windows(file, "1q", schema="household")["1q"]
    columns = ["window_label", "readings", "global_active_power_energy_wh"]
    assert set(sql(servers, f"select {', '.join(columns)} from quarterly_energy_data")) == rows(due, *columns)
    assert events("conn://postgres_default/quarterly_energy_data") == [
        {"pipeline": "quarterly_energy", "readings": 282_636, "rows": 3}
    ]
    assert events("conn://kafka_default/raw_energy")[0]["rows"] == 282_636


def events(uri: str) -> list[dict[str, Any]]:
    """The extra of an asset's events, oldest first."""
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent, AssetModel  # 3.x

        match = (AssetEvent.asset_id == AssetModel.id, AssetModel.uri == uri)
    except ImportError:
        from airflow.models.dataset import DatasetEvent as AssetEvent
        from airflow.models.dataset import DatasetModel as AssetModel

        match = (AssetEvent.dataset_id == AssetModel.id, AssetModel.uri == uri)
    with create_session() as session:
        held = session.query(AssetEvent.extra).filter(*match).order_by(AssetEvent.id).all()
    return [{key: extra[key] for key in ("pipeline", "readings", "rows")} for (extra,) in held]


def test_lambda_agrees_to_the_bit(servers: dict[str, Any], bag: Any, cql: Session) -> None:
    file = DATA / "lambda.txt"
    total = 0
    for count in (6_000, 9_000, 9_000):
        write_uci(file, rows=count, seed=7)
        total += run(bag, "lambda_speed", file=file.name)["speed"]["ledger"]["readings"]
    assert total == len(wl.read_csv(file, schema="household"))
    done = run(bag, "lambda_batch", file=file.name)
    assert done["reconcile"]["equal"] > 700
    assert cql.execute("SELECT ttl(voltage) FROM electrical.sensor_data LIMIT 1").one()[0] <= 300
    changed = cql.execute("SELECT * FROM electrical.aggregated_sensor_data LIMIT 1").one()
    key = {name: getattr(changed, name) for name in ("sensor_id", "grain", "bucket", "window_start")}
    where = " AND ".join(f"{name} = %({name})s" for name in key)
    once = changed.voltage_mean * (1 + 2**-52)
    text = f"UPDATE electrical.aggregated_sensor_data USING TIMESTAMP %(at)s SET voltage_mean = %(once)s WHERE {where}"
    cql.execute(text, {**key, "once": once, "at": 4 * 10**15})
    with pytest.raises(AssertionError, match=r"reconcile.*(failed|up_for_retry)"):
        run(bag, "lambda_batch", file=file.name)


def test_backfill(servers: dict[str, Any], bag: Any) -> None:
    folder = DATA / "backfill"
    folder.mkdir()
    whole = DATA / "whole.txt"
    write_uci(whole, rows=30_000, seed=9)
    head, *lines = whole.read_text().splitlines(keepends=True)
    for number in range(3):
        (folder / f"{number}.txt").write_text(head + "".join(lines[number * 10_000 : (number + 1) * 10_000]))
    done = run(bag, "backfill")
    assert done["land"]["ledger"]["readings"] == len(wl.read_csv(whole, schema="household"))
    due = wl.windows(whole, ["1h", "1d", "1mo"], schema="household")
    columns = ["grain", "window_start", "readings", "voltage_mean", "global_active_power_energy_wh"]
    held = {tuple(map(plain, row)) for row in sql(servers, f"select {', '.join(columns)} from backfill_windows")}
    assert held == set().union(*(rows(t, *columns) for t in due.values()))


def test_the_dags_of_the_guide(
    servers: dict[str, Any], bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DATA / "household.txt"
    write_uci(file, rows=40_000, seed=3)
    done = run(bag, "house_windows")
    due = wl.windows(file, ["1h", "1d", "1mo"], schema="household")
    assert sql(servers, "select count(*) from house_windows") == [(sum(map(len, due.values())),)]
    assert done["check"]["ok"]
    assert run(bag, "monthly")["bill"] == "everything before 2007-01 is final"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "household.txt").symlink_to(file)
    (tmp_path / "house.toml").write_text(shown("toml")["house.toml"])
    assert run(bag, "house")["windows"]["ledger"]["accepted"] == 40_000


def test_the_dags_of_the_recipes(servers: dict[str, Any], cql: Session) -> None:
    """All can be read (`bag`); that of the lambda recipe is run, under names that the example does not use."""
    folder = DAGS / "recipes" / "lambda"
    node, bootstrap = servers["cassandra"], servers["kafka"].bootstrap
    real = {"localhost:9092": bootstrap, "localhost:9042": f"{node.addresses[0]}:{node.port}", "electrical": "recipe"}
    for path in filter(Path.is_file, folder.iterdir()):
        text = path.read_text()
        for name, found in real.items():
            text = text.replace(name, found)
        path.write_text(text)
    for statement in filter(str.strip, (folder / "tables.cql").read_text().split(";")):
        cql.execute(statement, timeout=60)
    history = wl.simulate(sensors=2, start="2026-03-01", end="2026-03-01T00:20:00Z", step="1s")
    wl.produce(history, f"kafka://{bootstrap}/recipe_read", name="history", create=True)
    bag = read(folder)
    assert run(bag, "lambda_recipe_speed")["speed"]["ledger"]["readings"] == 2400
    assert "0 differ" in run(bag, "lambda_recipe_batch")["reconcile"]


def test_nothing_in_the_database_or_in_a_dag_holds_a_secret(servers: dict[str, Any], bag: Any) -> None:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialized  # 3.3
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialized
    for dag in bag.dags.values():
        assert '"password"' not in json.dumps(Serialized.to_dict(dag))

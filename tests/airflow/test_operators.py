"""Operators, hook, assets and sensors without a server: arguments, connections, errors, what is stored where."""

import asyncio
import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
    timeout,
)

import wattline as wl
from tests.airflow.place import connection
from wattline.airflow import (
    CheckOperator,
    LagSensor,
    PipelineOperator,
    ProduceOperator,
    WattlineHook,
    WindowSensor,
    asset,
    get_provider_info,
)
from wattline.airflow.operators import _OfPipeline
from wattline.airflow.triggers import StateTrigger, secret
from wattline.options import PipelineOptions

SECRET = "pass-phrase-of-the-test"


def arguments(face: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(face)
    return {name: p for name, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}


def own(kind: type) -> dict[str, inspect.Parameter]:
    """What a class adds to an operator's arguments, behind Airflow's wrapper."""
    return arguments(inspect.unwrap(vars(kind)["__init__"]))


@pytest.fixture
def readings(tmp_path: Path) -> str:
    path = tmp_path / "readings.csv"
    wl.simulate(sensors=1, start="2026-01-01", end="2026-01-03").write(path)
    return str(path)


def run(readings: str, sinks: Any, **told: Any) -> PipelineOperator:
    told = {"name": "flat", "grains": "1h", "tz": "UTC", **told}
    return PipelineOperator(task_id="land", source=readings, sinks=sinks, **told)


def test_the_operator_takes_what_a_pipeline_takes() -> None:
    assert set(own(_OfPipeline)) == {"name", "source", "toml", *get_type_hints(PipelineOptions)}
    assert set(own(PipelineOperator)) == set(arguments(wl.Pipeline.run)) - {"progress"}


def test_the_operator_takes_what_produce_takes_with_the_same_defaults() -> None:
    ours, theirs = own(ProduceOperator), inspect.signature(wl.produce).parameters
    assert set(ours) == set(theirs) - {"progress"}
    assert {n: ours[n].default for n in ours} == {n: theirs[n].default for n in ours}


def test_what_an_operator_is_told_reaches_the_pipeline(readings: str) -> None:
    given = {"lateness": "30s", "on_late": "correct", "correct_for": "1d", "flush_rows": 9, "measures": ["voltage"]}
    made = run(readings, "out.db", **given).pipeline(WattlineHook())
    assert made == wl.Pipeline("flat", source=readings, sinks="out.db", grains="1h", tz="UTC", **given)


def test_the_provider_says_what_it_has_and_imports_nothing() -> None:
    code = (
        "import sys; from wattline.airflow import get_provider_info; get_provider_info(); "
        "print([m for m in sys.modules if m.startswith(('airflow', 'wattline._native', 'pyarrow'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    told = get_provider_info()
    modules = [m for kind in ("operators", "sensors", "hooks", "triggers") for m in told[kind][0]["python-modules"]]
    for name in modules:
        assert __import__(name, fromlist=["x"]).__all__


def test_airflow_finds_the_provider() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "wattline" in manager.providers
    assert manager.hooks["wattline"].hook_class_name == "wattline.airflow.hook.WattlineHook"


CONNECTIONS = [
    (
        ("kafka", {"extra": {"bootstrap.servers": "k1:9092,k2:9092", "group.id": "g", "socket.timeout.ms": 900}}),
        "conn://it/power-data?timeout=5s",
        wl.Kafka("k1:9092,k2:9092", "power-data", config={"socket.timeout.ms": 900, "timeout": "5s"}),
    ),
    (
        (
            "postgres",
            {
                "host": "db",
                "login": "me",
                "password": SECRET,
                "schema": "energy",
                "extra": {"sslmode": "require", "cursor": "dictcursor"},
            },
        ),
        "conn://it/meters?retry_for=5",
        wl.Postgres("db", dbname="energy", user="me", password=SECRET, sslmode="require", schema="meters", retry_for=5),
    ),
    (
        (
            "cassandra",
            {
                "host": "c1, c2",
                "port": 9043,
                "login": "me",
                "password": SECRET,
                "schema": "electrical",
                "extra": {
                    "load_balancing_policy": "DCAwareRoundRobinPolicy",
                    "load_balancing_policy_args": {"local_dc": "east"},
                    "ssl_options": {"ca_certs": "/etc/ca.pem"},
                },
            },
        ),
        "conn://it?consistency=QUORUM",
        wl.Cassandra(
            ["c1", "c2"],
            keyspace="electrical",
            port=9043,
            user="me",
            password=SECRET,
            consistency="QUORUM",
            datacenter="east",
            tls=True,
            tls_ca="/etc/ca.pem",
        ),
    ),
    (("fs", {"extra": {"path": "/data"}}), "conn://it/2007/a.csv", "/data/2007/a.csv"),
    (
        ("aws", {"login": "id", "password": SECRET, "extra": {"region_name": "eu", "endpoint_url": "https://s3.it"}}),
        "conn://it/lake/a?partition_by=date&lease=5",
        wl.Parquet(
            "s3://lake/a",
            region="eu",
            endpoint="https://s3.it",
            access_key_id="id",
            secret_access_key=SECRET,
            partition_by="date",
            lease=5,
        ),
    ),
    (("aws", {}), "conn://it/lake/a", wl.Parquet("s3://lake/a")),
    (
        ("wattline", {"host": "postgresql://db/energy", "login": "me", "password": "a/b", "extra": {"schema": "s"}}),
        "conn://it",
        "postgresql://me:a%2Fb@db/energy?schema=s",
    ),
    (("wattline", {"host": "/data/out"}), "conn://it", "/data/out"),
]


@pytest.mark.parametrize(("kept", "url", "due"), CONNECTIONS, ids=[str(kept[0]) for kept, _, _ in CONNECTIONS])
def test_a_connection_becomes_an_endpoint(kept: Any, url: str, due: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, fields = kept
    monkeypatch.setenv("AIRFLOW_CONN_IT", json.dumps({"conn_type": kind, **fields}))
    found = WattlineHook().endpoint(url)
    assert found == due
    assert SECRET not in repr(found)
    ok, said = WattlineHook("it").test_connection()
    assert SECRET not in said
    assert ok or kind in ("kafka", "aws")  # these need a topic, a bucket


WRONG = [
    ("kafka", {"extra": {"socket.timeout.ms": 1}}, "conn://it/t", "bootstrap.servers"),
    ("kafka", {"extra": {"bootstrap.servers": "a:1"}}, "conn://it", "conn://ID/topic"),
    ("kafka", {"extra": {"bootstrap.servers": "a:1", "oauth_cb": "a.b"}}, "conn://it/t", "oauth_cb"),
    ("postgres", {"host": "h", "extra": {"sslcert": "x"}}, "conn://it", "sslcert"),
    ("cassandra", {"host": "h"}, "conn://it", "keyspace"),
    ("cassandra", {"host": "h", "schema": "k"}, "conn://it?nodes=3", "nodes"),
    ("cassandra", {"host": "h", "schema": "k"}, "conn://it?consistancy=ONE", "did you mean 'consistency'"),
    ("cassandra", {"host": "h", "schema": "k", "extra": {"ssl_options": True}}, "conn://it", "write a JSON object"),
    ("postgres", {"host": "h", "extra": {"connect_timeout": "ten"}}, "conn://it", "write seconds"),
    ("postgres", {"host": "h", "extra": {"sslmode": "requir"}}, "conn://it", 'did you mean "require"'),
    ("aws", {}, "conn://it", "bucket"),
    ("aws", {"extra": {"role_arn": "arn:aws:iam::1:role/x"}}, "conn://it/b/k", "role_arn"),
    ("aws", {"login": "id"}, "conn://it/b/k", "go together"),
    ("aws", {}, "conn://it/b/k?regio=eu", "did you mean 'region'"),
    ("http", {"host": "h"}, "conn://it", "'http'"),
    ("wattline", {}, "conn://it", "host"),
]


@pytest.mark.parametrize(("kind", "fields", "url", "word"), WRONG, ids=[f"{k}-{w}" for k, _, _, w in WRONG])
def test_an_unfit_connection_is_named(
    kind: str, fields: Any, url: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_IT", json.dumps({"conn_type": kind, **fields}))
    with pytest.raises(wl.UsageError, match=f"connection 'it': .*{word}"):
        WattlineHook().endpoint(url)


def test_a_mistake_in_an_operator_is_told_in_one_sentence(readings: str, tmp_path: Path) -> None:
    with pytest.raises(wl.UsageError, match="'conn://' names no connection"):
        WattlineHook().endpoint("conn://")
    task = PipelineOperator(task_id="t", name="x", source=readings, sinks=str(tmp_path / "a.db"), until="yesterday")
    with pytest.raises((wl.UsageError, AirflowException), match="until='yesterday' is no time"):
        task.execute({})
    task = PipelineOperator(task_id="t", toml=str(tmp_path / "none.toml"))
    with pytest.raises((wl.UsageError, AirflowException), match=r"none.toml cannot be read .*check toml="):
        task.execute({})


def test_a_server_that_does_not_answer_is_named_by_its_connection(readings: str) -> None:
    connection("down", "postgres", host="127.0.0.1", port=1, login="me", password=SECRET, schema="d")
    connection("unused", "postgres", host="elsewhere", schema="d")
    sinks = [wl.Sink("conn://down?retry_for=0.1"), "conn://unused"]
    with pytest.raises(wl.EndpointError, match=r"connection 'down': .*refused") as caught:
        run(readings, sinks).execute({})
    assert SECRET not in str(caught.value)
    with pytest.raises(AirflowException, match=r"sink 1: connection 'down': .*refused"):
        CheckOperator(task_id="check", name="a", source=readings, sinks=sinks, grains="1h").execute({})


def test_what_no_retry_mends_fails_the_task_at_once(readings: str, tmp_path: Path) -> None:
    home = str(tmp_path / "out.db")
    run(readings, home).execute({})
    with pytest.raises(AirflowFailException, match=r"SpecChanged: .*grains"):
        run(readings, home, grains="1d").execute({})
    with pytest.raises(wl.NotFound):
        run(str(tmp_path / "not there.csv"), home).execute({})
    with pytest.raises(AirflowFailException, match="no source; give source="):
        PipelineOperator(task_id="a", name="x", sinks=home).execute({})


def test_a_summary_is_small_json_and_the_log_is_lines(readings: str, tmp_path: Path, caplog: Any) -> None:
    operator = run(readings, str(tmp_path / "out.db"))
    with caplog.at_level("INFO"):
        told = operator.execute({})
    assert len(json.dumps(told)) < 4000
    assert told["ledger"]["readings"] == 2880
    assert told["sinks"][0]["rows"] == 48
    again = operator.execute({})
    assert again["ledger"]["readings"] == 0


def test_a_definition_in_toml_names_connections(readings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection("folder", "fs", extra={"path": str(tmp_path)})
    monkeypatch.setenv("GRAIN", "1h")
    toml = tmp_path / "flat.toml"
    toml.write_text(
        'name = "flat"\nsource = "conn://folder/readings.csv"\ngrains = ["${GRAIN}"]\ntz = "UTC"\n'
        '[[sinks]]\nendpoint = "conn://folder/toml.db"\nwhat = "windows"\n'
    )
    made = PipelineOperator(task_id="a", toml=str(toml), grains=["1d"]).execute({})
    assert made["sinks"] == [{"rows": 2, "sink": f"sqlite://{tmp_path}/toml.db"}]
    made = PipelineOperator(task_id="a", toml=str(toml), name="other", sinks=str(tmp_path / "2.db")).execute({})
    assert made["sinks"][0]["rows"] == 48
    monkeypatch.delenv("GRAIN")
    with pytest.raises(AirflowFailException, match="GRAIN is not set"):
        PipelineOperator(task_id="a", toml=str(toml)).execute({})


PLACES = [
    ("conn://kafka_default/power-data", "conn://kafka_default/power-data"),
    ("kafka://me:pw@k1:9092/t?timeout=5s", "kafka://k1:9092/t"),
    (wl.Kafka("k1:9092,k2:9092", "t", user="me", password="pw"), "kafka://k1:9092/t"),
    (wl.Sink("conn://cass/electrical", table="day"), "conn://cass/electrical/day"),
    (
        wl.Sink(wl.Postgres("h", dbname="d", user="me", password="pw"), "readings"),
        "postgres://h:5432/d/public/readings",
    ),
    ({"endpoint": "postgresql://me:pw@h/d", "table": "q"}, "postgres://h/d/public/q"),
    (wl.Cassandra("c1", keyspace="k"), "cassandra://c1:9042/k"),
    ({"endpoint": {"type": "parquet", "path": "/data/hive", "partition_by": "date"}}, "file:///data/hive"),
    ("sqlite:///data/a.db", "file:///data/a.db"),
    (wl.Parquet("/data/lake"), "file:///data/lake"),
    (wl.Parquet("s3://lake/a", access_key_id="me", secret_access_key="pw"), "s3://lake/a"),
    ("s3://lake/a?access_key_id=me&secret_access_key=pw", "s3://lake/a"),
]


@pytest.mark.parametrize(("endpoint", "uri"), PLACES, ids=[uri for _, uri in PLACES])
def test_an_endpoint_is_an_asset_without_its_secrets(endpoint: Any, uri: str) -> None:
    assert asset(endpoint).uri == uri


@pytest.mark.parametrize(
    "endpoint", ["relative.csv", "/data/{{ ds }}.csv", "/data/*.csv", "sim://?sensors=3", "-", {"type": "x"}]
)
def test_what_has_no_fixed_place_is_no_asset(endpoint: Any) -> None:
    assert PipelineOperator(task_id="a", name="x", source=endpoint).inlets == []
    with pytest.raises(ValueError, match="no fixed place"):
        asset(endpoint)


def test_an_endpoint_may_be_a_dictionary(readings: str, tmp_path: Path) -> None:
    sink = {"endpoint": {"type": "sqlite", "path": str(tmp_path / "out.db")}, "what": "windows"}
    operator = run(readings, [sink])
    assert operator.execute({})["sinks"][0]["rows"] == 48
    assert [a.uri for a in operator.outlets] == [f"file://{tmp_path}/out.db"]


def test_outlets_are_the_sinks_unless_others_are_given(readings: str, tmp_path: Path) -> None:
    sinks = [str(tmp_path / "a.db"), str(tmp_path / "lake")]
    assert [a.uri for a in run(readings, sinks).outlets] == [f"file://{sink}" for sink in sinks]
    assert [a.uri for a in run(readings, sinks).inlets] == [f"file://{readings}"]
    given = [asset("kafka://h/t")]
    assert run(readings, sinks, outlets=given).outlets == given


def test_a_sensor_waits_for_windows_to_be_final(readings: str, tmp_path: Path) -> None:
    home = str(tmp_path / "out.db")

    def sensor(end: str, **told: Any) -> WindowSensor:
        return WindowSensor(task_id="wait", name="flat", home=home, end=end, **told)

    assert not sensor("2026-01-02T00:00:00+00:00").poke({})  # before the first run
    run(readings, home).execute({})
    assert sensor("2026-01-03T00:00:00+00:00").poke({})
    assert not sensor("2026-01-03T01:00:00+00:00").poke({})
    with pytest.raises(wl.UsageError, match="zone"):
        sensor("2026-01-03T00:00:00").poke({})
    with pytest.raises(TaskDeferred) as deferred:
        sensor("2026-01-03T01:00:00+00:00", deferrable=True).execute({})
    assert isinstance(deferred.value.trigger, StateTrigger)


def test_a_trigger_stores_no_secret_and_gives_one_event(readings: str, tmp_path: Path) -> None:
    connection("lake", "wattline", host=str(tmp_path / "out.db"), login="me", password=SECRET)
    run(readings, "conn://lake").execute({})
    late = WindowSensor(task_id="wait", name="flat", home="conn://lake", end="2027-01-01T00:00:00+00:00")
    path, stored = StateTrigger(late.question(), 5.0).serialize()
    assert SECRET not in json.dumps(stored)
    module, _, name = path.rpartition(".")
    kind = getattr(__import__(module, fromlist=[name]), name)
    due = {**stored["question"], "end": "2026-01-03T00:00:00+00:00"}

    async def first(question: dict[str, Any]) -> Any:
        return await anext(kind(question=question, every=0.1).run())

    assert asyncio.run(first(due)).payload == {"watermark": "2026-01-03T00:00:00+00:00"}
    gone = asyncio.run(first({**due, "home": {"endpoint": "conn://nowhere", "what": "windows"}})).payload
    assert "nowhere" in gone["error"]
    with pytest.raises(AirflowException, match="nowhere"):
        late.resume({}, gone)


PLAIN = [
    (wl.Postgres("127.0.0.1", dbname="d", user="me", password=SECRET), "-"),
    (f"postgresql://me:{SECRET}@127.0.0.1/d", "-"),
    (wl.Sink(wl.Cassandra("127.0.0.1", keyspace="k", user="me", password=SECRET)), "-"),
    ({"endpoint": {"type": "postgres", "host": "127.0.0.1", "password": SECRET}, "what": "windows"}, "-"),
    (f"kafka://me:{SECRET}@127.0.0.1:9/t", "-"),
    (f"conn://base?password={SECRET}", "-"),
    ("out.db", wl.Kafka("127.0.0.1:9", "t", user="me", password=SECRET)),
    ("out.db", wl.Kafka("127.0.0.1:9", "t", config={"ssl.key.password": SECRET})),
    ("conn://lake", f"kafka://me:{SECRET}@127.0.0.1:9/t"),
    ("conn://lake", f"conn://stream/t?sasl.password={SECRET}"),
]


@pytest.mark.parametrize(("home", "source"), PLAIN)
def test_a_sensor_with_a_password_is_not_deferred(home: Any, source: Any) -> None:
    sensor = LagSensor(task_id="wait", name="flat", home=home, source=source, below=1, deferrable=True)
    with pytest.raises(wl.UsageError, match=r"holds a password.*conn://ID") as refused:
        sensor.execute({})
    assert SECRET not in str(refused.value)


NAMED = [
    (wl.Postgres("127.0.0.1", dbname="d", user="me", password="${PW}"), "-"),
    ("postgresql://me:${PW}@127.0.0.1/d?schema=s", "-"),
    ("conn://lake", wl.Kafka("127.0.0.1:9", "t", user="me", password="${PW}")),
    (wl.Sink("conn://lake?retry_for=3"), "conn://stream/t?sasl.password=${PW}"),
    (wl.Parquet("lake"), "sim://?sensors=3"),
]


@pytest.mark.parametrize(("home", "source"), NAMED)
def test_a_sensor_that_names_its_secrets_may_be_deferred(home: Any, source: Any) -> None:
    assert secret(LagSensor(task_id="wait", name="flat", home=home, source=source, below=1).question()) is None


@pytest.mark.parametrize(
    ("host", "extra", "url", "whole"),
    [
        ("kafka://k:9092?security=ssl", None, "conn://e/power", "kafka://k:9092/power?security=ssl"),
        ("kafka://k:9092/?a=1", {"b": 2}, "conn://e/t?c=3", "kafka://k:9092/t?a=1&b=2&c=3"),
        ("kafka://k:9092?", None, "conn://e/t", "kafka://k:9092/t"),
        ("kafka://k:9092", {"b": 2}, "conn://e/t", "kafka://k:9092/t?b=2"),
        ("/data/lake", None, "conn://e/day", "/data/lake/day"),
    ],
)
def test_a_url_with_options_may_stand_in_a_connection(host: str, extra: Any, url: str, whole: str) -> None:
    connection("e", "wattline", host=host, extra=extra)
    assert WattlineHook().endpoint(url) == whole


def test_a_timeout_of_airflow_ends_the_run(readings: str, tmp_path: Path) -> None:
    home = str(tmp_path / "live.db")
    operator = run("sim://?sensors=1&rate=60x&start=2026-01-01", home, flush_interval="100ms")
    began = time.monotonic()
    with pytest.raises(AirflowTaskTimeout), timeout(seconds=2):
        operator.execute({})
    assert time.monotonic() - began < 30
    assert wl.Pipeline("flat", source=readings, sinks=home).state()["totals"]["readings"] > 0


def test_on_kill_ends_the_run_at_a_decided_flush(readings: str, tmp_path: Path) -> None:
    operator = run("sim://?sensors=1&rate=60x&start=2026-01-01", str(tmp_path / "live.db"), flush_interval="100ms")
    threading.Timer(1.0, operator.on_kill).start()
    began = time.monotonic()
    with pytest.raises(wl.Interrupted) as ended:
        operator.execute({})
    assert time.monotonic() - began < 30
    assert ended.value.report is not None
    assert ended.value.report.outcome == "interrupted"

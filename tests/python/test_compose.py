"""docker-compose.yml without a daemon: its form, what it promises, and its settings on the same servers."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

import wattline as wl
from conftest import ROOT
from tests.services import Kafka, Postgres
from tests.services.cassandra_settings import VERSION as CASSANDRA
from tests.services.kafka_settings import VERSION as KAFKA
from tests.services.postgres import VERSION as POSTGRES

FILE = ROOT / "docker-compose.yml"
TOLD = dict(line.split("=", 1) for line in (ROOT / ".env").read_text().splitlines() if not line.startswith("#"))
PROFILES = {"core", "airflow", "ui", "monitoring", "lake"}
#: What a service may say here; another word is a slip, or belongs into this list.
WORDS = {"image", "build", "profiles", "command", "environment", "ports", "volumes", "healthcheck", "depends_on"}
WORDS |= {"restart", "stop_grace_period"}
HEALTH = {"test", "interval", "timeout", "retries", "start_period"}


def filled(text: str) -> str:
    """The text with ${NAME} as .env says; a name that it does not know is an error."""
    return re.sub(r"(?<!\$)\$\{(\w+)\}", lambda found: TOLD[found[1]], text)


STACK: dict[str, Any] = yaml.safe_load(filled(FILE.read_text()))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
EACH = pytest.mark.parametrize("name", SERVICES)


def folders(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        yield source, target


def test_every_profile_is_there_and_no_other() -> None:
    assert {profile for service in SERVICES.values() for profile in service["profiles"]} == PROFILES
    assert set(TOLD["COMPOSE_PROFILES"].split(",")) < PROFILES


@EACH
def test_a_service_says_known_words_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= WORDS
    assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", service["image"]), service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert all(isinstance(value, (str, int)) for value in service.get("environment", {}).values())


@EACH
def test_a_service_has_a_health_check_that_others_wait_for(name: str) -> None:
    service = SERVICES[name]
    if service.get("restart") == "no":  # runs once; others wait for its end
        assert "healthcheck" not in service
    else:
        health = service["healthcheck"]
        assert set(health) <= HEALTH
        assert health["test"][0] in ("CMD", "CMD-SHELL") and len(health["test"]) > 1
        assert all(re.fullmatch(r"\d+s|\d+m", health[key]) for key in ("interval", "timeout"))
    for other, how in service.get("depends_on", {}).items():
        once = SERVICES[other].get("restart") == "no"
        assert how == {"condition": "service_completed_successfully" if once else "service_healthy"}
        assert set(service["profiles"]) <= set(SERVICES[other]["profiles"]), f"{other} is not there in some profile"


@EACH
def test_what_is_mounted_exists_and_named_volumes_are_declared(name: str) -> None:
    for source, target in folders(SERVICES[name]):
        assert target.startswith("/")
        assert (ROOT / source).exists() if source.startswith(".") else source in STACK["volumes"]


def test_no_two_services_open_one_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports))


def test_versions_are_those_the_tests_run() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA}"
    assert SERVICES["cassandra"]["image"] == f"cassandra:{CASSANDRA}"
    assert SERVICES["postgres"]["image"] == f"postgres:{POSTGRES.removesuffix('.0')}"


def test_docker_compose_takes_it() -> None:
    """The real tool where it is installed; else its rules above must do."""
    tool = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*tool, "version"], capture_output=True, check=False).returncode == 0:
        command = [*tool, "--file", FILE, "--profile", "*", "config", "--quiet"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").rglob("*.*")), ids=lambda path: path.name)
def test_every_file_of_deploy_is_read_by_its_own_kind(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".yml":
        assert yaml.safe_load(text)
    elif path.suffix == ".json":
        json.loads(text)
    elif path.suffix == ".sh":
        assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
        assert path.stat().st_mode & 0o111
    elif path.suffix == ".py":
        compile(text, path, "exec")
    else:
        assert text.strip()


def test_airflow_finds_the_servers_by_their_names() -> None:
    words = SERVICES["airflow-scheduler"]["environment"]
    links = {key: json.loads(value) for key, value in words.items() if key.startswith("AIRFLOW_CONN_")}
    assert {link["conn_type"] for link in links.values()} == {"kafka", "cassandra", "postgres", "fs"}
    inside = links["AIRFLOW_CONN_KAFKA_DEFAULT"]["extra"]["bootstrap.servers"]
    assert f"INSIDE://{inside}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    mounted = {target for _, target in folders(SERVICES["airflow-scheduler"])}
    assert links["AIRFLOW_CONN_FS_DEFAULT"]["extra"]["path"] in mounted
    assert links["AIRFLOW_CONN_POSTGRES_DEFAULT"]["password"] == TOLD["POSTGRES_PASSWORD"]
    assert {links[f"AIRFLOW_CONN_{kind}_DEFAULT"]["host"] for kind in ("CASSANDRA", "POSTGRES")} <= set(SERVICES)


def test_a_broker_with_these_settings_takes_readings(tmp_path: Path) -> None:
    """The image makes properties of the environment; those that are not doors and folders go to a real broker."""
    told = SERVICES["kafka"]["environment"]
    words = {key.removeprefix("KAFKA_").lower().replace("_", "."): value for key, value in told.items()}
    doors = [key for key in words if "listener" in key or "quorum" in key]
    settings = {key: value for key, value in words.items() if key not in (*doors, "node.id", "log.dirs")}
    assert len(doors) == 6 and len(settings) >= 5
    with Kafka(properties=settings) as server:
        topic = f"{server.url}/power"
        with pytest.raises(wl.NotFound):
            wl.produce("sim://?start=2026-01-01&end=2026-01-02", topic, name="x", progress=False)
        report = wl.produce("sim://?start=2026-01-01&end=2026-01-02", topic, create=True, progress=False)
        assert report.ledger["accepted"] == 1440
        end = time.monotonic() + 60  # the broker shows a transaction a moment after it took its commit
        while len(wl.read_kafka(topic, schema="household")) < 1440:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_airflow_gets_a_database_of_its_own(postgres: Postgres) -> None:
    script = (ROOT / "deploy/postgres/airflow.sh").read_text()
    statements = script.partition("<<'SQL'\n")[2].partition("\nSQL")[0].replace(":'password'", "'secret'")
    with psycopg.connect(postgres.admin_url, autocommit=True) as link:
        try:
            for statement in statements.split(";\n"):
                link.execute(statement)
            own = postgres.url.replace("wattline:wattline@", "airflow:secret@").replace("/wattline", "/airflow")
            with psycopg.connect(own) as other:
                other.execute("create table of_its_own (n int)")
        finally:
            link.execute("drop database if exists airflow")
            link.execute("drop role if exists airflow")

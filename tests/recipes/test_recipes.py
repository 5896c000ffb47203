"""Each recipe from ``wattline init`` to the query at its end, on real servers; run twice, it changes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import psycopg
import pytest
import yaml
from cassandra.cluster import Cluster

from tests.docs.page import Block, Runner, addresses, blocks, statements
from tests.notebooks.book import ROOT, run
from tests.services import Cassandra, Kafka, Postgres
from wattline.recipes import RECIPES
from wattline.source import write_uci

#: What the last queries of each README show, of the small household where it reads one.
SHOWN = {
    "household": [r"^8000$", "energy_wh"],
    "quarterly": [r"2006-Q4 +[78]\d{3} "],
    "lambda": [r"^[1-9]\d* minutes in both views, 0 differ", r"00:00:00 +60 "],
    "generic": ["Airport +48", "Harbour", "999.9"],
    "users": [r"^200$", r"chen1@example\.org", r"Norway +\d+ +19", r"2026-03-01 00:00:00\+00:00 +20 "],
}


def shell(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wattline", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "household.txt"
    write_uci(path, rows=8_000, seed=3)
    return path


@pytest.fixture
def servers(cassandra: Cassandra, kafka: Kafka, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where the servers are that a recipe calls localhost."""
    for server in (postgres, kafka, cassandra):
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
    return addresses()


def lay(name: str, folder: Path, servers: dict[str, str]) -> Path:
    """The recipe's folder, with the addresses of the servers here."""
    done = shell("init", name, folder=folder)
    assert done.returncode == 0, done.stderr
    place = folder / name
    for path in place.iterdir():
        text = path.read_text()
        for shown, real in servers.items():
            text = text.replace(shown, real)
        path.write_text(text)
    return place


def make_tables(place: Path, cassandra: Cassandra, postgres: Postgres) -> None:
    """What the compose file's servers do with tables.sql and tables.cql."""
    for path in place.glob("tables.*"):
        if path.suffix == ".sql":
            with psycopg.connect(postgres.url, autocommit=True) as link:
                link.execute(path.read_text())
        else:
            with Cluster([cassandra.addresses[0]], port=cassandra.port) as cluster, cluster.connect() as session:
                for statement in statements(path.read_text()):
                    session.execute(statement, timeout=60)


def follow(place: Path, only: tuple[str, ...] = ("sh", "sql", "cql")) -> str:
    """Runs the blocks of the README; gives all they print."""
    runner = Runner(place / "README.md", {})
    printed = []
    for block in blocks((place / "README.md").read_text()):
        if block.kind in only:
            runner.run(Block(*block))
            printed.append(runner.printed)
    return "".join(printed)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leads_from_init_to_the_query(
    name: str,
    servers: dict[str, str],
    cassandra: Cassandra,
    postgres: Postgres,
    household: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = lay(name, tmp_path, servers)
    monkeypatch.chdir(place)
    (place / "household.txt").symlink_to(household)
    make_tables(place, cassandra, postgres)
    first = follow(place)
    for shown in SHOWN[name]:
        assert re.search(shown, first, re.M), first
    queries = follow(place, ("sql", "cql"))
    follow(place, ("sh",))
    assert follow(place, ("sql", "cql")) == queries
    book = run(place / "notebook.ipynb", place)
    assert any("image/png" in o.get("data", {}) or "vega" in str(o.get("data", {})) for o in book.cells[-1].outputs)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_whole(name: str, tmp_path: Path) -> None:
    assert shell("init", name, folder=tmp_path).returncode == 0
    place = tmp_path / name
    names = {path.name for path in place.iterdir()}
    assert {"README.md", "pipeline.toml", "dag.py", "notebook.ipynb", "compose.yaml"} <= names
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    made = yaml.safe_load((place / "compose.yaml").read_text())["services"]
    for service, said in made.items():
        assert said["image"] == stack[service if service in stack else "cassandra"]["image"]
        assert said["profiles"] == [name]
        assert all(port.startswith("127.0.0.1:") for port in said.get("ports", []))
        for volume in said.get("volumes", []):
            assert (place / volume.split(":")[0]).exists()
    compile((place / "dag.py").read_text(), "dag.py", "exec")
    nbformat.validate(nbformat.read(place / "notebook.ipynb", as_version=4))
    again = shell("init", name, folder=tmp_path)
    assert again.returncode == 2 and "is there already" in again.stderr


def test_the_list_and_an_unknown_name(tmp_path: Path) -> None:
    assert all(name in shell("recipes", folder=tmp_path).stdout for name in RECIPES)
    done = shell("init", "nothing", folder=tmp_path)
    assert done.returncode == 1 and "there are household, quarterly" in done.stderr

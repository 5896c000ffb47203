"""Every block of every page runs, and prints what the page shows; the reference says what the code says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cassandra.cluster import Cluster

from tests.docs.page import blocks, same
from tests.services import S3, Cassandra, Kafka, Postgres
from tests.services.s3 import NAME, SECRET
from wattline.source import write_uci

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"reference.md", "shell.md"}
GUIDES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in GENERATED)
#: Those of the README: tests/python/test_readme.py.
PAGES = [page for page in GUIDES if any(block.kind != "text" for block in blocks(page.read_text()))]
#: What the pages of docs/ leave in the servers.
KEYSPACES = ["electrical"]


@pytest.fixture(scope="module")
def servers(postgres: Postgres, kafka: Kafka, cassandra: Cassandra, s3: S3) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": NAME, "AWS_SECRET_ACCESS_KEY": SECRET}
    return {**postgres.environment, **kafka.environment, **cassandra.environment, **s3.environment, **keys}


@pytest.fixture
def clean(servers: dict[str, str], cassandra: Cassandra) -> Iterator[dict[str, str]]:
    """Nothing of another page."""
    yield servers
    with psycopg.connect(servers["WATTLINE_TEST_POSTGRES"], autocommit=True) as link:
        link.execute("drop schema public cascade")
        link.execute("create schema public")
    with Cluster([cassandra.addresses[0]], port=cassandra.port) as cluster, cluster.connect() as session:
        for name in KEYSPACES:
            session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "household.txt"
    write_uci(path, rows=40_000, seed=3)
    return path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_as_it_stands(page: Path, clean: dict[str, str], household: Path, tmp_path: Path) -> None:
    (tmp_path / "household.txt").symlink_to(household)
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = {**os.environ, **clean, "PYTHONPATH": python, "POSTGRES_PASSWORD": "wattline"}
    command = [sys.executable, "-m", "tests.docs.page", page]
    done = subprocess.run(command, cwd=tmp_path, env=words, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr


def test_the_guide_has_a_page_for_each_task() -> None:
    index = (ROOT / "docs/README.md").read_text()
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)", index))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda path: path.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_reference_is_that_of_the_code() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs/reference.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("due", "made", "equal"),
    [
        ("a  b\n1  2\n", "a    b\n1    2\n", True),
        ("took 3 ms\n", "took 1.2 s\n", True),
        ("first\n…\nlast\n", "first\nany\nthing\nlast\n", True),
        ("first\n…\nlast\n", "first\nlast\n", True),
        ("1,440 readings\n", "1,441 readings\n", False),
        ("first\n…\nlast\n", "first\n", False),
    ],
)
def test_outputs_are_compared(due: str, made: str, equal: bool) -> None:
    assert same(due, made) is equal

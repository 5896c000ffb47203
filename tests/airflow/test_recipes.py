"""The DAGs of the recipes: all are read without an error; one runs from an empty folder to its table."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.airflow.place import DAGS
from tests.airflow.test_dags import run
from wattline.recipes import RECIPES
from wattline.source import write_uci


def read(folder: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.x
    except ImportError:
        from airflow.models.dagbag import DagBag  # 2.x
    return DagBag(str(folder))


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Any:
    """A recipe's folder among the DAGs."""
    folder = DAGS / f"recipe-{request.param}"
    subprocess.run([sys.executable, "-m", "wattline", "init", request.param, folder], check=True, capture_output=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("place", RECIPES, indirect=True)
def test_the_dag_of_a_recipe_is_read(place: Path) -> None:
    found = read(place)
    assert not found.import_errors
    assert found.dags and all(dag.tasks for dag in found.dags.values())


@pytest.mark.parametrize("place", ["quarterly"], indirect=True)
def test_the_dag_of_a_recipe_runs(place: Path, servers: dict[str, Any]) -> None:
    here = {
        "localhost:9092": servers["kafka"].bootstrap,
        "localhost:5432": f"127.0.0.1:{servers['postgres'].port}",
        # The example of the same topic has sent other rows.
        "raw_energy": "recipe_energy",
    }
    for path in (place / "dag.py", place / "pipeline.toml"):
        text = path.read_text()
        for shown, real in here.items():
            text = text.replace(shown, real)
        path.write_text(text)
    # The example of the same table may have left one of its own shape.
    with psycopg.connect(servers["postgres"].url, autocommit=True) as link:
        link.execute("create schema recipe")
        link.execute("set search_path = recipe")
        link.execute((place / "tables.sql").read_text())
    toml = place / "pipeline.toml"
    toml.write_text(toml.read_text().replace('/wattline"', '/wattline?schema=recipe"'))
    write_uci(place / "household.txt", rows=2_000, seed=5)
    done = run(read(place), "quarterly")
    assert done["send"]["ledger"]["accepted"] == done["land"]["ledger"]["accepted"] == 2_000
    with psycopg.connect(servers["postgres"].url) as link:
        assert link.execute("select quarter from recipe.quarterly_energy_data").fetchall() == [("2006-Q4",)]

"""The Airflow of these tests: its folder, DAGs, connections. Sets the environment, so it comes before any airflow."""

import atexit
import importlib.util
import json
import os
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wattline.recipes import RECIPES, init

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(tempfile.mkdtemp(prefix="wattline-airflow-"))
#: The DAGs: the examples of the installed package, and those that the guide shows.
DAGS = HOME / "dags"
#: The folder of the connection ``fs_default``.
DATA = HOME / "data"
AIRFLOW_2 = version("apache-airflow").startswith("2.")
PAGES = [ROOT / "docs/airflow.md", ROOT / "docs/schedule.md"]

atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
)


def examples() -> list[Path]:
    """The example DAGs of the installed package."""
    package = Path(importlib.util.find_spec("wattline").origin).parent  # type: ignore[union-attr, arg-type]
    return sorted((package / "airflow" / "example_dags").glob("*_dag.py"))


def shown(kind: str) -> dict[str, str]:
    """The files of one language that the guide shows, by name."""
    found = [re.findall(rf"^```{kind} (\S+)\n(.*?)^```$", page.read_text(), re.M | re.S) for page in PAGES]
    return {Path(name).name: text for each in found for name, text in each}


def connection(name: str, kind: str, **fields: Any) -> None:
    """A connection as people keep it, for tasks of this process and of those it starts."""
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({"conn_type": kind, **fields})


def lay() -> None:
    """Puts the DAGs into their folder."""
    DAGS.mkdir()
    DATA.mkdir()
    for path in examples():
        shutil.copy(path, DAGS)
    for name, text in shown("python").items():
        (DAGS / name).write_text(text)
    for name in RECIPES:
        init(name, DAGS / "recipes" / name)
    connection("fs_default", "fs", extra={"path": str(DATA)})


def read(folder: Path) -> Any:
    """The DAGs of a folder, as Airflow reads them."""
    if AIRFLOW_2:
        from airflow.models.dagbag import DagBag
    else:
        from airflow.dag_processing.dagbag import DagBag
    found = DagBag(str(folder))
    assert not found.import_errors
    if AIRFLOW_2:
        found.sync_to_db()  # else it knows none of their assets
    return found

"""Folders to begin with: ``recipes`` lists them, ``init`` writes one that runs at once.

Each holds a pipeline, the tables it fills, a DAG, a notebook, a compose file with the servers it needs, and a README
whose commands lead from an empty folder to the query at the end.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from ..errors import NotFound, UsageError
from ..files import written

__all__ = ["RECIPES", "Recipe", "init"]


class Recipe(NamedTuple):
    """What a recipe is about, which servers it needs, and what its notebook looks at."""

    title: str
    way: str
    services: tuple[str, ...]
    topic: str
    measure: str
    schema: str = "household"


RECIPES = {
    "household": Recipe(
        "A household into Cassandra",
        "file → topic power-data → Cassandra power_consumption and hours",
        ("kafka", "cassandra"),
        "power-data",
        "global_active_power",
    ),
    "quarterly": Recipe(
        "Energy per quarter",
        "file → topic raw_energy → PostgreSQL quarterly_energy_data",
        ("kafka", "postgres"),
        "raw_energy",
        "global_active_power",
    ),
    "lambda": Recipe(
        "Batch and speed views that agree",
        "topic electrical_read → Cassandra with a TTL, and Parquet; compared to the bit",
        ("kafka", "cassandra"),
        "electrical_read",
        "global_active_power",
    ),
    "generic": Recipe(
        "Any schema: filter, aggregate, enrich",
        "stations.csv → topic stations → PostgreSQL, joined with places",
        ("kafka", "postgres"),
        "stations",
        "temperature",
        "schema.toml",
    ),
    "users": Recipe(
        "Users that were created",
        "nested JSON → topic users_created → Cassandra created_users and PostgreSQL",
        ("kafka", "cassandra", "postgres"),
        "users_created",
        "age",
        "schema.toml",
    ),
}


def init(name: str, folder: Path) -> list[Path]:
    """Writes the recipe into ``folder``; gives the files. Raises where one of them is there already."""
    if name not in RECIPES:
        raise NotFound(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    made = {folder / path: text for path, text in _contents(name).items()}
    there = [path for path in made if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in made.items():
        written(path, text)
    return list(made)


def _contents(name: str) -> dict[str, str]:
    """Name and text of each file."""
    room = files(__name__)
    own = {part.name.removesuffix(".txt"): _text(part) for part in sorted(room.joinpath(name).iterdir(), key=str)}
    return {**own, "compose.yaml": _compose(name), "notebook.ipynb": _notebook(name)}


def _text(part: Traversable) -> str:
    return part.read_text(encoding="utf-8")


def _compose(name: str) -> str:
    shared = files(__name__).joinpath("shared")
    services = "".join(_text(shared.joinpath(f"{service}.yaml")) for service in RECIPES[name].services)
    title = f"# Servers of this folder, open on this machine alone: docker compose --profile {name} up --wait\n"
    return f"{title}name: wattline-{name}\nservices:\n{services.replace('{name}', name)}"


def _notebook(name: str) -> str:
    recipe = RECIPES[name]
    told = {"title": recipe.title, "toml": "pipeline.toml", **recipe._asdict()}
    look = _text(files(__name__).joinpath("shared/notebook.txt"))
    text = re.sub(r"\{(\w+)\}", lambda found: str(told[found[1]]), look)
    cells = [_cell(n, *part.split("\n", 1)) for n, part in enumerate(text.split("# %%")[1:], 1)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, kind: str, body: str) -> dict[str, object]:
    lines = body.strip("\n").splitlines(keepends=True)
    same = {"id": f"cell-{number:02}", "metadata": {}}
    if "markdown" in kind:
        return {"cell_type": "markdown", **same, "source": [re.sub(r"^# ?", "", line) for line in lines]}
    return {"cell_type": "code", **same, "execution_count": None, "outputs": [], "source": lines}

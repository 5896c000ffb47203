"""``recipes`` and ``init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import display
from ..recipes import RECIPES, init
from .output import guarded


@guarded
def recipes_command() -> None:
    """Lists the folders that `wattline init` can write.

    Examples:

    \b
    wattline recipes
    """
    rows = [[name, recipe.title, recipe.way] for name, recipe in RECIPES.items()]
    typer.echo(display.grid(["recipe", "what", "the way"], rows, [False] * 3, full=True))


@guarded
def init_command(
    name: Annotated[str, typer.Argument(help="A recipe: household, quarterly, lambda, generic or users.")],
    folder: Annotated[Path | None, typer.Argument(help="Where; by default a folder of that name.")] = None,
) -> None:
    """Writes a folder with pipeline, tables, DAG, notebook, compose file and README, that runs at once.

    Examples:

    \b
    wattline init quarterly
    """
    made = init(name, folder or Path(name))
    for path in made:
        typer.echo(str(path))
    typer.echo(f"begin with {made[0].parent / 'README.md'}", err=True)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("recipes")(recipes_command)
    app.command("init")(init_command)

"""The shell: the same words as in Python. ``wattline --help``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import demo, pages, reading, recipes, repairing, running, topics

app = typer.Typer(
    name="wattline",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Interval readings from files and streams into calendar windows in a store: nothing lost, nothing counted "
    "twice.\n\nExit codes: 0 done, 1 failed, 2 usage, 3 the books do not balance, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"wattline {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


reading.add_to(app)
running.add_to(app)
repairing.add_to(app)
topics.add_to(app)
pages.add_to(app)
recipes.add_to(app)
demo.add_to(app)


def main() -> None:
    """The command ``wattline``."""
    app()

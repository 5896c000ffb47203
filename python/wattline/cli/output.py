"""What every command shares: output formats, exit codes, errors as one line."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from .. import display
from .._native import Table
from ..errors import AmbiguousDates, AmbiguousZone, Interrupted, LedgerError, UsageError, WattlineError

FAILED, USAGE, BOOKS, INTERRUPTED = 1, 2, 3, 130

P = ParamSpec("P")


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    csv = "csv"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How it is printed; json: one object a line.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write to this file instead: .csv .json .parquet .arrow.")
]


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Errors become one line on standard error and an exit code; never a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt as error:
            complain(str(error) or "interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (AmbiguousDates, AmbiguousZone) as error:
            flag = "--order" if isinstance(error, AmbiguousDates) else "--tz"
            hint = f"in the shell: wattline sniff FILE {flag} ... -o s.toml, then give --schema s.toml"
            complain(str(error), [*getattr(error, "__notes__", []), hint])
            raise typer.Exit(FAILED) from None
        except WattlineError as error:
            if _reader_left(error):
                raise typer.Exit(FAILED) from None
            complain(str(error), getattr(error, "__notes__", []))
            raise typer.Exit(_code(error)) from None
        except OSError as error:
            complain(f"{error.filename or 'a file'}: {error.strerror or error}")
            raise typer.Exit(FAILED) from None
        except OverflowError as error:
            complain(f"a number is out of range: {error}")
            raise typer.Exit(USAGE) from None

    return run


def _reader_left(error: WattlineError) -> bool:
    """Whether the reader of our output went away (`| head`): nothing more to say then."""
    return any(f"os error {errno.EPIPE}" in note for note in getattr(error, "__notes__", []))


def _code(error: WattlineError) -> int:
    if isinstance(error, Interrupted):
        return INTERRUPTED
    if isinstance(error, LedgerError):
        return BOOKS
    return USAGE if isinstance(error, UsageError) else FAILED


def complain(message: str, notes: list[str] | None = None) -> None:
    """One line on standard error."""
    typer.echo(f"wattline: {display.plain(message)}", err=True)
    for note in notes or []:
        if note not in message:
            typer.echo(f"  ({display.plain(note)})", err=True)


def emit(table: Table, format: Format, out: Path | None) -> None:
    """Prints a table, or writes it to a file."""
    if out is not None:
        table.write(out)
        typer.echo(f"{len(table):,} rows to {out}", err=True)
    elif format is Format.table:
        typer.echo(repr(table))
    else:
        sys.stdout.flush()
        table.write("-", format=format.value)

"""Reading text files: ``sniff``, ``read_csv``, ``scan_csv``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from operator import index
from typing import Literal, SupportsIndex

from . import _native
from ._native import Reader, Schema, Table
from .errors import UsageError

__all__ = ["Reader", "read_csv", "replay", "scan_csv", "sniff"]

Path = str | os.PathLike[str]
Paths = Path | Sequence[Path]
OnReject = Literal["raise", "collect", "skip"]
OnRepeated = Literal["raise", "infer", "earliest", "latest", "null"]
OnMissing = Literal["raise", "shift", "null"]


def counted(**numbers: int | None) -> None:
    """Refuses numbers that count nothing, by name."""
    for name, number in numbers.items():
        if number is None:
            continue
        if not isinstance(number, SupportsIndex):
            raise UsageError(f"{name}: {number!r} is not a whole number from 0 on")
        if not 0 <= index(number) < 2**63:
            raise UsageError(
                f"{name}: {number!r} is not a whole number from 0 {'to 2**63 - 1' if number > 0 else 'on'}"
            )


def path_of(named: Path | bytes) -> str:
    """A path as text; one that is not UTF-8 is refused here, since no option or position could hold it."""
    text = os.fsdecode(named)
    if isinstance(named, bytes) and b"\n" in named:
        raise UsageError("bytes are taken as a path, and these hold lines; write them to a file and give its path")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the path {text!a} is not UTF-8; rename the file, or read it from standard input") from None
    return text


def paths_of(named: Paths) -> list[str]:
    """One path or several as texts."""
    if isinstance(named, (str, bytes, os.PathLike)):
        return [path_of(named)]
    if hasattr(named, "read"):
        kind = type(named).__name__
        raise UsageError(
            f"{kind} is no path; give the path of a file, - for standard input, or write its bytes to a file"
        )
    several = list(named) if isinstance(named, Iterable) else [named]
    for path in several:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise UsageError(f"{path!r} is no path; give a path, a glob, - or a list of them")
    return [path_of(path) for path in several]


def sniff(
    paths: Paths,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    order: Literal["dmy", "mdy", "ymd"] | None = None,
) -> Schema:
    """Proposes a schema for a text file, with its reasons; its ``repr`` also says what the file cannot tell.

    Looks at the head of the first input that ``paths`` name (and further where dates need it). ``delimiter``,
    ``header`` and ``order`` (of day, month and year) are taken as given. Use ``.replace(tz=..., stamp=...)``
    for what is not in the file.

    Raises ``AmbiguousDates`` where two date orders fit, ``SchemaError`` where the input is no text in columns,
    ``NotFound``.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError(f"the delimiter is one sign, not {delimiter!r}")
    return _native.sniff(paths_of(paths), delimiter, header, order)


def read_csv(
    paths: Paths,
    *,
    schema: Schema | Path | None = None,
    columns: Sequence[str] | None = None,
    on_reject: OnReject = "raise",
    max_rejects: int | None = None,
    on_repeated: OnRepeated = "raise",
    on_missing: OnMissing = "raise",
    max_line_bytes: int | None = None,
    threads: int | None = None,
) -> Table:
    """Reads text files into a ``Table``, in parallel.

    ``paths``: a path, a glob, ``-`` for standard input, or a list of them as one dataset; ``.gz``, ``.zst`` and
    ``.zip`` are unpacked. ``schema``: a ``Schema``, the name of a preset (``"household"``), a path that ends in
    ``.toml``, or nothing: then the file is sniffed. ``columns``: only these. Times become microseconds in UTC; those
    of a file without a zone are taken as they stand.

    A record that cannot be read is a reject: ``on_reject`` raises ``RejectLimit`` at once, collects them in
    ``.rejects`` (file, line, byte, column, raw text, reason), or skips and counts them; more than ``max_rejects``
    (10,000) raise in any case. ``max_line_bytes``: a longer record (16 MiB) raises ``SchemaError``, since it is a sign
    of a stray quote. ``threads``: for this call; by default all cores.

    Where the schema has a ``tz``, local times that the clock showed twice are rejects too, or by ``on_repeated`` those
    of the ``earliest`` or ``latest`` pass, or ``infer``: of that sensor's second pass in the order of the file; a
    record whose time is ``null`` by policy is a reject. Those that the clock jumped over: ``on_missing``.

    Raises ``SchemaError``, ``AmbiguousDates``, ``AmbiguousZone``, ``RejectLimit``, ``NotFound``, ``EndpointError``.
    """
    only = None if columns is None else list(columns)
    counted(max_rejects=max_rejects, max_line_bytes=max_line_bytes, threads=threads)
    told = (on_reject, max_rejects, threads, on_repeated, on_missing, max_line_bytes)
    return _native.read_csv(paths_of(paths), schema, only, told)


def scan_csv(
    paths: Paths,
    *,
    schema: Schema | Path | None = None,
    columns: Sequence[str] | None = None,
    on_reject: OnReject = "raise",
    max_rejects: int | None = None,
    on_repeated: OnRepeated = "raise",
    on_missing: OnMissing = "raise",
    max_line_bytes: int | None = None,
    threads: int | None = None,
) -> Reader:
    """Reads text files piece by piece, in bounded memory.

    The same arguments and rows as ``read_csv``. The ``Reader`` gives its rows once: iterate over it (each item is a
    ``Table``), hand it to ``wl.windows``, or pass it to anything that takes an Arrow stream. A second use raises
    ``UsageError``.
    """
    only = None if columns is None else list(columns)
    counted(max_rejects=max_rejects, max_line_bytes=max_line_bytes, threads=threads)
    told = (on_reject, max_rejects, threads, on_repeated, on_missing, max_line_bytes)
    return _native.scan_csv(paths_of(paths), schema, only, told)


def replay(
    mended: Path,
    paths: Paths,
    *,
    schema: Schema | Path | None = None,
    on_repeated: OnRepeated = "raise",
    on_missing: OnMissing = "raise",
) -> Table:
    """Reads rejects once they are mended.

    ``mended``: a CSV file of ``.rejects`` (``t.rejects.write("mend.csv")``) in which the column ``raw`` was put right;
    ``paths``, ``schema``, ``on_repeated`` and ``on_missing``: as they were read (a few mended records alone cannot
    ``infer`` the pass of a repeated hour: those stay rejects). The ``Table`` holds the records that can be read now,
    ``.rejects`` those that still cannot. Raises ``SchemaError`` where it is no such file. To commit them into a
    pipeline's stores, name the mended file beside the one it came from:
    ``Pipeline(..., source=["meter.csv", "mend.csv"])``.
    """
    return _native.replay(os.fspath(mended), paths_of(paths), schema, (on_repeated, on_missing))

"""Exceptions, by what the caller does next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Report


class WattlineError(Exception):
    """Anything that went wrong, in one sentence: what, where, what to do.

    ``file``, ``line`` (from 1), ``byte`` (from 0, unpacked) and ``column``, or ``topic``, ``partition`` and ``offset``,
    say where in the data, where that is known;
    ``retryable`` whether the same call may succeed later; ``report`` what a run had done until then.
    """

    file: str | None
    line: int | None
    byte: int | None
    column: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    retryable: bool
    report: Report | None

    def __init__(
        self,
        message: str = "",
        *,
        file: str | None = None,
        line: int | None = None,
        byte: int | None = None,
        column: str | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        retryable: bool = False,
        report: Report | None = None,
    ) -> None:
        super().__init__(message)
        self.file, self.line, self.byte, self.column = file, line, byte, column
        self.topic, self.partition, self.offset = topic, partition, offset
        self.retryable, self.report = retryable, report

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__


class UsageError(WattlineError, ValueError):
    """An option or argument that cannot be."""


class NoSuchGrain(UsageError, KeyError):
    """``Windows`` of this grain were not asked for; the message names those that there are."""


class SchemaError(WattlineError, ValueError):
    """The data are not what the schema says, or the file is not data at all."""


class AmbiguousDates(SchemaError):
    """Two date orders fit the file; the message names both and a line that would decide."""


class AmbiguousZone(SchemaError):
    """Local times without a zone, or a local hour that occurs twice or never."""


class RejectLimit(WattlineError, ValueError):
    """A record that could not be read under ``on_reject="raise"``, or more of them than ``max_rejects``."""


class SpecChanged(WattlineError):
    """The stored head belongs to another definition of the pipeline."""


class Fenced(WattlineError):
    """Another owner has the pipeline."""


class DataLost(WattlineError):
    """The source no longer holds what was read: replaced, truncated, expired."""


class EndpointError(WattlineError, OSError):
    """A store or a file system failed or refused."""


class NotFound(EndpointError, FileNotFoundError):
    """A file, table or pipeline that is not there."""


class TimedOut(EndpointError, TimeoutError):
    """Waited longer than allowed."""


class LedgerError(WattlineError):
    """The books do not balance."""


class Interrupted(WattlineError, KeyboardInterrupt):
    """Stopped at a decided flush; the next run goes on from there. ``report`` says how far it came."""

"""What every operator here does around its run: names connections, logs lines, stops, decides about retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from ..errors import EndpointError, Fenced, Interrupted, WattlineError
from ..signals import stop_all
from .hook import WattlineHook

__all__ = ["WattlineOperator", "log_lines"]

#: What another try may mend; all else fails the task at once.
LATER = (EndpointError, Fenced, Interrupted)


def log_lines(logger: Any, text: object) -> None:
    """Writes a text of several lines to the task's log, one record a line."""
    for line in str(text).splitlines():
        logger.info("%s", line.rstrip())


class WattlineOperator(BaseOperator):
    """The common part of the operators. Not used by itself."""

    @contextmanager
    def _under_way(self, hook: WattlineHook) -> Iterator[None]:
        """Errors name the connection, what was done until then is logged, and retries are left out where useless."""
        try:
            with hook.named():
                yield
        except WattlineError as error:
            if error.report is not None:
                log_lines(self.log, repr(error.report))
            if error.retryable or isinstance(error, LATER):
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    def on_kill(self) -> None:
        """Ends the run at the next decided flush; also called from inside a signal handler."""
        stop_all()

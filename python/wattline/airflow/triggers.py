"""``StateTrigger``: asks the home of a pipeline now and then, in the triggerer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from .._native import kafka_shown
from ..errors import NotFound
from ..pipeline import Pipeline
from ..state import State
from .connections import split
from .hook import WattlineHook

__all__ = ["StateTrigger", "met", "secret"]


#: What stands for a secret where an endpoint is shown.
HIDDEN = "***"
_SECRET = re.compile(r"password|secret|token|[._]key\b")
_REFERENCE = re.compile(r"\$\{\w+\}")


class StateTrigger(BaseTrigger):
    """Waits until the state of a pipeline is as ``question`` wants it, see :func:`met`; ``every``: seconds."""

    def __init__(self, question: dict[str, Any], every: float) -> None:
        super().__init__()
        self.question, self.every = question, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the metadata database keeps: no secret, see :func:`secret`."""
        return "wattline.airflow.triggers.StateTrigger", {"question": self.question, "every": self.every}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Gives one event: what was found, or the error."""
        try:
            while (found := await asyncio.to_thread(met, self.question)) is None:
                await asyncio.sleep(self.every)
        except Exception as error:
            yield TriggerEvent({"error": f"{type(error).__name__}: {error}"})
        else:
            yield TriggerEvent(found)


def secret(question: Mapping[str, Any]) -> str | None:
    """Which endpoint (``home``, ``source``) holds a password as it is, not by ``conn://`` or ``${NAME}``."""
    home, source = question["home"], question["source"]
    place = home["endpoint"] if isinstance(home, Mapping) else home
    if _named(place):
        return "home" if _in_options(place) else _of_source(source)
    told = Pipeline("-", source="-", sinks=[home]).to_toml()
    return "home" if HIDDEN in told else _of_source(source)


def _of_source(source: str) -> str | None:
    plain = _in_options(source) if _named(source) else source.startswith("kafka:") and HIDDEN in kafka_shown(source)
    return "source" if plain else None


def _named(place: Any) -> bool:
    return isinstance(place, str) and place.startswith("conn://")


def _in_options(url: str) -> bool:
    """Whether what follows ``?`` in ``conn://`` is a secret."""
    return any(_SECRET.search(key) and not _REFERENCE.fullmatch(str(value)) for key, value in split(url)[2].items())


def met(question: dict[str, Any]) -> dict[str, Any] | None:
    """What was found, if it is what is waited for; ``None``: not yet, as before the pipeline's first run.

    ``question`` has the pipeline's ``name``, ``home`` and ``source``, and ``end`` (a time that every watermark must
    have reached) or ``below`` (more messages than wait).
    """
    hook = WattlineHook()
    with hook.named():
        home, source = hook.resolve(question["home"]), hook.resolve(question["source"])
        try:
            state = Pipeline(question["name"], source=source, sinks=[home]).state()
        except NotFound:
            return None
    if "below" in question:
        return _caught_up(state, int(question["below"]))
    return _closed(state, datetime.fromisoformat(question["end"]))


def _caught_up(state: State, below: int) -> dict[str, Any] | None:
    lags = [lag for (lag,) in state.partitions.select("lag").rows()]
    if not lags or None in lags or sum(lags) >= below:
        return None
    return {"lag": sum(lags)}


def _closed(state: State, end: datetime) -> dict[str, Any] | None:
    """A partition that has not had a reading holds nothing back."""
    reached = [at for (at,) in state.watermarks.select("watermark").rows() if at is not None]
    if not reached or min(reached) < end:
        return None
    return {"watermark": min(reached).isoformat()}

"""``StateTrigger``: asks the home of a pipeline now and then, in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from ..errors import NotFound
from ..pipeline import Pipeline
from ..state import State
from .hook import WattlineHook

__all__ = ["StateTrigger", "met"]


class StateTrigger(BaseTrigger):
    """Waits until the state of a pipeline is as ``question`` wants it, see :func:`met`; ``every``: seconds."""

    def __init__(self, question: dict[str, Any], every: float) -> None:
        super().__init__()
        self.question, self.every = question, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the metadata database keeps: no secret, connections are named."""
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

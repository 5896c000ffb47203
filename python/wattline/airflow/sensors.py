"""``LagSensor`` and ``WindowSensor``: wait for a pipeline to have caught up, for windows to be final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, BaseSensorOperator, conf

from ..errors import UsageError
from ..kafka import Kafka
from ..sink import Endpoint, Sink, sink_spec
from .triggers import StateTrigger, met, secret

__all__ = ["LagSensor", "WindowSensor"]


class _StateSensor(BaseSensorOperator):
    """Waits for a state of a pipeline, with ``deferrable=True`` in the triggerer: then without plain passwords."""

    template_fields: Sequence[str] = ("name", "home", "source")
    ui_color = "#e9e2f5"

    def __init__(
        self,
        *,
        name: str,
        home: Sink | Endpoint,
        source: str | Kafka = "-",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name, self.home, self.source, self.deferrable = name, home, source, deferrable

    def question(self) -> dict[str, Any]:
        """What is waited for, as plain values."""
        source = self.source._url() if isinstance(self.source, Kafka) else self.source
        return {"name": self.name, "home": sink_spec(self.home), "source": source}

    def poke(self, context: Any) -> bool:
        """Whether it is so now."""
        found = met(self.question())
        if found is not None:
            self.log.info("%s: %s", self.name, found)
        return found is not None

    def execute(self, context: Any) -> Any:
        """Waits here, or hands over to the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        question = self.question()
        if (held := secret(question)) is not None:
            raise UsageError(
                f"{held} holds a password, which a deferred sensor would leave in Airflow's database; "
                "name a connection (conn://ID/...) or an environment variable (${NAME}) instead"
            )
        if not self.poke(context):
            trigger = StateTrigger(question, self.poke_interval)
            self.defer(trigger=trigger, method_name="resume", timeout=self._left())
        return None

    def _left(self) -> Any:
        from datetime import timedelta

        return timedelta(seconds=self.timeout) if self.timeout else None

    def resume(self, context: Any, event: dict[str, Any]) -> None:
        """Called with what the trigger found."""
        if "error" in event:
            raise AirflowException(event["error"])
        self.log.info("%s: %s", self.name, event)


class LagSensor(_StateSensor):
    """Waits until fewer than ``below`` messages of a topic are not yet counted by a pipeline.

    ``name`` and ``home`` (its first sink) say which pipeline; ``source``: its topic, as the pipeline has it.
    """

    def __init__(self, *, below: int, source: str | Kafka, **kwargs: Any) -> None:
        super().__init__(source=source, **kwargs)
        self.below = below

    def question(self) -> dict[str, Any]:
        """The pipeline and the number."""
        return {**super().question(), "below": self.below}


class WindowSensor(_StateSensor):
    """Waits until the windows of a pipeline that end at ``end`` or before are final.

    ``name`` and ``home`` (its first sink) say which pipeline; ``end``: a time with its zone, or a template such as
    ``"{{ data_interval_end }}"``. The watermark of every partition that has had a reading must have reached it; a
    partition without one holds nothing back.
    """

    template_fields: Sequence[str] = (*_StateSensor.template_fields, "end")

    def __init__(self, *, end: str | datetime, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.end = end

    def question(self) -> dict[str, Any]:
        """The pipeline and the time."""
        end = self.end if isinstance(self.end, datetime) else datetime.fromisoformat(str(self.end))
        if end.tzinfo is None:
            raise UsageError(f"end={self.end!r} has no zone; write it with one, for example 2026-01-31T00:00:00+00:00")
        return {**super().question(), "end": end.astimezone(UTC).isoformat()}

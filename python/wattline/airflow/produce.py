"""``ProduceOperator``: readings of files into a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..kafka import Kafka, produce
from ..options import Data
from ..reading import OnMissing, OnReject, OnRepeated, Path
from .assets import assets, record
from .hook import WattlineHook
from .task import WattlineOperator, log_lines

__all__ = ["ProduceOperator"]


class ProduceOperator(WattlineOperator):
    """Sends readings to a topic, each once: a retry goes on after the last committed transaction.

    The arguments are those of ``wl.produce``. ``source``: files, globs, ``sim://``, ``conn://fs_default/...``;
    ``endpoint``: ``conn://kafka_default/topic`` (a connection of Airflow), a ``kafka://`` URL or ``wl.Kafka``. Inlets
    and outlets are, where not given, the Assets of both. Returns the report's summary, a small dictionary.

    It may be mapped over files: ``ProduceOperator.partial(...).expand(source=[...])``.
    """

    template_fields: Sequence[str] = ("source", "endpoint", "name", "schema", "options")
    ui_color = "#dcebf7"

    def __init__(
        self,
        *,
        source: Data,
        endpoint: str | Kafka,
        schema: Any = None,
        mode: Literal["exact", "fast"] = "exact",
        name: str | None = None,
        timestamp: Literal["now"] | None = None,
        codec: Literal["json", "arrow"] = "json",
        create: bool | Mapping[str, Any] = False,
        on_reject: OnReject = "raise",
        max_rejects: int | None = None,
        on_repeated: OnRepeated = "raise",
        on_missing: OnMissing = "raise",
        may_grow: bool = False,
        transaction: str = "1s",
        progress_topic: str = "wattline-progress",
        progress_timeout: str = "90s",
        **kwargs: Any,
    ) -> None:
        told = locals()
        kwargs.setdefault("inlets", assets(source))
        kwargs.setdefault("outlets", assets(endpoint))
        super().__init__(**kwargs)
        self.source: Data | list[Path] = source
        self.endpoint = endpoint
        self.name = name
        self.schema = schema
        self.options: dict[str, Any] = {option: told[option] for option in OPTIONS}

    def execute(self, context: Any) -> dict[str, Any]:
        """Sends what is not yet in the topic."""
        hook = WattlineHook()
        with self._under_way(hook):
            source, endpoint = hook.resolve(self.source), hook.resolve(self.endpoint)
            report = produce(source, endpoint, schema=self.schema, name=self.name, **self.options)
        log_lines(self.log, repr(report))
        summary = report.summary()
        record(context, self.outlets, summary)
        return summary


#: Arguments of ``wl.produce`` that need no field of their own.
OPTIONS = (
    *("mode", "timestamp", "codec", "create", "on_reject", "max_rejects", "on_repeated", "on_missing", "may_grow"),
    *("transaction", "progress_topic", "progress_timeout"),
)

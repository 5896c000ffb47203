"""``PipelineOperator`` and ``CheckOperator``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from ..errors import UsageError
from ..options import Aggregates, Data, OnConflict, OnDuplicate, OnLate, State
from ..pipeline import Pipeline
from ..reading import OnMissing, OnReject, OnRepeated, Path
from ..sink import Endpoint, Sink
from .assets import assets, record
from .hook import WattlineHook, definition
from .task import WattlineOperator, log_lines

__all__ = ["CheckOperator", "PipelineOperator"]

#: Options of a pipeline that have a field of their own; the others are in ``options``.
FIELDS = ("name", "source", "sinks", "schema", "grains", "tz")


class _OfPipeline(WattlineOperator):
    """What an operator is told of a pipeline: the arguments of ``wl.Pipeline``, or a ``.toml`` and what differs."""

    template_fields: Sequence[str] = ("toml", *FIELDS, "options")

    def __init__(
        self,
        *,
        name: str | None = None,
        source: Data = None,
        toml: Path | None = None,
        sinks: Sink | Endpoint | Sequence[Sink | Endpoint] | None = None,
        schema: Any = None,
        grains: str | Sequence[str] | None = None,
        tz: str | None = None,
        aggregates: Aggregates | None = None,
        time: str | None = None,
        sensor: str | Sequence[str] | None = None,
        measures: Sequence[str] | None = None,
        step: str | None = None,
        lateness: str | None = None,
        on_late: OnLate | None = None,
        correct_for: str | None = None,
        idle: str | None = None,
        ahead: str | None = None,
        on_duplicate: OnDuplicate | None = None,
        on_conflict: OnConflict | None = None,
        dedupe_for: str | None = None,
        on_repeated: OnRepeated | None = None,
        on_missing: OnMissing | None = None,
        on_reject: OnReject | None = None,
        max_rejects: int | None = None,
        chunk_bytes: int | None = None,
        waiting_rows: int | None = None,
        spill_dir: Path | None = None,
        max_line_bytes: int | None = None,
        flush_interval: str | None = None,
        flush_rows: int | None = None,
        take_over: bool | None = None,
        stream_name: str | None = None,
        may_grow: bool | None = None,
        state: State | None = None,
        group: str | None = None,
        instance: str | None = None,
        since: str | None = None,
        cut: str | None = None,
        dlq: str | bool | None = None,
        **kwargs: Any,
    ) -> None:
        told = {option: value for option, value in locals().items() if option not in NOT_OPTIONS}
        super().__init__(**kwargs)
        self.toml = toml
        self.name, self.source, self.sinks = name, source, sinks
        self.schema, self.grains, self.tz = schema, grains, tz
        self.options: dict[str, Any] = {option: told[option] for option in told if option not in FIELDS}

    def pipeline(self, hook: WattlineHook) -> Pipeline:
        """The pipeline of this task, with the connections that ``hook`` finds."""
        told = {**{field: getattr(self, field) for field in FIELDS}, **self.options}
        told = {**(definition(str(self.toml)) if self.toml else {}), **{k: v for k, v in told.items() if v is not None}}
        for field in ("name", "source"):
            if field not in told:
                raise UsageError(f"the operator has no {field}; give {field}= or a toml= that says it")
        for field in ("source", "sinks"):
            if field in told:
                told[field] = hook.resolve(told[field])
        return Pipeline(told.pop("name"), **told)


NOT_OPTIONS = ("self", "kwargs", "toml", "__class__")


class PipelineOperator(_OfPipeline):
    """Runs a pipeline to the end of its source and goes on in the next run where this one ended.

    The arguments are those of ``wl.Pipeline``; ``toml``: a file that says them, whose values the arguments replace.
    ``until``: ``"now"`` ends a topic at what there is; a time with its zone, say ``"{{ data_interval_end }}"``, also
    makes the windows final that end by then. Endpoints may be connections of Airflow, ``conn://ID/...``, see
    ``WattlineHook``. Inlets and outlets are, where not given, the Assets of source and sinks; the events' extra holds
    ``rows``, ``readings`` and ``pipeline``.

    A retry goes on at the newest decided flush, and takes the pipeline from the earlier try should that one hang.
    Errors that no retry can mend fail the task at once. Returns the report's summary, a small dictionary.
    """

    template_fields: Sequence[str] = (*_OfPipeline.template_fields, "until")
    ui_color = "#e2f2dd"

    def __init__(self, *, until: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("inlets", assets(kwargs.get("source")))
        kwargs.setdefault("outlets", assets(kwargs.get("sinks") or ()))
        super().__init__(**kwargs)
        self.until = until

    def execute(self, context: Any) -> dict[str, Any]:
        """Runs the pipeline."""
        hook = WattlineHook()
        if self.options["take_over"] is None and _tries(context) > 1:
            self.options["take_over"] = True
        with self._under_way(hook):
            report = self.pipeline(hook).run(until=_until(self.until))
        log_lines(self.log, repr(report))
        summary = report.summary()
        record(context, self.outlets, summary)
        return summary


def _until(until: Any) -> Any:
    """``now``, or a time, which a template writes with a space."""
    if not isinstance(until, str) or until == "now":
        return until
    try:
        return datetime.fromisoformat(until)
    except ValueError:
        raise UsageError(f"until={until!r} is no time; write now, or a time with its zone") from None


def _tries(context: Any) -> int:
    instance = context.get("ti")
    return int(instance.try_number) if instance is not None else 1


class CheckOperator(_OfPipeline):
    """Looks at everything a run would need, and fails where it would: source, columns, sinks, stored head.

    The arguments of ``PipelineOperator`` but ``until``. Nothing is written. Returns the findings.
    """

    ui_color = "#f5efd6"

    def execute(self, context: Any) -> dict[str, Any]:
        """Checks the pipeline."""
        hook = WattlineHook()
        with self._under_way(hook):
            findings = self.pipeline(hook).check()
        log_lines(self.log, repr(findings))
        wrong = [finding for finding in findings if finding.level == "error"]
        if wrong:
            more = f" (and {len(wrong) - 1} more, see the log)" if len(wrong) > 1 else ""
            raise AirflowException(f"{wrong[0].at}: {hook.of(wrong[0].message)}{more}")
        return {"ok": True, "findings": [finding._asdict() for finding in findings]}

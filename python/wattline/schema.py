"""``Schema`` and how it looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import display
from ._native import Schema

__all__ = ["Schema"]

Evidence = Sequence[tuple[str, str, str]]
_FACTS = ("type", "role", "measure", "unit", "digits", "min", "max", "wraps_at")


def columns(declared: str) -> dict[str, dict[str, Any]]:
    """Columns by name, with what is known of each."""
    return {
        column["name"]: {key: column[key] for key in _FACTS if column.get(key) is not None}
        for column in json.loads(declared)["columns"]
    }


def _says(declared: dict[str, Any], evidence: Evidence) -> list[tuple[str, str]]:
    """What the declaration says beside its columns, in a person's order."""
    said = [
        ("times", _times(declared, evidence)),
        ("sensor", declared.get("sensor_id")),
        ("step", _plain(declared.get("step"))),
        ("missing marks", ", ".join(declared.get("nulls") or [])),
    ]
    return [(key, str(value)) for key, value in said if value]


def _times(declared: dict[str, Any], evidence: Evidence) -> str:
    time = declared.get("time") or {}
    named = " + ".join(time.get("columns") or [])
    order = f", {time['order']}" if time.get("order") else ""
    zone = declared.get("tz") or _zone(named, evidence)
    return f"{named}{order}, {zone}, stamp = {declared.get('stamp', 'start')}" if named else ""


def _zone(named: str, evidence: Evidence) -> str:
    """What is known of the zone where none is declared: a sniffed file was looked at."""
    if not evidence:
        return "no zone declared: as in the times, else wall clock"
    found = [value for what, value, _ in evidence if what == "zone"]
    return f"zone {found[0]}" if found and named else "no zone: wall clock"


def _plain(step: Any) -> str:
    return step if isinstance(step, str) else json.dumps(step) if step else "unknown"


def _grid(declared: dict[str, Any]) -> tuple[list[str], list[list[str]], list[bool]]:
    rows = [
        [str(column.get(key) if column.get(key) is not None else "") for key in ("name", *_FACTS[:5])]
        for column in declared["columns"]
    ]
    return ["column", "type", "role", "kind", "unit", "digits"], rows, [False] * 6


def text(declared: str, evidence: Evidence, unknown: Sequence[str]) -> str:
    """The declaration, why it was proposed, and what the data cannot say."""
    schema = json.loads(declared)
    parts = [display.pairs_text(_title(schema), _says(schema, evidence)), display.grid(*_grid(schema))]
    if evidence:
        parts.append(display.pairs_text("found", ((what, f"{value}: {why}") for what, value, why in evidence)))
    if unknown:
        parts.append("\n".join(["not known", *(f"  {display.plain(line)}" for line in unknown)]))
    return "\n".join(parts)


def html(declared: str, evidence: Evidence, unknown: Sequence[str]) -> str:
    """The same for a notebook."""
    schema = json.loads(declared)
    parts = [display.html(*_grid(schema), _title(schema)), display.html(["", ""], _says(schema, evidence), [False] * 2)]
    if evidence:
        parts.append(display.html(["found", "", "why"], evidence, [False] * 3))
    if unknown:
        parts.append("<ul>" + "".join(f"<li>{display.escaped(line)}</li>" for line in unknown) + "</ul>")
    return "".join(parts)


def _title(schema: dict[str, Any]) -> str:
    return f"Schema {schema.get('name') or ''}".strip()

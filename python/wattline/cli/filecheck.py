"""``check`` of a file: in about ten lines what is wrong with it, and what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .._native import Schema
from ..display import plain
from ..errors import WattlineError
from ..page import words
from ..page.facts import Facts
from ..page.figures import Figures
from ..page.gather import gather, schema_of
from ..page.page import figured
from ..reading import read_csv
from ..state import Finding, Findings

#: Rejects beyond this end the look at a file.
MOST_REJECTS = 1_000_000
_COMMON = (("1min", 60), ("5min", 12), ("10min", 6), ("15min", 4), ("30min", 2), ("1h", 1))


def findings(sources: Sequence[str], options: Mapping[str, Any]) -> Findings:
    """What a look at the whole file finds: ``error`` where it cannot be read, ``warning`` where something is to do."""
    source = sources[0] if len(sources) == 1 else list(sources)
    try:
        schema = schema_of(source, options.get("schema"))
    except WattlineError as error:
        return Findings([Finding("error", "file", str(error)), *_todo(sources, str(error))])
    found = _layout(schema)
    told = json.loads(schema._json()) if schema else {}
    if schema is not None and not told.get("time", {}).get("columns") and not options.get("time"):
        return Findings([*found, *_timeless(sources, schema)])
    try:
        facts = gather(source, {}, {"max_rejects": MOST_REJECTS, "schema": schema, **options})
    except WattlineError as error:
        return Findings([*found, Finding("error", "file", str(error)), *_todo(sources, str(error))])
    return Findings([*found, *_counted(facts, sources, _holes(sources, schema, options))])


def _holes(sources: Sequence[str], schema: Schema | None, options: Mapping[str, Any]) -> list[tuple[int, int]] | None:
    """Where readings are missing, in the file's own step: start and slots; ``None`` where that cannot be told."""
    told = json.loads(schema._json()) if schema else {}
    step = options.get("step") or told.get("step")
    if schema is None or not isinstance(step, str) or {"time", "sensor", "measures"} & {*options}:
        return None
    reading = {name: options[name] for name in ("on_repeated", "on_missing") if name in options}
    table = read_csv(sources, schema=schema, on_reject="collect", max_rejects=MOST_REJECTS, **reading)
    of = {role: [c["name"] for c in told["columns"] if c["role"] == role] for role in ("sensor", "measure")}
    named = told["time"]["columns"]
    times = [n for n in (named if len(named) == 1 else ["time"]) if n in table.columns]
    if not times or told.get("melt"):
        return None
    sensors = [n for n in table.columns if n in (*of["sensor"], "sensor_id")]
    return table._holes((times[0], sensors, [n for n in of["measure"] if n in table.columns]), step)


def _timeless(sources: Sequence[str], schema: Schema) -> list[Finding]:
    """A file without a time: why no column is one, and how many rows it has."""
    why = [Finding("info", name, said) for name, said in _section(repr(schema), "found") if "neither number" in said]
    table = read_csv(sources, schema=schema, on_reject="collect", max_rejects=MOST_REJECTS)
    lost = 0 if table.rejects is None else len(table.rejects)
    counted = f"{words.several(len(table), 'row')}, {words.several(lost, 'reject')}"
    advice = "none, so there are no windows; mend the column, or say which it is:"
    command = f"{advice} wattline sniff {sources[0]} -o s.toml, edit it, wattline check {sources[0]} --schema s.toml"
    return [*why[:4], Finding("info", "records", counted), Finding("error", "times", command)]


def _todo(sources: Sequence[str], error: str) -> list[Finding]:
    if "read two ways" in error:
        command = f"wattline sniff {sources[0]} --order dmy -o s.toml, then wattline check {sources[0]} --schema s.toml"
        return [Finding("warning", "to do", command)]
    return []


def _layout(schema: Schema | None) -> list[Finding]:
    """What the declaration or the sniffing says: separator, times, zone, what it cannot know."""
    if schema is None:
        return []
    told, text = json.loads(schema._json()), repr(schema)
    listed = _section(text, "found")
    found = [
        Finding("info", name, said) for name, said in listed if name in ("delimiter", "packing", "schema", "dates")
    ]
    time = told.get("time", {})
    if time.get("columns"):
        parts = [" + ".join(time["columns"]), time.get("order") or "", f"step {told.get('step') or 'unknown'}"]
        found.append(
            Finding(
                "info", "times", ", ".join(part for part in (*parts, f"stamp {told.get('stamp') or 'start'}") if part)
            )
        )
    for _, said in _section(text, "not known"):
        found.append(Finding("warning", "not known", said))
    return found


def _section(text: str, name: str) -> list[tuple[str, str]]:
    """The lines under a heading of what a schema shows of itself."""
    lines = text.split("\n")
    if name not in lines:
        return []
    out = []
    for line in lines[lines.index(name) + 1 :]:
        if not line.startswith("  "):
            break
        head, _, said = line.strip().partition("  ")
        out.append((head, said.strip() or head))
    return out


def _counted(facts: Facts, sources: Sequence[str], holes: list[tuple[int, int]] | None) -> list[Finding]:
    figures = figured(facts)
    if not figures:
        return [Finding("warning", "records", "a header and no rows")]
    sensor, whole = figures[0]
    single = [s for s in facts.sensors if not s.summed]
    books: Mapping[str, Any] = facts.ledger or {}
    ends = f"{sensor.first:%Y-%m-%d %H:%M} to {sensor.last:%Y-%m-%d %H:%M}" if sensor.first and sensor.last else ""
    who = words.several(len(single), "sensor") if len(single) > 1 else f"sensor {single[0].name}"
    found = [Finding("info", "records", f"{books.get('records', 0):,} of {who}, {ends}")]
    found += [_energy(facts, whole), _gaps(whole, holes, facts.tz), _duplicates(books), _rejects(facts, sources)]
    found.append(Finding("info", "next", f"wattline report {plain(sources[0])} -o page.html"))
    return found


def _energy(facts: Facts, whole: Figures) -> Finding:
    if facts.main is None:
        return Finding("warning", "measures", "no number column is a measure")
    unit = facts.main.unit or "no unit"
    count = words.several(1 + len(facts.subs) + len(facts.others), "measure")
    named = f"{count}, first {facts.main.name} ({facts.main.kind}, {unit})"
    if whole.energy is None:
        return Finding("warning", "measures", f"{named}: its energy needs a kind (power, energy), a unit and a step")
    return Finding("info", "measures", f"{named}: {words.quantity(whole.energy, 'Wh')}")


def _gaps(whole: Figures, holes: list[tuple[int, int]] | None, tz: str) -> Finding:
    if whole.complete is None:
        return Finding("warning", "gaps", "not known without a step; say --step 1min (or 15min, 1h)")
    if not whole.missing:
        return Finding("info", "gaps", "none")
    share = words.percent(1 - whole.complete)
    said = f"{whole.missing:,} of {whole.expected:,} readings missing ({share}) in"
    per_slot = sum(gap.hours for gap in whole.gaps) / max(sum(gap.missing for gap in whole.gaps), 1)
    if holes and sum(slots for _, slots in holes) == whole.missing:
        first, slots = max(holes, key=lambda hole: (hole[1], -hole[0]))
        count, worst = words.several(len(holes), "gap"), f"{words.span(slots * per_slot)} from {_clock(first, tz)}"
    else:
        # Readings off the grid of their step, or a layout whose rows are not readings: by the windows they fall in.
        gap = whole.gaps[0]
        count = f"{words.several(len(whole.gaps), 'run')} of windows"
        worst = f"{words.span(gap.hours)} from {words.hour(gap.first)}"
    return Finding("warning", "gaps", f"{said} {count}; the worst {worst}")


def _clock(micros: int, tz: str) -> str:
    """An instant as the file's clock shows it."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    try:
        instant = instant.astimezone(ZoneInfo(tz))
    except ZoneInfoNotFoundError:
        return f"{words.hour(instant.isoformat())} UTC"
    return words.hour(instant.isoformat())


def _duplicates(books: Mapping[str, Any]) -> Finding:
    twice = max((grain["duplicate"] for grain in books.get("grains", {}).values()), default=0)
    conflicts = books.get("conflicts", 0)
    if not twice and not conflicts:
        return Finding("info", "twice", "no reading is there twice")
    equal = [f"{words.several(twice, 'equal reading')} {'count' if twice > 1 else 'counts'} once (--on-duplicate)"]
    other = [
        f"{conflicts:,} with other values {'are' if conflicts > 1 else 'is'} kept: choose --on-conflict first or last"
    ]
    return Finding("warning", "twice", "; ".join(equal * bool(twice) + other * bool(conflicts)))


def _rejects(facts: Facts, sources: Sequence[str]) -> Finding:
    if not facts.rejects.total:
        return Finding("info", "rejects", "none")
    rows = facts.rejects.rows
    first = f"; line {rows[0][1]}: {rows[0][6]}" if rows else ""
    columns = Counter(str(row[4]) for row in rows if row[4]).most_common(3)
    where = f" in {', '.join(name for name, _ in columns)}" if columns else ""
    command = f"wattline rejects {sources[0]} -o mend.csv"
    return Finding("error", "rejects", f"{facts.rejects.total:,}{where}{first}; export and mend them: {command}")

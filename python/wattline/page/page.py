"""The page: one HTML document that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from . import books, energies, others, sections, short, words
from .facts import Facts, Sensor
from .figures import Figures, figures
from .html import Html, joined, raw, table, tag

#: So many sensors are shown whole, those with the most energy; all stand in the table.
WHOLE = 12


def page(facts: Facts) -> str:
    """The document."""
    found = figured(facts)
    shown = _shown(found)
    body = [
        tag("header", tag("h1", facts.title), tag("p", _subtitle(facts, found), class_="subtitle")),
        _choice(shown) if len(shown) > 1 else None,
        *(_sensor(facts, place, sensor, of_it, len(shown) > 1) for place, (sensor, of_it) in enumerate(shown)),
        None if found else tag("p", "There is no reading here: the header has no rows, or none could be read."),
        _all_sensors(facts, found),
        tag("div", books.rejected(facts.rejects), books.ledger(facts.ledger), class_="sections"),
        books.about(facts),
    ]
    return "<!doctype html>\n" + document(facts.title, tag("main", *body))


def document(title: str, body: Html) -> Html:
    """Head, style and script around a body."""
    own = files(__package__)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", raw(own.joinpath("style.css").read_text("utf-8"))),
    )
    script = tag("script", raw(own.joinpath("script.js").read_text("utf-8")))
    return tag("html", head, tag("body", body, script), lang="en")


#: Nothing is loaded from anywhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def figured(facts: Facts) -> list[tuple[Sensor, Figures]]:
    """Every sensor with its figures; those of a sum come from its parts."""
    single = [(s, figures(s)) for s in facts.sensors if not s.summed]
    parts = [of_it for _, of_it in single]
    return [(s, figures(s, parts)) for s in facts.sensors if s.summed] + single


def _shown(found: Sequence[tuple[Sensor, Figures]]) -> list[tuple[Sensor, Figures]]:
    ranked = sorted(found, key=lambda pair: (not pair[0].summed, -(pair[1].energy or pair[1].mean or 0.0)))
    kept = {pair[0].name for pair in ranked[: WHOLE + 1]}
    return [pair for pair in found if pair[0].name in kept]


def _subtitle(facts: Facts, found: Sequence[tuple[Sensor, Figures]]) -> str:
    if not found:
        return facts.source
    sensor, of_it = found[0]
    who = f"{sensor.summed} sensors" if sensor.summed else sensor.name
    if of_it.energy is None:
        return f"{who}, {words.several(of_it.readings, 'reading')}"
    return f"{who}: {words.quantity(of_it.energy, 'Wh')} from {words.several(of_it.readings, 'reading')}"


def _choice(shown: Sequence[tuple[Sensor, Figures]]) -> Html:
    options = (tag("option", sensor.name, value=f"s{place}") for place, (sensor, _) in enumerate(shown))
    label = tag("label", "Sensor ", tag("select", *options, id="sensor"))
    return tag("nav", label, class_="choice", hidden=True, aria_label="Sensor")


def _sensor(facts: Facts, place: int, sensor: Sensor, found: Figures, many: bool) -> Html:
    parts = [
        *sections.load(facts, sensor),
        sections.base(facts, sensor, found),
        *energies.energy(sensor),
        energies.base_months(facts, sensor),
        energies.submeters(facts, sensor),
        sections.completeness(sensor, found),
        others.other_measures(facts, sensor),
    ]
    title = tag("h2", sensor.name) if many else tag("h2", "Overview", class_="quiet")
    inside = tag("div", *(p for p in parts if p is not None), class_="sections")
    told = short.in_short(facts, sensor, found)
    return tag("article", title, sections.head(facts, sensor, found), told, inside, id=f"s{place}", class_="sensor")


def _all_sensors(facts: Facts, found: Sequence[tuple[Sensor, Figures]]) -> Html | None:
    single = [(s, f) for s, f in found if not s.summed]
    if len(single) < 2:
        return None
    header = ["sensor", "energy, kWh", "complete", "missing", "highest hour", "base load", "worst gap"]
    rows = [_line(facts, sensor, of_it) for sensor, of_it in single]
    left = len(single) - WHOLE
    note = tag("p", f"Shown whole above: the {WHOLE} with the most energy.") if left > 0 else None
    return tag("section", tag("h2", "All sensors"), note, table("Every sensor", header, rows))


def _line(facts: Facts, sensor: Sensor, found: Figures) -> list[object]:
    energy = None if found.energy is None else found.energy / 1000
    peak = words.quantity(found.peak[1], facts.unit) if found.peak else None
    worst = words.span(found.gaps[0].hours) if found.gaps else "none"
    base = words.quantity(found.base, facts.unit)
    missing = None if found.missing is None else f"{found.missing:,}"
    return [sensor.name, words.number(energy, 3), words.percent(found.complete), missing, peak, base, worst]


__all__ = ["document", "figured", "joined", "page"]

"""What is the same for all sensors: what was rejected and why, the ledger, how the page was made."""

from __future__ import annotations

import re
from collections import Counter

from .. import __version__
from ..ledger import Ledger
from . import words
from .facts import Facts, Rejects
from .figures import BASE_SHARE, now
from .html import Html, details, table, tag
from .sections import section

#: Rejects that are listed one by one, and how much of each record.
LISTED = 50
RAW = 120


def rejected(rejects: Rejects) -> Html | None:
    """Records that could not be read: how many, why, and the first of them."""
    if not rejects.known:
        return section("Rejected records", tag("p", "Not known: the ledger is in another store."), wide=True)
    if not rejects.total:
        return section("Rejected records", tag("p", "None: every record could be read."), wide=True)
    rows = [list(row[:7]) for row in rejects.rows]
    reasons = Counter(_reason(str(row[6])) for row in rows)
    said = tag("p", f"{words.several(rejects.total, 'record')} could not be read and stand in no window. ", _advice())
    why = table(
        "Why", ["reason", "records"], [[reason, f"{n:,}"] for reason, n in reasons.most_common(12)], class_="wrap"
    )
    header = ["file", "line", "column", "record", "reason"]
    listed = table(
        f"The first {min(len(rows), LISTED)}", header, [_short(row) for row in rows[:LISTED]], left=5, class_="wrap"
    )
    inside = (why, details(f"The first {min(len(rows), LISTED)} of {rejects.total:,}", listed)) if rows else ()
    return section("Rejected records", said, *inside, wide=True)


def _advice() -> Html:
    command = tag("code", "wattline rejects FILE -o mend.csv")
    return tag("span", "Export them with ", command, ", mend the column raw, and commit them beside the file.")


def _reason(text: str) -> str:
    """A reason without the text of the one record, so that equal ones are counted together."""
    return re.sub(r"\d+", "N", re.sub(r"\"[^\"]*\"|'[^']*'", "…", text))


def _short(row: list[object]) -> list[object]:
    file, line, _, _, column, raw, reason = row
    text = str(raw or "")
    return [file, line, column, tag("code", text if len(text) <= RAW else text[:RAW] + "…"), reason]


def ledger(books: Ledger | None) -> Html | None:
    """The equations, and the counts by grain."""
    if books is None:
        return section(
            "Ledger", tag("p", "The ledger is kept in the pipeline's home, which is another store."), wide=True
        )
    pairs = table(
        "What was read", ["count", "equation"], [[n, v] for n, v in books._equations()], left=2, class_="wrap"
    )
    names, rows, _ = books._rows()
    said = tag("p", "Every reading is in exactly one of these columns, for each grain; the books balance.")
    return section("Ledger", said, pairs, table("Readings by grain", names, rows), wide=True)


def about(facts: Facts) -> Html:
    """Where the numbers come from."""
    zone = f"Times are local in {facts.tz}." if facts.tz != "UTC" else "Times are in UTC, or as the file has them."
    main = f"The load is the measure {facts.main.name} ({facts.main.kind})." if facts.main else "There is no measure."
    lines = [
        f"Made from {facts.source} on {now():%Y-%m-%d %H:%M} UTC by wattline {__version__}.",
        f"{main} {zone} A month's bar counts the readings that are there; nothing is filled in.",
        f"Base load: the level that hours reach in {words.percent(BASE_SHARE)} of the time. Complete: of the readings "
        "due between the first and the last, those with a value; months and quarters count their whole calendar time.",
        *facts.notes,
    ]
    return tag("footer", tag("h2", "How this page was made"), *(tag("p", text) for text in lines))

"""How things look: text for terminals, HTML for notebooks. Every text from data is escaped here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

Cell = str | None
#: Rows, then name, type, unit and nulls of each column, then the first rows as text.
Head = tuple[int, Sequence[tuple[tuple[str, str, str | None], int]], Sequence[Sequence[Cell]]]

#: A cell shows this many characters.
WIDTH = 40
#: A line of a text table shows this many characters before columns are left out; fewer where a terminal is narrower.
LINE = 160
#: Of windows these columns are left out first, so that measures are seen.
PARTICULARS = (
    *("window_start", "window_end", "expected", "duplicates", "estimated"),
    *("first_reading", "last_reading", "revision", "final"),
)


def _line() -> int:
    return min(LINE, shutil.get_terminal_size().columns) if sys.stdout.isatty() else LINE


def plain(text: str) -> str:
    """The text without anything a terminal would obey: control characters become visible escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escaped(text: str) -> str:
    """The text as HTML shows it, markup and control characters included."""
    shown = plain(text)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        shown = shown.replace(sign, entity)
    return shown


def _short(text: str) -> str:
    shown = plain(text[: WIDTH + 1])
    return shown if len(shown) <= WIDTH else shown[: WIDTH - 1] + "…"


def _cell(cell: Cell, full: bool) -> str:
    if cell is None:
        return "–"
    return plain(cell) if full else _short(cell)


def grid(header: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[bool], *, full: bool = False) -> str:
    """Aligned columns; long cells are cut and columns beyond a line counted at its end, unless ``full``."""
    table = [[_cell(c, full) for c in header], *([_cell(c, full) for c in row] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    shown = list(range(len(widths))) if full else _fitting(header, widths)
    more = f"  … {len(widths) - len(shown)} more" if len(shown) < len(widths) else ""
    lines = ("  ".join(_pad(row[i], widths[i], right[i]) for i in shown).rstrip() for row in table)
    return "\n".join(text + (more if n == 0 else "") for n, text in enumerate(lines))


def _fitting(header: Sequence[str], widths: Sequence[int]) -> list[int]:
    """The columns that a line has room for: the first ones, of windows the measures before their particulars."""
    line = _line()
    every = range(len(widths))
    if sum(widths) + 2 * len(widths) <= line:
        return list(every)
    later = [i for i in every if header[i] in PARTICULARS] if {"window_label", *PARTICULARS} <= {*header} else []
    shown: list[int] = []
    for i in [*(i for i in every if i not in later), *later]:
        used = sum(widths[k] + 2 for k in shown)
        if shown and used + widths[i] + 2 > line:
            break
        shown.append(i)
    return sorted(shown)


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def html(header: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[bool], caption: str = "") -> str:
    """The same as an HTML table."""

    def line(tag: str, cells: Sequence[Cell]) -> str:
        sides = ("right" if r else "left" for r in right)
        inner = (
            f'<{tag} style="text-align:{side}">{"" if c is None else escaped(c[:200])}</{tag}>'
            for side, c in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"

    head = "".join(f"<caption>{escaped(caption)}</caption>" if caption else "")
    body = "".join(line("td", row) for row in rows)
    return f"<table>{head}<thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"


def _heads(head: Head) -> tuple[list[str], list[Sequence[Cell]], list[bool]]:
    """Names; types with units, and nulls where there are any; which columns are numbers."""
    names = [fact[0] for fact, _ in head[1]]
    lines: list[Sequence[Cell]] = [[f"{kind} {unit}" if unit else kind for (_, kind, unit), _ in head[1]]]
    if any(nulls for _, nulls in head[1]):
        lines.append([f"{nulls:,} null" if nulls else "" for _, nulls in head[1]])
    return names, lines, [fact[1] in ("integer", "float") for fact, _ in head[1]]


def _size(head: Head) -> str:
    rows, columns = head[0], len(head[1])
    return f"{rows:,} row{'' if rows == 1 else 's'} × {columns} column{'' if columns == 1 else 's'}"


def table_text(head: Head) -> str:
    """A preview: names, types with units and null counts, the first rows."""
    names, facts, right = _heads(head)
    more = "\n…" if head[0] > len(head[2]) else ""
    return f"{_size(head)}\n{grid(names, [*facts, *head[2]], right)}{more}"


def table_html(head: Head) -> str:
    """The same for a notebook."""
    names, facts, right = _heads(head)
    more: list[Sequence[Cell]] = [["…"] * len(names)] if head[0] > len(head[2]) else []
    return html(names, [*facts, *head[2], *more], right, _size(head))


def pairs_text(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """A title and indented lines of name and value."""
    listed = [(plain(name), plain(str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    return "\n".join([plain(title), *(f"  {name.ljust(width)}  {value}" for name, value in listed)])


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def plain_lines(text: str) -> str:
    """Several lines, each without anything a terminal would obey."""
    return "\n".join(plain(line) for line in text.rstrip("\n").split("\n"))

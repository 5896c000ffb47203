"""HTML whose texts are escaped by construction: only what ``tag`` made goes in as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..display import escaped

#: What may stand inside a tag.
Inside = object

_VOID = ("meta", "path", "rect", "line", "image", "col")


class Html(str):
    """Markup of our own; any other text is escaped where it is put into a tag."""

    __slots__ = ()


def text(inside: Inside) -> Html:
    """A text as HTML shows it; markup of our own as it stands; nothing for ``None``."""
    if isinstance(inside, Html):
        return inside
    if isinstance(inside, (list, tuple)):
        return joined(inside)
    return Html("" if inside is None else escaped(str(inside)))


def joined(parts: Iterable[Inside]) -> Html:
    """Several, one after the other."""
    return Html("".join(text(part) for part in parts))


def _attribute(name: str, value: object) -> str:
    plain = name.rstrip("_").replace("_", "-")
    return f" {plain}" if value is True else f' {plain}="{escaped(str(value))}"'


def tag(name: str, /, *inside: Inside, **attributes: object) -> Html:
    """An element; ``class_`` is written ``class``, ``data_x`` is ``data-x``; attributes that are ``None`` are not."""
    told = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    if name in _VOID:
        return Html(f"<{name}{told}/>")
    return Html(f"<{name}{told}>{joined(inside)}</{name}>")


def raw(ours: str) -> Html:
    """Text of the package's own files (style, script): never text from data."""
    return Html(ours)


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1, class_: str = "numbers"
) -> Html:
    """Exact numbers: the first ``left`` columns are texts, the others numbers, right-aligned."""
    head = tag("tr", *(tag("th", name, scope="col", class_=_side(i, left)) for i, name in enumerate(header)))
    body = (tag("tr", *(_cell(cell, i, left) for i, cell in enumerate(row))) for row in rows)
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body), class_=class_)
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _side(place: int, left: int) -> str | None:
    return None if place < left else "n"


def _cell(cell: object, place: int, left: int) -> Html:
    if place == 0 and left:
        return tag("th", cell, scope="row")
    return tag("td", "–" if cell is None else cell, class_=_side(place, left))


def details(summary: str, *inside: Inside) -> Html:
    """What opens on a click."""
    return tag("details", tag("summary", summary), *inside)

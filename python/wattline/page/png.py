"""A picture of few colours as a PNG in a ``data:`` address, so that a cell costs a byte or less."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

Colour = tuple[int, int, int]

#: Dark to bright, alike in light and dark surroundings and without colours; the ends and what lies between.
_ANCHORS: Sequence[Colour] = ((46, 16, 101), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
#: Colours beside the transparent one.
LEVELS = 64


def ramp(share: float) -> Colour:
    """The colour for a share of one."""
    at = min(max(share, 0.0), 1.0) * (len(_ANCHORS) - 1)
    low = min(int(at), len(_ANCHORS) - 2)
    part = at - low
    return tuple(round(a + (b - a) * part) for a, b in zip(_ANCHORS[low], _ANCHORS[low + 1], strict=True))  # type: ignore[return-value]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def address(rows: Sequence[Sequence[float | None]]) -> str:
    """Rows of shares of one, ``None`` transparent, as the address of a PNG, a pixel a cell."""
    palette = bytes(3) + b"".join(bytes(ramp(i / (LEVELS - 1))) for i in range(LEVELS))
    lines = b"".join(b"\0" + bytes(0 if v is None else 1 + round(v * (LEVELS - 1)) for v in row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    made = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)
    return "data:image/png;base64," + base64.b64encode(made).decode()

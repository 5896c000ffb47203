"""What a person does to a stored pipeline: move its offsets, drop its state, share its sensors out, write it out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from . import _native
from .errors import UsageError
from .reading import Path

__all__ = ["exported", "repaired"]


def repaired(spec: str, what: Any, yes: bool | str) -> list[str]:
    """Carries a repair out if it is confirmed: ``yes`` is true, or the pipeline's name."""
    name = json.loads(spec)["name"]
    if yes is not True and yes != name:
        raise UsageError(
            f"this changes what the home of {name!r} holds and cannot be taken back; say yes=True, or yes={name!r}"
        )
    if isinstance(what, Mapping):
        what = {key: {str(place): at for place, at in places.items()} for key, places in what.items()}
    return _native.repair(spec, json.dumps(what))


def exported(spec: str, path: Path) -> None:
    """Writes heads, positions, last readings and open windows as one JSON file."""
    _native.export_state(spec, os.fspath(path))

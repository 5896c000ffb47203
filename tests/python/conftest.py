"""What the tests share: where the real readings are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("WATTLINE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real readings, beside the checkout."""
    folder = SHARED / "data"
    assert folder.is_dir(), f"{folder} is not there; set WATTLINE_SHARED to the folder that holds data/"
    return folder

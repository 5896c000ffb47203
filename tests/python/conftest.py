"""What the tests share: where the real data are, small files, a household in the UCI layout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wattline as wl
from wattline.source import write_uci

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("WATTLINE_SHARED", ROOT.parent / "shared"))


def python(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def shell(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs the command ``wattline``."""
    command = [sys.executable, "-m", "wattline.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real readings, beside the checkout."""
    folder = SHARED / "data"
    assert folder.is_dir(), f"{folder} is not there; set WATTLINE_SHARED to the folder that holds data/"
    return folder


@pytest.fixture(scope="session")
def uci(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated weeks in the UCI layout."""
    path = tmp_path_factory.mktemp("data") / "household.txt"
    write_uci(path, rows=40_000, seed=3)
    return path


@pytest.fixture
def household(uci: Path) -> wl.Table:
    return wl.read_csv(uci, schema="household")


@pytest.fixture
def write(tmp_path: Path):
    """Writes a text file and gives its path."""

    def make(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make

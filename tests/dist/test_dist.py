"""What a release puts online: looked into, audited, and installed where there is no Rust."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"


def only(pattern: str) -> Path:
    found = list(DIST.glob(pattern))
    assert len(found) == 1, f"{pattern} in dist/: {found}; run `make dist`"
    return found[0]


@pytest.fixture(scope="module")
def wheel() -> Path:
    return only("wattline-*.whl")


def test_one_wheel_is_for_every_python_from_3_11_on(wheel: Path) -> None:
    tag = "macosx_" if sys.platform == "darwin" else "manylinux_2_"
    assert f"-cp311-abi3-{tag}" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        about = message_from_bytes(packed.read(next(n for n in packed.namelist() if n.endswith("/METADATA"))))
    assert about["Requires-Python"] == ">=3.11"
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)
    assert version and about["Version"] == version[1]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    source = {str(p.relative_to(ROOT / "python")) for p in (ROOT / "python/wattline").rglob("*") if p.is_file()}
    due = {name for name in source if "__pycache__" not in name and not name.endswith(".so")}
    held = {name for name in names if not re.match(r"wattline-[^/]*\.dist-info/", name)}
    assert held == due | {"wattline/_native.abi3.so"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert any(name.endswith("/entry_points.txt") for name in names)


@pytest.mark.parametrize("name", ["Cargo.lock", "src/lib.rs", "presets/household.toml", "python/wattline/py.typed"])
def test_the_sdist_holds_what_a_build_needs(name: str) -> None:
    with tarfile.open(only("wattline-*.tar.gz")) as packed:
        names = packed.getnames()
    assert any(held.split("/", 1)[1:] == [name] for held in names)
    assert not [held for held in names if re.search(r"/(target|\.venv|\.services|out)/", held)]


if sys.platform == "linux":

    def test_auditwheel_finds_only_libraries_that_every_linux_has(wheel: Path) -> None:
        tool = [sys.executable, "-m", "auditwheel", "show", wheel]
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told = " ".join(done.stdout.split())
        # A library that is not on every Linux, libpython among them, makes it plain `linux_...`.
        assert re.search(r'is consistent with the following platform tag: "manylinux_2_\d+_\w+"', told), told
        assert "libpython" not in told, told


def test_a_clean_environment_installs_the_wheel_and_runs_the_first_example(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    # No compiler and no cargo are found there, and pip may not build anything.
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CARGO", "RUST"))}
    alone["PATH"] = str(place / "bin")

    def run(*command: object) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(place / "bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", f"{wheel}[polars]")
    first = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert first is not None
    assert "Report of demo: done" in run(place / "bin/python", "-c", first[1])
    assert (tmp_path / "out.db").exists()
    assert "wattline" in run(place / "bin/wattline", "--version")

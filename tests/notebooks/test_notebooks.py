"""Every notebook runs from top to bottom, and shows what was committed."""

import re
from pathlib import Path

import nbformat
import pytest

from tests.docs.page import same
from tests.notebooks.book import ROOT, clean, run, texts
from tests.services import Kafka

BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert [path.name[:2] for path in BOOKS] == ["01", "02", "03", "04", "05", "06"]


@EACH
def test_it_is_short_small_and_clean(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert 5 < len(book.cells) < 25
    assert path.stat().st_size < 500_000
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs), "no picture"
    text = path.read_text()
    assert not re.search(r'"(error|stderr)"|/(home|root|tmp|work)/', text)
    assert not re.search(r"wattline\._|from wattline\.", text), "the public package only"


@EACH
def test_it_runs_and_shows_what_was_committed(
    path: Path, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA", kafka.bootstrap)
    for name in ("http_proxy", "https_proxy"):  # nothing leaves this machine
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    made = dict(texts(clean(run(path, tmp_path))))
    for number, due in texts(nbformat.read(path, as_version=4)):
        assert same(due, made[number]), f"cell {number} shows:\n{made[number]}\nthe notebook has:\n{due}"

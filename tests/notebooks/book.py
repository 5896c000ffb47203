"""Runs notebooks and keeps what they show small: ``python -m tests.notebooks.book notebooks/01-first-look.ipynb``.

The notebook is run in a folder of its own and written back with its outputs; ``make notebooks`` does it for all.
"""

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
#: A picture with more colours is no drawing of lines and bars.
MANY = 2_000
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def run(path: Path, folder: Path) -> NotebookNode:
    """The notebook after a run in ``folder``; raises where a cell does."""
    book = nbformat.read(path, as_version=4)
    book.metadata = nbformat.from_dict(METADATA)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
    client = NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    # Its heartbeat is not needed here, and one that is sent to a kernel that has just ended waits for ever.
    client.on_notebook_start = lambda notebook: client.kc.hb_channel.pause()
    client.execute(env=environment)
    return book


def clean(book: NotebookNode) -> NotebookNode:
    """Without what differs from run to run and says nothing."""
    for number, cell in enumerate(book.cells, 1):
        cell.id = f"cell-{number:02}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "code":
            cell.outputs = [_small(output) for output in cell.outputs]
    book.nbformat_minor = 5
    return book


def _small(output: NotebookNode) -> NotebookNode:
    """A picture without its text, a table without the classes that only its author's page knows."""
    output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
    data = output.get("data", {})
    if "image/png" in data:
        output.data = {"image/png": _fewer_colours(data["image/png"])}
    return output


def _fewer_colours(picture: str) -> str:
    """A chart has few colours: with a palette it takes a third of the room. A heat map keeps its own."""
    made, image = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    if image.getcolors(MANY) is not None:
        image = image.quantize(256, dither=Image.Dither.NONE)
    image.save(made, "PNG", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def texts(book: NotebookNode) -> Iterator[tuple[int, str]]:
    """What each cell shows as text, timings left out: their cells are tagged ``timing``."""
    for number, cell in enumerate(book.cells, 1):
        if cell.cell_type == "code" and "timing" not in cell.metadata.get("tags", []):
            yield number, re.sub(r"<[\w.]+ (object )?at 0x\w+>", "", "".join(map(_text, cell.outputs)))


def _text(output: NotebookNode) -> str:
    """What is printed comes in pieces that differ from run to run; what is shown stands on lines of its own."""
    if output.output_type == "stream":
        return str(output.text)
    return f"\n{output.get('data', {}).get('text/plain', '')}\n"


def main() -> None:
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            book = clean(run(Path(name), Path(folder)))
        nbformat.write(book, name)
        print(f"{name}: {Path(name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""Importing costs nothing: no heavy module, no thread."""

from conftest import python

HEAVY = ["pyarrow", "pandas", "polars", "numpy", "typer", "click", "rich", "tqdm", "asyncio", "multiprocessing"]


def test_import_loads_nothing_heavy_and_starts_no_thread() -> None:
    done = python(
        "import sys, os\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "import wattline\n"
        "print(before, len(os.listdir('/proc/self/task')))\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    threads, heavy = done.stdout.splitlines()
    assert threads == "1 1"
    assert heavy == "[]"


def test_everything_named_is_there() -> None:
    import wattline

    assert all(hasattr(wattline, name) for name in wattline.__all__)
    assert sorted(wattline.__all__) == wattline.__all__

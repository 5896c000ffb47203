"""What Airflow adds: the time to parse each example DAG, and a task of ``PipelineOperator`` beside the bare call.

Each figure is taken in a process forked from one that has Airflow in memory, as its DAG processor and its workers are.
"""

import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HOME = tempfile.TemporaryDirectory(prefix="wattline-airflow-")
os.environ |= {
    "AIRFLOW_HOME": HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}
ROUNDS = int(os.environ.get("ROUNDS", "9"))

from airflow.providers.common.compat.sdk import DAG, Asset, BaseOperator, BaseSensorOperator, task  # noqa: E402

try:
    from airflow.dag_processing.dagbag import DagBag  # 3.x
except ImportError:
    from airflow.models.dagbag import DagBag  # 2.x

#: What Airflow's own processes hold when they come to a DAG file.
LOADED = (DAG, Asset, BaseOperator, BaseSensorOperator, task)
FORK = multiprocessing.get_context("fork")


def measured(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes in a process of its own."""
    ours, theirs = FORK.Pipe(duplex=False)

    def child() -> None:
        began = time.perf_counter()
        work()
        theirs.send(time.perf_counter() - began)

    process = FORK.Process(target=child)
    process.start()
    process.join()
    return ours.recv()


def median(work: Callable[[], object]) -> float:
    return statistics.median(measured(work) for _ in range(ROUNDS))


def parse(path: Path) -> None:
    bag = DagBag(str(path))
    assert not bag.import_errors, bag.import_errors


def empty(folder: Path) -> Path:
    """A DAG of Airflow alone, for comparison."""
    path = folder / "empty_dag.py"
    path.write_text(
        "from airflow.providers.common.compat.sdk import DAG, task\n"
        "with DAG('empty', schedule=None):\n    task(lambda: 1, task_id='one')()\n"
    )
    return path


def bare(source: Path, home: Path) -> None:
    import wattline as wl

    wl.Pipeline("bench", source=source, grains=["1h"], sinks=home).run()


def operator(source: Path, home: Path) -> None:
    from wattline.airflow import PipelineOperator

    PipelineOperator(task_id="t", name="bench", source=str(source), grains=["1h"], sinks=str(home)).execute({})


def round_of(readings: Path, folder: Path) -> tuple[float, float]:
    """Both ways once, each into a file of its own."""
    folder.mkdir()
    first = measured(lambda: bare(readings, folder / "a.db"))
    return first, measured(lambda: operator(readings, folder / "b.db"))


def main() -> None:
    import airflow

    folder = Path(HOME.name)
    print(f"Airflow {airflow.__version__}, {platform.machine()}, {os.cpu_count()} cores, median of {ROUNDS}, ms")
    measured(lambda: parse(empty(folder)))
    print(f"parse: an empty DAG {1000 * median(lambda: parse(empty(folder))):.0f}")
    for path in sorted(dags().glob("*_dag.py")):
        print(f"parse: {path.name} {1000 * median(lambda path=path: parse(path)):.0f}")
    readings = folder / "readings.csv"
    measured(lambda: write(readings))
    pairs = [round_of(readings, folder / str(n)) for n in range(ROUNDS)]
    alone, task = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"run: bare {1000 * alone:.0f}, operator {1000 * task:.0f}, difference {1000 * (task - alone):.0f}")


def dags() -> Path:
    """The example DAGs of the installed package."""
    from importlib.util import find_spec

    found = find_spec("wattline")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "airflow" / "example_dags"


def write(path: Path) -> None:
    import wattline as wl

    wl.simulate(sensors=1, start="2026-01-01", end="2026-02-01").write(path)


if __name__ == "__main__":
    main()

"""Threads share everything; a used parent forks and the child works; the GIL is let go."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

import wattline as wl
from conftest import python


def quarters(path: object) -> list[float]:
    made = wl.windows(wl.read_csv(path, schema="household"), ["1d"])
    return pa.table(made["1d"])["global_active_power_energy_wh"].to_pylist()


def test_many_threads_give_the_same(uci) -> None:
    due = quarters(uci)
    with ThreadPoolExecutor(8) as pool:
        assert all(held == due for held in pool.map(quarters, [uci] * 16))


def test_a_table_is_shared_by_threads(household) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: len(wl.windows(household, ["1h"])["1h"]), range(16)))
    assert len(set(made)) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_used_parent_forks_and_the_child_works(uci) -> None:
    due = quarters(uci)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.apply_async(quarters, (uci,)).get(timeout=60) == due
    assert quarters(uci) == due


def test_a_pipeline_runs_in_a_forked_child(uci, tmp_path) -> None:
    code = (
        "import os, sys, wattline as wl\n"
        "path, store = sys.argv[1:]\n"
        "wl.windows(path, ['1d'], schema='household')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    made = wl.Pipeline('home', source=path, schema='household', grains=['1d'], sinks=store)\n"
        "    os._exit(0 if made.run().ledger['readings'] == 40_000 else 1)\n"
        "print(os.waitpid(child, 0)[1])\n"
    )
    done = python(code, uci, tmp_path / "o.db")
    assert done.stdout.strip() == "0", done.stderr


def test_a_reader_is_refused_in_a_child(uci) -> None:
    reader = wl.scan_csv(uci, schema="household")
    child = os.fork()
    if child == 0:
        try:
            list(reader)
        except wl.UsageError as error:
            os._exit(0 if "another process" in str(error) else 2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_other_threads_run_while_one_waits() -> None:
    """A read of a pipe waits until this very interpreter has written into it: with the GIL held it never would."""
    read, write = os.pipe()
    saved = os.dup(0)
    os.dup2(read, 0)
    os.close(read)

    def feed() -> None:
        with os.fdopen(write, "w") as out:
            out.write("n,word\n")
            out.flush()
            out.write("1,x\n2,y\n")

    try:
        threading.Timer(0.3, feed).start()
        assert len(wl.read_csv("-")) == 2
    finally:
        os.dup2(saved, 0)
        os.close(saved)

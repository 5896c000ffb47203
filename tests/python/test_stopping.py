"""Ctrl-C, SIGTERM and stop() end a run at a decided flush and raise; what was decided stays."""

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import psycopg
import pytest

import wattline as wl
from conftest import python
from tests.services import Postgres

LIVE = "sim://?sensors=2&start=2026-01-01&rate=20000x"

RUN = """
import sys, wattline as wl, signal
made = wl.Pipeline("live", source={source!r}, grains=["1h"], sinks=sys.argv[1], flush_interval="50ms")
{before}
print("ready", flush=True)
try:
    made.run()
except wl.Interrupted as error:
    assert isinstance(error, KeyboardInterrupt)
    after = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    print("interrupted", error.report.outcome, error.report.flushes > 0, after)
"""


def started(store: object, before: str = "") -> subprocess.Popen[str]:
    code = RUN.format(source=LIVE, before=before)
    run = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    return run


def wait_for_a_flush(store: object) -> None:
    made = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=store)
    for _ in range(200):
        try:
            if (made.state()["head"] or {}).get("n", 0) >= 2:
                return
        except wl.WattlineError:
            pass
        time.sleep(0.05)
    raise AssertionError("no flush was decided")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_at_a_decided_flush(tmp_path, number: signal.Signals) -> None:
    store = tmp_path / "live.db"
    run = started(store)
    wait_for_a_flush(store)
    run.send_signal(number)
    out, _ = run.communicate(timeout=30)
    assert run.returncode == 0
    assert out.startswith("interrupted interrupted True True"), out
    held = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=store).state()
    assert held.ledger["readings"] > 0


def test_an_earlier_handler_is_called_and_comes_back(tmp_path) -> None:
    store = tmp_path / "live.db"
    run = started(store, "def mine(number, frame): print('mine', flush=True)\nsignal.signal(signal.SIGTERM, mine)")
    wait_for_a_flush(store)
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=30)
    first, second = out.splitlines()
    assert first == "mine"
    assert second == "interrupted interrupted True False"


def test_stop_from_another_thread(tmp_path) -> None:
    made = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=tmp_path / "live.db", flush_interval="50ms")
    timer = threading.Timer(0.7, made.stop)
    timer.start()
    with pytest.raises(wl.Interrupted) as caught:
        made.run()
    timer.join()
    assert caught.value.report is not None
    assert caught.value.report.outcome == "interrupted"
    # A stopped run goes on where it was.
    before = made.state()["head"]["n"]
    threading.Timer(0.7, made.stop).start()
    with pytest.raises(wl.Interrupted):
        made.run()
    assert made.state()["head"]["n"] > before


def test_a_run_in_a_thread_leaves_signals_alone(tmp_path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=tmp_path / "live.db", flush_interval="50ms")
    caught: list[BaseException] = []

    def work() -> None:
        try:
            made.run()
        except wl.Interrupted as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    assert signal.getsignal(signal.SIGTERM) is before
    made.stop()
    thread.join(20)
    assert not thread.is_alive() and len(caught) == 1


def test_two_at_once_one_is_fenced(tmp_path) -> None:
    store = tmp_path / "live.db"
    run = started(store)
    wait_for_a_flush(store)
    try:
        with pytest.raises(wl.Fenced, match="owned by"):
            wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=store).run()
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=30)


def test_ctrl_c_while_reading_a_pipe_that_stays_silent() -> None:
    code = (
        "import os, sys, signal, threading, wattline as wl\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    wl.read_csv('-')\n"
        "except KeyboardInterrupt:\n    print('stopped', flush=True); os._exit(0)\n"
    )
    silent = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE)
    try:
        done = python(code, stdin=silent.stdout)
    finally:
        silent.kill()
        silent.communicate()
    assert done.stdout == "stopped\n", done.stderr


@pytest.mark.parametrize("source", [LIVE, "sim://?sensors=2&start=2026-01-01&end=2026-07-01"])
def test_stopped_anywhere_the_books_of_the_stops_add_up(tmp_path, source: str) -> None:
    """Stopped again and again at odd moments: never an error, and nothing counted twice."""
    made = wl.Pipeline(
        "odd", source=source, grains=["1h"], sinks=tmp_path / "odd.db", flush_interval="20ms", flush_rows=500
    )
    counted = 0
    for i in range(1, 9):
        over = threading.Event()

        def stop(after: float = 0.02 * i, over: threading.Event = over) -> None:
            # A stop before the run has begun stops nothing: it is asked for until the run is over.
            while not over.wait(after):
                made.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        try:
            report = made.run()
        except wl.Interrupted as error:
            assert error.report is not None
            report = error.report
        finally:
            over.set()
            stopper.join()
        counted += report.ledger["readings"]
        assert report.totals["readings"] == counted


READ = """
import signal, sys, time, wattline as wl
signal.setitimer(signal.ITIMER_REAL, 0.12)
signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    wl.read_csv([sys.argv[1]] * 400, schema="household", threads=1)
except KeyboardInterrupt:
    time.sleep(0.5)
    before = time.process_time()
    time.sleep(0.5)
    print("stopped", time.process_time() - before < 0.2)
"""


def test_ctrl_c_ends_the_work_of_a_read(uci) -> None:
    done = python(READ, uci)
    assert done.stdout == "stopped True\n", done


def test_a_failed_run_says_what_it_had_done(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("at,v\n2026-01-01 00:00,1\n2026-01-01 00:30,x\n")
    made = wl.Pipeline("p", source=path, schema=_schema(), grains="1h", sinks=tmp_path / "out.db")
    for run in (lambda: made.run(progress=False), lambda: list(made.follow())):
        with pytest.raises(wl.RejectLimit) as caught:
            run()
        assert caught.value.report is not None
        assert (caught.value.report.pipeline, caught.value.report.outcome) == ("p", "failed")
    with pytest.raises(wl.RejectLimit) as caught:
        wl.windows(path, "1h", schema=_schema())
    assert caught.value.report is not None


def _schema() -> wl.Schema:
    return wl.Schema(
        columns=[
            {"name": "at", "type": "timestamp", "role": "time"},
            {"name": "v", "type": "float", "role": "measure", "measure": "gauge"},
        ],
        tz="UTC",
        sensor_id="m",
    )


FROZEN = """
import os, signal, sys, time, wattline as wl
sinks = [sys.argv[1], wl.Postgres("127.0.0.1", schema="mine", retry_for=60, **eval(sys.argv[2]))]
made = wl.Pipeline("live", source={source!r}, grains=["1h"], sinks=sinks, flush_interval="3s")
print("ready", flush=True)
try:
    made.run(progress=False)
except wl.Interrupted as error:
    print("interrupted", error.report.outcome, flush=True)
"""


def test_a_stop_waits_for_no_store_that_hangs(postgres: Postgres, tmp_path) -> None:
    """What a frozen follower has not taken is left for the next run, which applies it."""
    store, link = tmp_path / "live.db", {"port": postgres.port, "dbname": "wattline"}
    link |= {"user": "wattline", "password": "wattline"}
    with psycopg.connect(postgres.url, autocommit=True) as base:
        base.execute("drop schema if exists mine cascade")
        base.execute("create schema mine")
    code = [sys.executable, "-c", FROZEN.format(source=LIVE), str(store), repr(link)]
    run = subprocess.Popen(code, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    wait_for_a_flush(store)
    time.sleep(0.5)
    postgres.freeze()
    try:
        decided = numbered(store)
        # After it: the rows are being applied, and the next decision is seconds away.
        for _ in range(200):
            if numbered(store) > decided:
                break
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        # Far below retry_for: the applies that are queued would take a minute each.
        out, _ = run.communicate(timeout=20)
    finally:
        run.kill()
        postgres.thaw()
    assert run.returncode == 0 and out == "interrupted interrupted\n"
    sinks = [store, wl.Postgres("127.0.0.1", schema="mine", **link)]
    again = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=sinks, flush_interval="50ms")
    timer = threading.Timer(3, again.stop)
    timer.start()
    with pytest.raises(wl.Interrupted):
        again.run(progress=False)
    asked = "select sensor_id, window_label, readings from {} where final order by 1, 2"
    with sqlite3.connect(store) as home, psycopg.connect(postgres.url) as base:
        assert home.execute(asked.format("windows")).fetchall() == base.execute(asked.format("mine.windows")).fetchall()
        base.execute("drop schema mine cascade")


def numbered(store: object) -> int:
    """The newest decided flush."""
    held = wl.Pipeline("live", source=LIVE, grains=["1h"], sinks=store).state()
    return int(held["head"]["n"])


@pytest.mark.parametrize(
    "words", [["run", "{url}", "--grain", "1h", "--sink", "out.db"], ["produce", "meter.csv", "{url}"]]
)
def test_ctrl_c_while_a_server_does_not_answer(tmp_path, words: list[str]) -> None:
    """It takes connections and says nothing; its time-out is longer than anybody's patience."""
    (tmp_path / "meter.csv").write_text("time,kw\n2026-01-01T00:00Z,1\n2026-01-01T00:15Z,2\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        url = f"kafka://127.0.0.1:{silent.getsockname()[1]}/t"
        command = [sys.executable, "-m", "wattline.cli", *(word.format(url=url) for word in words)]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
            silent.accept()[0].recv(1)
            run.send_signal(signal.SIGINT)
            try:
                _, said = run.communicate(timeout=10)
            finally:
                run.kill()
    assert run.returncode == 130, said
    assert "Traceback" not in said

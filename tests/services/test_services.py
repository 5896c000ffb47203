"""What all servers share: nothing outlives its owner, a command gets the URLs, a person gets the set."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.services import Cassandra, Kafka, Postgres, Process, Server, ServiceError, guard
from tests.services.cache import ROOT
from tests.services.keep import started

# A shell that runs the tests in the background has Ctrl-C ignored, and children inherit that.
OWNER = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.services import {kind}
server = {kind}().start()
print(server.folder, *server.pids, flush=True)
time.sleep(600)
"""


def owner(kind: str) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """A process that started a server, the server's folder, and the ids of all its processes."""
    command = [sys.executable, "-c", OWNER.format(kind=kind)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    folder, *pids = process.stdout.readline().split()
    return process, Path(folder), [member for pid in pids for member in guard.family(int(pid))]


def nothing_left(folder: Path, pids: list[int]) -> bool:
    end = time.monotonic() + 30
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not folder.exists() and guard.wait_gone(pids, 30)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("Postgres", signal.SIGKILL),
        ("Kafka", signal.SIGKILL),
        ("Cassandra", signal.SIGKILL),
        ("Postgres", signal.SIGTERM),
        ("Postgres", signal.SIGINT),
    ],
)
def test_an_ended_owner_leaves_nothing(kind: str, number: int) -> None:
    process, folder, pids = owner(kind)
    assert pids and all(map(guard.running, pids))
    process.send_signal(number)
    process.wait()
    assert nothing_left(folder, pids)


def test_two_sets_side_by_side(postgres: Postgres, kafka: Kafka, cassandra: Cassandra) -> None:
    first: list[Server] = [postgres, kafka, cassandra]
    with started([server.kind for server in first]) as second:
        assert [server.kind for server in second] == [server.kind for server in first]
        assert len({server.url for server in (*first, *second)}) == 6
        with psycopg.connect(second[0].url, autocommit=True) as client:
            client.execute("CREATE TABLE only_here (a int)")
        with psycopg.connect(postgres.url) as beside:
            assert beside.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
        pids = [pid for server in second for pid in server.pids]
    assert not any(map(guard.running, pids))
    assert all(server.pids for server in first)


def test_a_server_that_ends_says_what_its_log_says(tmp_path: Path) -> None:
    process = Process("short", ["sh", "-c", "echo no such thing; exit 3"], tmp_path, lambda _: False)
    with pytest.raises(ServiceError, match=r"short ended(.|\n)*no such thing"):
        process.start()


def test_a_command_is_given_the_urls_and_its_answer_is_ours() -> None:
    code = "import os, sys; print(os.environ['WATTLINE_TEST_POSTGRES']); sys.exit(3)"
    command = [sys.executable, "-m", "tests.services", "run", "--with", "postgres", "--", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    url = done.stdout.strip()
    assert url.startswith("postgresql://wattline:wattline@127.0.0.1:")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)


def test_up_status_down(tmp_path: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        # A home of its own: the set a person may have running is left alone.
        environment = {**os.environ, "WATTLINE_SERVICES": str(tmp_path)}
        line = [sys.executable, "-m", "tests.services", *words]
        return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert command("status").returncode == 1
    up = command("up", "--with", "postgres")
    assert up.returncode == 0, up.stderr
    try:
        url = up.stdout.split()[1]
        psycopg.connect(url).close()
        assert command("up", "--with", "postgres").stdout == up.stdout, "a second up starts nothing"
        assert "servers are up, but not cassandra, kafka; `make services-down` first" in command("up").stderr
    finally:
        assert "the servers are down" in command("down").stdout
    assert command("status").returncode == 1
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)

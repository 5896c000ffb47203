"""The set of servers a person works with: a process in the background keeps it until it is told to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from . import guard
from .cache import HOME, ROOT
from .cassandra import Cassandra
from .kafka import Kafka
from .postgres import Postgres
from .s3 import S3
from .server import Server
from .watch import ServiceError

KINDS: dict[str, type[Server]] = {"postgres": Postgres, "kafka": Kafka, "cassandra": Cassandra, "s3": S3}
#: those that Maven brings; S3 wants a Python with the tests' packages
USUAL = ("postgres", "kafka", "cassandra")
RUN = HOME / "run"
#: what the keeper wrote once all servers answered
NOTE = RUN / "set.json"
LOG = RUN / "keeper.log"


def start(kind: str) -> Server:
    return KINDS[kind]().__enter__()


@contextmanager
def started(kinds: Sequence[str]) -> Iterator[list[Server]]:
    """The servers, started side by side."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        futures = [pool.submit(start, kind) for kind in kinds]
        servers: list[Server] = []
        failed: list[Exception] = []
        for future in futures:
            try:
                servers.append(stack.enter_context(closing(future.result())))
            except Exception as error:
                failed.append(error)
        if failed:
            raise failed[0]
        yield servers


def keep(kinds: Sequence[str]) -> int:
    """Holds the servers until a signal ends this process."""
    with started(kinds) as servers:
        note = {
            "keeper": os.getpid(),
            "born": guard.born(os.getpid()),
            "servers": [{"kind": one.kind, "url": one.url, "pids": one.pids, "log": str(one.log)} for one in servers],
        }
        part = NOTE.with_suffix(".part")
        part.write_text(json.dumps(note, indent=1))
        part.rename(NOTE)
        try:
            signal.pause()
        finally:
            NOTE.unlink()
    return 0


def kept() -> dict[str, Any] | None:
    """What runs, if its keeper does."""
    if not NOTE.exists():
        return None
    note: dict[str, Any] = json.loads(NOTE.read_text())
    return note if guard.born(note["keeper"]) == note["born"] else None


def status() -> int:
    note = kept()
    if note is None:
        print("no servers are up; `make services` starts them")
        return 1
    for server in note["servers"]:
        pids = ", ".join(map(str, server["pids"]))
        print(f"{server['kind']:<10} {server['url']}\n{'':<10} pid {pids}, log {server['log']}")
    return 0


def up(kinds: Sequence[str]) -> int:
    """Starts the set in the background and prints where it is."""
    if note := kept():
        lacking = set(kinds) - {server["kind"] for server in note["servers"]}
        if lacking:
            raise ServiceError(f"servers are up, but not {', '.join(sorted(lacking))}; `make services-down` first")
    else:
        RUN.mkdir(parents=True, exist_ok=True)
        NOTE.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.services", "keep", "--with", ",".join(kinds)]
        with LOG.open("w") as log:
            keeper = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            while kept() is None:
                if keeper.poll() is not None:
                    raise ServiceError(f"the servers did not start:\n{LOG.read_text()[-3000:]}")
                time.sleep(0.1)
        except BaseException:
            keeper.terminate()
            raise
    return status()


def down() -> int:
    """Ends the set and everything it left."""
    note = kept()
    if note is None:
        print("no servers are up")
        return 0
    os.kill(note["keeper"], signal.SIGTERM)
    if not guard.wait_gone([note["keeper"]], 60):
        raise ServiceError(f"the keeper of the servers, pid {note['keeper']}, does not end; see {LOG}")
    print("the servers are down")
    return 0

"""The whole way: file to topic to windows and readings in Cassandra and PostgreSQL, beside the usual Python.

usage: python benches/whole_way.py [--rows 2075259] [--slice 60000] [--rounds 3] [--workers 1 4] [-o out/whole.md]

wattline sends and lands all rows, with one worker and with several in a group; pandas, kafka-python,
cassandra-driver and psycopg2 do the same with the first rows (`--slice`), given as rows a second. All on one set of
servers, started here, in turn; a round before, of the slice alone, warms them and is not counted. What each side's user
writes is benches/whole/. Memory is the most that one process had, added up over processes that run at once. The
servers' processor seconds tell who is the limit. Peers that are not installed are left out.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import io
import itertools
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from cassandra.cluster import Cluster
from confluent_kafka.admin import AdminClient, NewTopic

import wattline as wl
from tests.services import Cassandra, Kafka, Postgres

HERE = Path(__file__).resolve().parent / "whole"
OURS, USUAL = HERE / "ours.py", HERE / "usual.py"
HOUSES, PARTITIONS = 48, 8
TICK = os.sysconf("SC_CLK_TCK")
PEERS = {"kafka-python", "pandas", "cassandra-driver"}


@dataclass
class Figure:
    """What one way took."""

    rows: int
    seconds: float
    #: to send, to land
    memory: tuple[int, int]
    processor: dict[str, float] = field(default_factory=dict)


class Servers:
    """One of each, with room to work in; a fresh topic, schema and keyspace for each way."""

    def __init__(self, kafka: Kafka, postgres: Postgres, cassandra: Cassandra) -> None:
        self.kafka, self.postgres, self.cassandra = kafka, postgres, cassandra
        self.base = psycopg.connect(postgres.url, autocommit=True)
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        self.name = ""
        host, self.port = cassandra.url.removeprefix("cassandra://").split(",")[0].rsplit(":", 1)
        self.host = host
        self.session = Cluster([host], port=int(self.port)).connect()

    def fresh(self) -> None:
        self.clear()
        self.name = f"w{uuid.uuid4().hex[:10]}"
        self.base.execute(f"create schema {self.name}")
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        self.session.execute(f"create keyspace {self.name} with replication = {replication}")

    def clear(self) -> None:
        if self.name:
            self.admin.delete_topics([self.name])[self.name].result()
            self.base.execute(f"drop schema {self.name} cascade")
            self.session.execute(f"drop keyspace {self.name}", timeout=120)

    @property
    def topic(self) -> str:
        return f"{self.kafka.url}/{self.name}"

    @property
    def stores(self) -> tuple[str, str]:
        return f"{self.postgres.url}?schema={self.name}", f"{self.cassandra.url}/{self.name}"

    def held(self, expected: int) -> None:
        """Both stores have all readings, and the same windows."""
        counted = self.base.execute(f"select count(*) from {self.name}.readings").fetchone()
        assert counted == (expected,), f"PostgreSQL has {counted} of {expected} readings"
        select = f"select count(*) from {self.name}.windows"
        windows = self.base.execute(select).fetchone()
        found = self.session.execute(select, timeout=120).one()
        assert windows == tuple(found), f"windows: PostgreSQL {windows}, Cassandra {tuple(found)}"
        assert windows != (0,)

    def processor(self) -> dict[str, float]:
        """Seconds of processor time of each server so far."""
        each = {"Kafka": self.kafka, "PostgreSQL": self.postgres, "Cassandra": self.cassandra}
        return {name: sum(map(spent, family(server.nodes[0].pid))) for name, server in each.items()}


def family(pid: int) -> list[int]:
    """A process and what it started."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        return [pid, *itertools.chain.from_iterable(map(family, children))]
    return []


def spent(pid: int) -> float:
    """Of a process and of its children that ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK
    return 0.0


class Crew:
    """Processes that run at once: their memory and processor time."""

    def __init__(self, script: Path, *words: object, many: int = 1) -> None:
        command = [sys.executable, "-W", "ignore", str(script), *map(str, words)]
        self.running = [subprocess.Popen(command) for _ in range(many)]
        self.peaks, self.seconds = dict.fromkeys(self.running, 0), 0.0

    @property
    def memory(self) -> int:
        return sum(self.peaks.values())

    def ended(self) -> list[subprocess.Popen[bytes]]:
        """Those that are no more, after a look at the memory of the others. What ``wait4`` says of it is no less than
        this process had when it began them."""
        time.sleep(0.05)
        for each in self.running:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{each.pid}/status").read_text()
                peak = re.search(r"VmHWM:\s+(\d+) kB", status)
                self.peaks[each] = max(self.peaks[each], int(peak[1]) << 10 if peak else 0)
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return [each for each in self.running if os.waitid(os.P_PID, each.pid, look)]

    def work(self) -> None:
        if self.ended():
            raise ChildProcessError("a worker ended before the work was done")

    def stop(self) -> "Crew":
        for each in self.running:
            each.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> "Crew":
        while len(self.ended()) < len(self.running):
            pass
        for each in self.running:
            _, status, used = os.wait4(each.pid, 0)
            each.returncode = os.waitstatus_to_exitcode(status)
            self.seconds += used.ru_utime + used.ru_stime
            if each.returncode:
                raise ChildProcessError(f"failed: {each.args}")
        return self


def ours(servers: Servers, file: Path, schema: Path, rows: int, workers: int) -> Figure:
    servers.fresh()
    told = (schema, servers.topic, *servers.stores)
    before, began = servers.processor(), time.perf_counter()
    crews = [Crew(OURS, "send", file, schema, servers.topic).wait()]
    if workers > 1:
        crew = Crew(OURS, "share", *told, many=workers)
        counted(servers, rows, crew)
        crews.append(crew.stop())
    # Writes the windows that are still open; with one worker it is all.
    crews.append(Crew(OURS, "land", *told).wait())
    return figure(servers, crews, before, began, rows)


def counted(servers: Servers, rows: int, crew: Crew) -> None:
    """Waits until the home has all readings."""
    with psycopg.connect(servers.postgres.url, autocommit=True) as link:
        link.execute(f"set search_path = {servers.name}")
        while link.execute("select to_regclass('wattline_head')").fetchone() == (None,):
            crew.work()
        total = "select sum((head::jsonb -> 'totals' ->> 'readings')::bigint) from wattline_head"
        while (link.execute(total).fetchone() or (0,))[0] != rows:
            crew.work()


def usual(servers: Servers, file: Path, rows: int) -> Figure:
    servers.fresh()
    servers.admin.create_topics([NewTopic(servers.name, PARTITIONS)])[servers.name].result()
    before, began = servers.processor(), time.perf_counter()
    crews = [Crew(USUAL, "send", file, servers.name, servers.kafka.bootstrap, rows).wait()]
    store = f"{servers.postgres.url}?options=-csearch_path%3D{servers.name}"
    words = (servers.name, servers.kafka.bootstrap, rows, store, servers.host, servers.port, servers.name)
    crews.append(Crew(USUAL, "land", *words).wait())
    return figure(servers, crews, before, began, rows)


def figure(servers: Servers, crews: list[Crew], before: dict[str, float], began: float, rows: int) -> Figure:
    seconds = time.perf_counter() - began
    after = servers.processor()
    processor = {"clients": sum(crew.seconds for crew in crews)}
    processor |= {name: after[name] - before[name] for name in after}
    servers.held(rows)
    memory = crews[0].memory, max(crew.memory for crew in crews[1:])
    return Figure(rows, seconds, memory, processor)


def written(script: Path) -> int:
    """Lines that a user writes: those with code in them."""
    text, lines = script.read_text(), set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        doc = token.type == tokenize.STRING and token.line.lstrip().startswith('"""')
        if token.type not in skipped and not doc:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def houses(folder: Path, rows: int) -> tuple[Path, Path, int]:
    """Simulated houses, a reading a minute, as a file in the order of time; its schema; the rows it has."""
    import pyarrow.csv

    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(minutes=max(rows // HOUSES, 1))
    table = wl.simulate(sensors=HOUSES, start=start.isoformat(), end=end.isoformat())
    file, schema = folder / "houses.csv", folder / "houses.toml"
    pyarrow.csv.write_csv(table.to_arrow(), file)
    schema.write_text(table.schema.to_toml())
    return file, schema, len(table)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    flags = ("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")
    quick = ("-XX:TieredStopAtLevel=4", "-Dcassandra.skip_sync=false")
    with Kafka(jvm=flags) as kafka, Postgres() as postgres, Cassandra(heap=2048, jvm=quick) as cassandra:
        made = Servers(kafka, postgres, cassandra)
        try:
            yield made
        finally:
            made.session.cluster.shutdown()
            made.base.close()


def report(figures: dict[str, list[Figure]]) -> list[str]:
    lines = [
        "| | rows | median s | rows/s | ours / this | MiB to send, to land | lines of user code | processor seconds |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    rate = {name: statistics.median(f.rows / f.seconds for f in found) for name, found in figures.items()}
    best = max(rate[name] for name in rate if name.startswith("wattline"))
    for name, found in figures.items():
        last = sorted(found, key=lambda f: f.seconds)[len(found) // 2]
        processor = ", ".join(f"{who} {seconds:.1f}" for who, seconds in last.processor.items())
        code = written(OURS if name.startswith("wattline") else USUAL)
        seconds = statistics.median(f.seconds for f in found)
        memory = ", ".join(f"{bytes_ >> 20}" for bytes_ in last.memory)
        cells = (f"{last.rows:,}", f"{seconds:.1f}", f"{rate[name]:,.0f}", f"{best / rate[name]:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {memory} | {code} | {processor} |")
    return lines


def installed() -> bool:
    names = {found.name for found in importlib.metadata.distributions()}
    return names >= PEERS and bool(names & {"psycopg2", "psycopg2-binary"})


def one_round(made: Servers, given: argparse.Namespace, data: tuple[Path, Path, int]) -> dict[str, Figure]:
    file, schema, rows = data
    found = {f"wattline, workers: {n}": ours(made, file, schema, rows, n) for n in given.workers}
    if installed():
        found["pandas, kafka-python, cassandra-driver, psycopg2"] = usual(made, file, min(given.slice, rows))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_075_259)
    parser.add_argument("--slice", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("-o", dest="out", type=Path)
    given = parser.parse_args()
    figures: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory() as folder, servers() as made:
        one_round(made, given, houses(Path(folder), given.slice))
        data = houses(Path(folder), given.rows)
        for _ in range(given.rounds):
            for name, one in one_round(made, given, data).items():
                figures.setdefault(name, []).append(one)
        made.clear()
    about = f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}"
    lines = [f"{about}, {data[2]:,} rows, rounds: {given.rounds}"]
    text = "\n".join([*lines, "", *report(figures), ""])
    print(text, flush=True)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)


if __name__ == "__main__":
    sys.exit(main())

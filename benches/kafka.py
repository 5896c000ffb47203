"""Files to a topic and back, beside librdkafka's own tool and the usual Python, on one broker in one run.

usage: python benches/kafka.py [--rounds 5] [--file FULL.txt] [--broker host:port] [--performance rdkafka_performance]

Without --broker one is started as the tests start it, with a heap of 1 GB. Rounds are interleaved, one warm-up round is
not counted. On a busy machine only ratios hold. ``rdkafka_performance`` is built from librdkafka's examples.
"""

import argparse
import contextlib
import csv
import datetime
import importlib.util
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wattline as wl
from tests.services import Kafka
from wattline.source import write_uci

NAMES = ["global_active_power", "global_reactive_power", "voltage", "global_intensity"]
NAMES += [f"sub_metering_{n}" for n in (1, 2, 3)]
Rates = dict[str, list[float]]


def encoder() -> Callable[[dict], bytes]:
    """The fastest JSON there is beside us."""
    try:
        import orjson
    except ImportError:
        return lambda row: json.dumps(row, separators=(",", ":")).encode()
    return orjson.dumps


def confluent_produce(path: Path, broker: str, topic: str, rows: int) -> int:
    """csv, orjson, confluent-kafka: idempotent, lz4, the same key."""
    from confluent_kafka import Producer

    settings = {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 20}
    producer, dumps, sent = Producer({"bootstrap.servers": broker, **settings}), encoder(), 0
    with path.open() as lines:
        for row in csv.DictReader(lines, delimiter=";"):
            day, month, year = row["Date"].split("/")
            value = {"sensor_id": "household", "time": f"{year}-{month:0>2}-{day:0>2}T{row['Time']}"}
            fields = list(row.values())[2:]
            value |= {n: None if f in ("?", "") else float(f) for n, f in zip(NAMES, fields, strict=True)}
            while True:
                try:
                    producer.produce(topic, dumps(value), "household")
                    break
                except BufferError:
                    producer.poll(0.01)
            producer.poll(0)
            sent += 1
            if sent == rows:
                break
    producer.flush()
    return sent


def confluent_consume(broker: str, topic: str, rows: int) -> int:
    from confluent_kafka import Consumer, TopicPartition

    try:
        from orjson import loads
    except ImportError:
        from json import loads
    settings = {"group.id": "bench", "fetch.queue.backoff.ms": 1, "isolation.level": "read_committed"}
    reader = Consumer({"bootstrap.servers": broker, **settings})
    reader.assign([TopicPartition(topic, 0, 0)])
    seen = 0
    while seen < rows:
        for message in reader.consume(10_000, timeout=1):
            if not message.error():
                loads(message.value())
                seen += 1
    reader.close()
    return seen


def confluent_windows(broker: str, topic: str, rows: int) -> int:
    """The usual loop: orjson, a dictionary of hours, mean, minimum and maximum of each measure; nothing is stored."""
    from confluent_kafka import Consumer, TopicPartition

    try:
        from orjson import loads
    except ImportError:
        from json import loads
    settings = {"group.id": "bench", "fetch.queue.backoff.ms": 1, "isolation.level": "read_committed"}
    reader = Consumer({"bootstrap.servers": broker, **settings})
    reader.assign([TopicPartition(topic, 0, 0)])
    hours: dict[tuple[str, str], list[list[float]]] = {}
    seen = 0
    while seen < rows:
        for message in reader.consume(10_000, timeout=1):
            if message.error():
                continue
            row = loads(message.value())
            window = hours.setdefault((row["sensor_id"], row["time"][:13]), [[0, 0.0, 9e9, -9e9] for _ in NAMES])
            for name, state in zip(NAMES, window, strict=True):
                value = row[name]
                if value is not None:
                    state[0] += 1
                    state[1] += value
                    state[2] = min(state[2], value)
                    state[3] = max(state[3], value)
            seen += 1
    reader.close()
    return seen


def bytewax_windows(broker: str, topic: str, rows: int) -> int:
    """bytewax: collected by the hour of event time, one worker."""
    import bytewax.operators as op
    import bytewax.operators.windowing as w
    from bytewax.connectors.kafka import KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, run_main

    settings = {"fetch.queue.backoff.ms": "1"}
    source = KafkaSource([broker], [topic], tail=False, add_config=settings, batch_size=1000)
    flow, out = Dataflow("bench"), []
    messages = op.input("in", flow, source)
    start = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)

    def reading(message: object) -> tuple[str, dict]:
        row = json.loads(message.value)  # type: ignore[attr-defined]
        row["at"] = datetime.datetime.fromisoformat(row["time"]).replace(tzinfo=datetime.UTC)
        return row["sensor_id"], row

    def fold(state: dict, row: dict) -> dict:
        for name in NAMES:
            value = row[name]
            if value is not None:
                n, total, least, most = state.get(name, (0, 0.0, 9e9, -9e9))
                state[name] = (n + 1, total + value, min(least, value), max(most, value))
        return state

    rows_of = op.map("read", messages, reading)
    clock = w.EventClock(lambda row: row["at"], wait_for_system_duration=datetime.timedelta(0))
    hourly = w.TumblingWindower(align_to=start, length=datetime.timedelta(hours=1))
    found = w.fold_window("hours", rows_of, clock, hourly, dict, fold, lambda a, b: {**a, **b})
    op.output("out", found.down, TestingSink(out))
    run_main(flow)
    return rows


def tool(program: str, broker: str, topic: str, rows: int, *words: str) -> int:
    command = [program, *words, "-t", topic, "-p", "0", "-b", broker, "-c", str(rows), "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return rows


def timed(work: Callable[[], int]) -> float:
    began = time.perf_counter()
    return work() / (time.perf_counter() - began)


def produced(path: Path, url: str, **told: object) -> int:
    return int(wl.produce(path, url, schema="household", create=True, progress=False, **told).ledger["readings"])


def windows(url: str, **told: Any) -> int:
    """Hourly windows of seven measures, exactly once, kept in memory."""
    name = uuid.uuid4().hex
    run = wl.Pipeline(name, source=url, schema="household", grains=["1h"], sinks="memory:", **told).run
    return int(run(until="now", progress=False).ledger["readings"])


def head(path: Path, to: Path, rows: int) -> Path:
    """The first rows of a file."""
    with path.open() as lines:
        to.write_text("".join(itertools.islice(lines, rows + 1)))
    return to


@contextlib.contextmanager
def broker(told: str | None) -> Iterator[str]:
    if told:
        yield told
        return
    with Kafka(jvm=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")) as server:
        yield server.bootstrap


def one_round(path: Path, at: str, performance: str | None, rows: int) -> dict[str, float]:
    def fresh(partitions: int = 1) -> str:
        name = f"b-{uuid.uuid4().hex[:10]}"
        few = wl.simulate(start="2026-01-01", end="2026-01-01T00:01:00")
        wl.produce(few, f"kafka://{at}/{name}", mode="fast", create={"partitions": partitions}, progress=False)
        return name

    rates: dict[str, float] = {}
    ours, arrow = f"kafka://{at}/{fresh()}", f"kafka://{at}/{fresh()}"
    rates["produce: wattline json"] = timed(lambda: produced(path, ours))
    rates["produce: wattline arrow"] = timed(lambda: produced(path, arrow, codec="arrow"))
    rates["produce: confluent-kafka"] = timed(lambda: confluent_produce(path, at, fresh(), rows // 10))
    if performance:
        words = ["-P", "-s", "190", "-X", "enable.idempotence=true", "-X", "acks=all", "-z", "lz4"]
        words += ["-X", "linger.ms=20", "-X", "queue.buffering.max.messages=1000000"]
        rates["produce: rdkafka_performance"] = timed(lambda: tool(performance, at, fresh(), rows, *words))
    topic = ours.rpartition("/")[2]
    rates["windows: wattline json"] = timed(lambda: windows(ours))
    rates["windows: wattline arrow"] = timed(lambda: windows(arrow, on_reject="skip"))
    rates["windows: confluent-kafka"] = timed(lambda: confluent_windows(at, topic, rows // 10))
    if importlib.util.find_spec("bytewax"):
        few, some = f"kafka://{at}/{fresh()}", rows // 40
        # Without transactions: a mark of theirs at the end of the log is an end that some peers never reach.
        produced(head(path, path.with_name("part.txt"), some), few, mode="fast")
        rates["windows: bytewax"] = timed(lambda: bytewax_windows(at, few.rpartition("/")[2], some))
    rates["consume: wattline json"] = timed(lambda: len(wl.read_kafka(ours, schema="household")))
    rates["consume: wattline arrow"] = timed(lambda: len(wl.read_kafka(arrow, since=1)))
    rates["consume: confluent-kafka"] = timed(lambda: confluent_consume(at, topic, rows // 4))
    if performance:
        words = ["-C", "-o", "beginning", "-X", "fetch.queue.backoff.ms=1"]
        rates["consume: rdkafka_performance"] = timed(lambda: tool(performance, at, topic, rows, *words))
    return rates


def report(rates: Rates) -> list[str]:
    lines = ["| | median rows/s | range | wattline json / this |", "|---|---|---|---|"]
    for name, found in rates.items():
        ours = statistics.median(rates[name.partition(":")[0] + ": wattline json"])
        median = statistics.median(found)
        lines.append(f"| {name} | {median:,.0f} | {min(found):,.0f} to {max(found):,.0f} | {ours / median:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--broker")
    parser.add_argument("--performance", default=shutil.which("rdkafka_performance"))
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, broker(told.broker) as at:
        path = told.file or Path(folder, "household.txt")
        if not told.file:
            write_uci(path)
        rows = len(wl.read_csv(path, schema="household", columns=["time"]))
        rates: Rates = {}
        for number in range(told.rounds + 1):
            for name, rate in one_round(path, at, told.performance, rows).items():
                if number:
                    rates.setdefault(name, []).append(rate)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, {rows:,} rows, {told.rounds} rounds")
    print("\n".join(report(rates)), flush=True)


if __name__ == "__main__":
    sys.exit(main())

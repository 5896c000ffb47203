"""Files to a topic and back, beside librdkafka's own tool and the usual Python, on one broker in one run.

usage: python benches/kafka.py [--rounds 5] [--rows N] [--file FULL.txt] [--broker host:port]
                               [--performance rdkafka_performance] [--bare] [--spark-jars connector.jar,...]

Peers stand beside where the interpreter has them (bytewax, confluent-kafka, orjson, quixstreams, pyspark); what is not
there is named at the end. Spark needs Java 17 and its Kafka connector, whose version is pyspark's own.
Without --broker one is started as the tests start it, with a heap of 1 GB. Rounds are interleaved, one warm-up round
is not counted. On a busy machine only ratios hold. ``rdkafka_performance`` is built from librdkafka's examples; it
sends one value again and again, which is compressed to next to nothing. ``--bare`` adds a Rust program (benches/bare)
that does as it does with our messages, ready in memory: key, header and value, no file and no transactions.
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

import bare
import wattline as wl
from streams import NAMES, bytewax_windows, quix_windows, spark_session, spark_windows
from tests.services import Kafka
from wattline.source import write_uci

Rates = dict[str, list[float]]
#: bytes of the header that says where a message is from
HEADER = 24


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


def tool(program: str, broker: str, topic: str, rows: int, *words: str) -> int:
    command = [program, *words, "-t", topic, "-p", "0", "-b", broker, "-c", str(rows), "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return rows


def values(broker: str, topic: str, rows: int, to: Path) -> Path:
    """The values of a topic's first messages, a line each."""
    from confluent_kafka import Consumer, TopicPartition

    reader = Consumer({"bootstrap.servers": broker, "group.id": "bench", "fetch.queue.backoff.ms": 1})
    reader.assign([TopicPartition(topic, 0, 0)])
    left = rows
    with to.open("wb") as lines:
        while left > 0:
            found = [m.value() + b"\n" for m in reader.consume(10_000, timeout=1) if not m.error()][:left]
            lines.writelines(found)
            left -= len(found)
    reader.close()
    return to


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


def beside_us(topic: str, at: str, path: Path, rows: int, spark: Any) -> dict[str, float]:
    """The stream engines that are here, each with what it can do in about a minute."""
    rates: dict[str, float] = {}
    if spark:
        rates["windows: Spark"] = timed(lambda: spark_windows(spark, at, topic, rows))

    def some(name: str, part: int, work: Callable[[str, str, int], int]) -> None:
        few = fresh(at)
        # Without transactions: a mark of theirs at the end of the log is an end that some peers never reach.
        produced(head(path, path.with_name("part.txt"), part), few, mode="fast")
        rates[name] = timed(lambda: work(at, few.rpartition("/")[2], part))

    if here("bytewax"):
        some("windows: bytewax", max(rows // 40, 1000), bytewax_windows)
    if here("quixstreams"):
        some("windows: quixstreams", max(rows // 100, 1000), quix_windows)
    return rates


def here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def fresh(at: str) -> str:
    """A topic without messages, with the settings that ``produce`` gives to one it makes."""
    from confluent_kafka.admin import AdminClient, NewTopic

    name = f"b-{uuid.uuid4().hex[:10]}"
    topic = NewTopic(name, 1, config={"retention.ms": "-1", "segment.ms": str(2**63 - 1)})
    # Gone before the answer, the client would take it along.
    admin = AdminClient({"bootstrap.servers": at})
    admin.create_topics([topic])[name].result()
    return f"kafka://{at}/{name}"


def one_round(
    path: Path, at: str, performance: str | None, alone: Path | None, rows: int, spark: Any
) -> dict[str, float]:
    def empty() -> str:
        return fresh(at).rpartition("/")[2]

    rates: dict[str, float] = {}
    ours, arrow = fresh(at), fresh(at)
    rates["produce: wattline json"] = timed(lambda: produced(path, ours))
    rates["produce: wattline arrow"] = timed(lambda: produced(path, arrow, codec="arrow"))
    rates["produce: confluent-kafka"] = timed(lambda: confluent_produce(path, at, empty(), rows // 10))
    if performance:
        words = ["-P", "-s", "190", "-X", "enable.idempotence=true", "-X", "acks=all", "-z", "lz4"]
        words += ["-X", "linger.ms=20", "-X", "queue.buffering.max.messages=1000000"]
        rates["produce: rdkafka_performance"] = timed(lambda: tool(performance, at, empty(), rows, *words))
    topic = ours.rpartition("/")[2]
    if alone:
        lines = path.with_name("values.txt")
        lines = lines if lines.exists() else values(at, topic, rows, lines)
        rates["produce: bare librdkafka, our messages"] = rows / bare.seconds(
            alone, "kafka", at, empty(), lines, HEADER
        )
    rates["windows: wattline json"] = timed(lambda: windows(ours))
    rates["windows: wattline arrow"] = timed(lambda: windows(arrow))
    rates["windows: confluent-kafka"] = timed(lambda: confluent_windows(at, topic, rows // 10))
    rates |= beside_us(topic, at, path, rows, spark)
    rates["consume: wattline json"] = timed(lambda: len(wl.read_kafka(ours, schema="household")))
    rates["consume: wattline arrow"] = timed(lambda: len(wl.read_kafka(arrow)))
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
    parser.add_argument("--rows", type=int, help="of the file, from its first; all, or 2,075,259 of a file made here")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--broker")
    parser.add_argument("--performance", default=shutil.which("rdkafka_performance"))
    parser.add_argument("--bare", action="store_true", help="beside librdkafka with our messages; builds it")
    parser.add_argument("--spark-jars", help="the jars of Spark's Kafka connector, by commas")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, broker(told.broker) as at:
        path = Path(folder, "household.txt")
        if not told.file:
            write_uci(path, **({"rows": told.rows} if told.rows else {}))
        elif told.rows:
            head(told.file, path, told.rows)
        else:
            path.symlink_to(told.file.resolve())
        alone = bare.built() if told.bare else None
        spark = spark_session(told.spark_jars) if told.spark_jars and here("pyspark") else None
        rows = len(wl.read_csv(path, schema="household", columns=["time"]))
        rates: Rates = {}
        for number in range(told.rounds + 1):
            for name, rate in one_round(path, at, told.performance, alone, rows, spark).items():
                if number:
                    rates.setdefault(name, []).append(rate)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, {rows:,} rows, {told.rounds} rounds")
    print("\n".join(report(rates)))
    absent = [peer for peer in ("bytewax", "quixstreams") if not here(peer)]
    absent += ["rdkafka_performance"] * (not told.performance) + ["Spark"] * (spark is None)
    print(f"not here: {', '.join(absent)}" if absent else "all peers are here", flush=True)


if __name__ == "__main__":
    sys.exit(main())

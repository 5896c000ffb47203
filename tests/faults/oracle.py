"""The ledger oracle: what the stores must hold, worked out from the lines that were sent.

It shares no code with wattline: plain Python, decimal arithmetic, one dictionary.
"""

import json
import logging
import os
import random
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.dataset as ds

START = datetime(2026, 1, 30, tzinfo=UTC)
SCHEMA = """
name = "faults"
tz = "UTC"
step = "5min"
columns = [
  {name = "sensor_id", type = "text", role = "sensor"},
  {name = "time", type = "timestamp", role = "time"},
  {name = "load", type = "float", role = "measure", measure = "power", unit = "kW", digits = 3},
]
[time]
columns = ["time"]
[dialect]
delimiter = ","
header = true
"""


def floor(stamp: datetime, grain: str) -> datetime:
    """The window's start in UTC, where days and months have no surprises."""
    day = stamp.replace(hour=0, minute=0, second=0)
    return {
        "15min": stamp.replace(minute=stamp.minute // 15 * 15),
        "1h": stamp.replace(minute=0),
        "1d": day,
        "1mo": day.replace(day=1),
    }[grain]


class Sent:
    """The readings sent, and what must come of them."""

    def __init__(self, seed: int, steps: int = 1200, sensors: Sequence[str] = "ab") -> None:
        dice = random.Random(seed)
        self.readings: list[tuple[str, datetime, Decimal]] = []
        self.rejects = 0
        lines: list[str] = []
        for number in range(steps):
            for sensor in sensors:
                if dice.random() < 0.1:
                    continue
                reading = (sensor, START + timedelta(minutes=5 * number), Decimal(dice.randrange(9000)) / 1000)
                self.readings.append(reading)
                text = f"{sensor},{reading[1]:%Y-%m-%d %H:%M:%S},{reading[2]}"
                lines += [text, text] if dice.random() < 0.03 else [text]
                if dice.random() < 0.02:
                    lines.append(f"{sensor},{reading[1]:%Y-%m-%d %H:%M:%S},oops")
                    self.rejects += 1
        self.doubles = len(lines) - len(self.readings) - self.rejects
        for _ in range(len(lines) // 8):
            i = dice.randrange(len(lines))
            j = min(len(lines) - 1, i + dice.randrange(400))
            lines[i], lines[j] = lines[j], lines[i]
        self.lines = lines

    def write(self, folder: Path) -> None:
        """Two files as one dataset, and the schema."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schema.toml").write_text(SCHEMA)
        half = len(self.lines) * 2 // 3
        for name, part in (("in1.csv", self.lines[:half]), ("in2.csv", self.lines[half:])):
            (folder / name).write_text("sensor_id,time,load\n" + "\n".join(part) + "\n")

    def windows(self, grain: str) -> dict[tuple[str, datetime], tuple[int, float, float, float]]:
        """(sensor, start) to readings, least, greatest, energy in Wh."""
        found = defaultdict(list)
        for sensor, stamp, value in self.readings:
            found[sensor, floor(stamp, grain)].append(value)
        return {
            key: (len(v), float(min(v)), float(max(v)), float(sum(v, Decimal(0)) * 1000 * 5 / 60))
            for key, v in found.items()
        }


COLUMNS = ["sensor_id", "window_start", "readings", "load_min", "load_max", "load_energy_wh"]


def sqlite_windows(folder: Path, grain: str) -> list[tuple]:
    with sqlite3.connect(folder / "out.db") as base:
        rows = base.execute(f"select {', '.join(COLUMNS)} from windows where grain = ? and readings > 0", (grain,))
        return [(s, datetime.fromisoformat(t).replace(tzinfo=UTC), *rest) for s, t, *rest in rows]


def parquet_rows(folder: Path, what: str, columns: list[str], wanted: ds.Expression | None = None) -> list[tuple]:
    """Of all files; a build that lost everything leaves none."""
    files = ds.dataset(folder / "parquet" / what, format="parquet", partitioning="hive")
    rows = files.to_table(columns, filter=wanted).to_pylist() if files.files else []
    return [tuple(row.values()) for row in rows]


def parquet_windows(folder: Path, grain: str) -> list[tuple]:
    wanted = (ds.field("grain") == grain) & (ds.field("readings") > 0)
    return parquet_rows(folder, "windows", COLUMNS, wanted)


def asked(select: str) -> list[tuple]:
    """Rows of the PostgreSQL schema under test; sensors, instants and numbers as the others have them."""
    import psycopg

    with psycopg.connect(os.environ["WATTLINE_TEST_POSTGRES"]) as base:
        base.execute(f"set search_path = {os.environ['WATTLINE_TEST_SCHEMA']}; set time zone 'UTC'")
        return base.execute(select).fetchall()


def postgres_windows(folder: Path, grain: str) -> list[tuple]:
    return asked(f"select {', '.join(COLUMNS)} from windows where grain = '{grain}' and readings > 0")


def cassandra_asked(select: str) -> list[tuple]:
    """Rows of the keyspace under test; instants in UTC as the others have them."""
    from cassandra.cluster import Cluster

    host, port = os.environ["WATTLINE_TEST_CASSANDRA"].removeprefix("cassandra://").split(",")[0].rsplit(":", 1)
    with Cluster([host], port=int(port)) as cluster:
        rows = cluster.connect(os.environ["WATTLINE_TEST_KEYSPACE"]).execute(select)
        known = [tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row) for row in rows]
    return known


def cassandra_windows(folder: Path, grain: str) -> list[tuple]:
    rows = cassandra_asked(f"select {', '.join(COLUMNS)} from windows where grain = '{grain}' allow filtering")
    return [row for row in rows if row[2] > 0]


def committed(server: str, topic: str) -> list[dict]:
    """What readers of committed messages find in a topic of two partitions, in the order of each partition's log."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": server, "group.id": uuid.uuid4().hex, "enable.partition.eof": True}
    settings |= {"fetch.wait.max.ms": 10}
    reader = Consumer({**settings, "isolation.level": "read_committed", "logger": logging.getLogger("kafka")})
    reader.assign([TopicPartition(topic, p, 0) for p in range(2)])
    found, ended = [], 0
    while ended < 2:
        for message in reader.consume(500, timeout=0.1):
            if message.error():
                ended += 1
            else:
                found.append(json.loads(message.value()))
    reader.close()
    return found


def messages(what: str) -> list[dict]:
    """The same of a topic under test."""
    server = os.environ["WATTLINE_TEST_KAFKA"].removeprefix("kafka://")
    return committed(server, f"{os.environ['WATTLINE_TEST_TOPIC']}-{what}")


def kafka_windows(folder: Path, grain: str) -> list[tuple]:
    """The last message of each window holds; one that stands twice is given twice."""
    rows = [row for row in messages("windows") if row["grain"] == grain and row["readings"] > 0]
    last = {(row["sensor_id"], row["window_start"]): row for row in rows}
    whole = [json.dumps(row, sort_keys=True) for row in rows]
    twice = [json.loads(text) for text, times in Counter(whole).items() for _ in range(times - 1)]
    return [
        (row["sensor_id"], datetime.fromisoformat(row["window_start"]), *(row[name] for name in COLUMNS[2:]))
        for row in [*last.values(), *twice]
    ]


def kafka_complaints(sent: "Sent", due: list[tuple]) -> list[str]:
    held = sorted((r["sensor_id"], datetime.fromisoformat(r["time"]), r["load"]) for r in messages("readings"))
    rejects = len(messages("rejects"))
    wrong = [] if held == due else [f"kafka readings: {len(held)} rows, {len(due)} were sent"]
    return wrong + ([] if rejects == sent.rejects else [f"kafka rejects: {rejects}, {sent.rejects} were sent"])


def bucket_rows(what: str, columns: list[str], wanted: ds.Expression | None = None) -> list[tuple]:
    """Of all objects of a table under test."""
    from pyarrow.fs import S3FileSystem

    keys = {"access_key": "other", "secret_key": "other", "region": "us-east-1"}
    store = S3FileSystem(endpoint_override=os.environ["WATTLINE_TEST_S3_ENDPOINT"], **keys)
    place = f"wattline/{os.environ['WATTLINE_TEST_PREFIX']}/{what}"
    files = ds.dataset(place, filesystem=store, format="parquet", partitioning="hive")
    rows = files.to_table(columns, filter=wanted).to_pylist() if files.files else []
    return [tuple(row.values()) for row in rows]


def s3_windows(folder: Path, grain: str) -> list[tuple]:
    return bucket_rows("windows", COLUMNS, (ds.field("grain") == grain) & (ds.field("readings") > 0))


def with_s3() -> bool:
    return "WATTLINE_TEST_PREFIX" in os.environ


def with_kafka() -> bool:
    return "WATTLINE_TEST_TOPIC" in os.environ


def with_postgres() -> bool:
    return "WATTLINE_TEST_SCHEMA" in os.environ


def with_cassandra() -> bool:
    return "WATTLINE_TEST_KEYSPACE" in os.environ


def complaints(sent: Sent, folder: Path, grains: list[str], sqlite: bool = True) -> list[str]:
    """Every way in which the stores differ from what was sent; empty: all is well."""
    wrong = []
    stores = [("sqlite", sqlite_windows)] if sqlite else []
    stores += [("parquet", parquet_windows)]
    stores += [("postgres", postgres_windows)] if with_postgres() else []
    stores += [("cassandra", cassandra_windows)] if with_cassandra() else []
    stores += [("kafka", kafka_windows)] if with_kafka() else []
    stores += [("s3", s3_windows)] if with_s3() else []
    for grain in grains:
        due = sent.windows(grain)
        for store, read in stores:
            rows = read(folder, grain)
            held = {(row[0], row[1]): tuple(row[2:]) for row in rows}
            if len(held) != len(rows):
                wrong.append(f"{store} {grain}: {len(rows) - len(held)} windows stand twice")
            wrong += [f"{store} {grain} {key}: lost" for key in due.keys() - held.keys()]
            wrong += [f"{store} {grain} {key}: invented" for key in held.keys() - due.keys()]
            both = due.keys() & held.keys()
            wrong += [f"{store} {grain} {k}: {held[k]} is not {due[k]}" for k in both if held[k] != due[k]]
    due = sorted((s, t, float(v)) for s, t, v in sent.readings)
    wrong += sqlite_complaints(sent, folder, due) if sqlite else []
    return wrong + raw_complaints(sent, folder, due)


def sqlite_complaints(sent: Sent, folder: Path, due: list[tuple]) -> list[str]:
    with sqlite3.connect(folder / "out.db") as base:
        rows = base.execute("select sensor_id, time, load from readings").fetchall()
        rejects = base.execute("select count(*) from rejects").fetchone()[0]
    held = sorted((s, datetime.fromisoformat(t).replace(tzinfo=UTC), v) for s, t, v in rows)
    wrong = [] if held == due else [f"sqlite readings: {len(held)} rows, {len(due)} were sent"]
    return wrong + ([] if rejects == sent.rejects else [f"rejects: {rejects}, {sent.rejects} were sent"])


def raw_complaints(sent: Sent, folder: Path, due: list[tuple]) -> list[str]:
    wrong = []
    filed = sorted(parquet_rows(folder, "readings", ["sensor_id", "time", "load"]))
    if filed != due:
        wrong.append(f"parquet readings: {len(filed)} rows, {len(due)} were sent")
    wrong += server_complaints("postgres", asked, sent, due) if with_postgres() else []
    wrong += server_complaints("cassandra", cassandra_asked, sent, due) if with_cassandra() else []
    wrong += kafka_complaints(sent, due) if with_kafka() else []
    if with_s3() and (held := sorted(bucket_rows("readings", ["sensor_id", "time", "load"]))) != due:
        wrong.append(f"s3 readings: {len(held)} rows, {len(due)} were sent")
    return wrong


def server_complaints(store: str, ask: Callable[[str], list[tuple]], sent: Sent, due: list[tuple]) -> list[str]:
    held = sorted(ask("select sensor_id, time, load from readings"))
    rejects = ask("select count(*) from rejects")[0][0]
    wrong = [] if held == due else [f"{store} readings: {len(held)} rows, {len(due)} were sent"]
    return wrong + ([] if rejects == sent.rejects else [f"{store} rejects: {rejects}, {sent.rejects} were sent"])

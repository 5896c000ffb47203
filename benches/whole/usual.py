"""The whole way with pandas, kafka-python, cassandra-driver and psycopg2, in their quick forms: batches, prepared
statements, many in flight, one frame a poll. Nothing is exactly once: a kill loses the windows or counts rows twice.

usage: usual.py send FILE TOPIC BROKER ROWS | land TOPIC BROKER ROWS POSTGRES CASSANDRA_HOST PORT KEYSPACE
"""

import json
import sys

import pandas as pd
import psycopg2
from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args
from kafka import KafkaConsumer, KafkaProducer
from psycopg2.extras import execute_values

MEASURES = ["global_active_power", "global_reactive_power", "voltage", "global_intensity"]
MEASURES += ["sub_metering_1", "sub_metering_2", "sub_metering_3"]
AGGREGATES = ["count", "sum", "min", "max", "mean"]
GRAINS = {"1h": "h", "1d": "D"}
VALUES = [f"{m}_{a}" for m in MEASURES for a in AGGREGATES]


def send(file: str, topic: str, broker: str, rows: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker,
        acks="all",
        linger_ms=20,
        key_serializer=str.encode,
        value_serializer=lambda row: json.dumps(row).encode(),
    )
    for row in pd.read_csv(file, nrows=int(rows)).itertuples(index=False):
        producer.send(topic, key=row.sensor_id, value=row._asdict())
    producer.flush()
    producer.close()


def messages(topic: str, broker: str, rows: int):
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id="usual", auto_offset_reset="earliest")
    seen = 0
    while seen < rows:
        polled = consumer.poll(timeout_ms=1000, max_records=5000)
        found = [json.loads(record.value) for records in polled.values() for record in records]
        if found:
            seen += len(found)
            frame = pd.DataFrame(found)
            yield frame.assign(time=pd.to_datetime(frame["time"], utc=True))
            consumer.commit()
    consumer.close()


def make_postgres(base) -> None:
    with base.cursor() as cursor:
        numbers = ", ".join(f"{m} double precision" for m in MEASURES)
        cursor.execute(
            f"create table readings (sensor_id text, time timestamptz, {numbers}, primary key (sensor_id, time))"
        )
        numbers = ", ".join(f"{v} double precision" for v in VALUES)
        key = "primary key (sensor_id, grain, window_start)"
        cursor.execute(f"create table windows (sensor_id text, grain text, window_start timestamptz, {numbers}, {key})")
    base.commit()


def upsert(base, table: str, frame: pd.DataFrame, key: list[str]) -> None:
    names = ", ".join(frame.columns)
    news = ", ".join(f"{name} = excluded.{name}" for name in frame.columns if name not in key)
    statement = f"insert into {table} ({names}) values %s on conflict ({', '.join(key)}) do update set {news}"
    with base.cursor() as cursor:
        execute_values(cursor, statement, list(frame.itertuples(index=False, name=None)), page_size=1000)
    base.commit()


def make_cassandra(session):
    numbers = ", ".join(f"{m} double" for m in MEASURES)
    key = "primary key ((sensor_id, day), time)"
    session.execute(f"create table readings (sensor_id text, day date, time timestamp, {numbers}, {key})")
    numbers = ", ".join(f"{v} double" for v in VALUES)
    key = "primary key ((sensor_id, grain), window_start)"
    session.execute(f"create table windows (sensor_id text, grain text, window_start timestamp, {numbers}, {key})")

    def prepared(table: str, names: list[str]):
        marks = ", ".join("?" * len(names))
        return session.prepare(f"insert into {table} ({', '.join(names)}) values ({marks})")

    readings = prepared("readings", ["sensor_id", "day", "time", *MEASURES])
    return readings, prepared("windows", ["sensor_id", "grain", "window_start", *VALUES])


def insert(session, statement, frame: pd.DataFrame) -> None:
    execute_concurrent_with_args(session, statement, frame.itertuples(index=False, name=None), concurrency=100)


def windows(frame: pd.DataFrame) -> pd.DataFrame:
    found = []
    for grain, frequency in GRAINS.items():
        start = frame["time"].dt.floor(frequency).rename("window_start")
        table = frame.groupby(["sensor_id", start])[MEASURES].agg(AGGREGATES)
        table.columns = ["_".join(name) for name in table.columns]
        table = table.reset_index()
        table.insert(1, "grain", grain)
        found.append(table)
    return pd.concat(found)


def land(topic: str, broker: str, rows: str, postgres: str, host: str, port: str, keyspace: str) -> None:
    base, session = psycopg2.connect(postgres), Cluster([host], port=int(port)).connect(keyspace)
    make_postgres(base)
    insert_reading, insert_window = make_cassandra(session)
    kept = []
    for frame in messages(topic, broker, int(rows)):
        upsert(base, "readings", frame[["sensor_id", "time", *MEASURES]], ["sensor_id", "time"])
        frame["day"] = frame["time"].dt.date
        insert(session, insert_reading, frame[["sensor_id", "day", "time", *MEASURES]])
        kept.append(frame)
    table = windows(pd.concat(kept))
    upsert(base, "windows", table, ["sensor_id", "grain", "window_start"])
    insert(session, insert_window, table)


if __name__ == "__main__":
    {"send": send, "land": land}[sys.argv[1]](*sys.argv[2:])

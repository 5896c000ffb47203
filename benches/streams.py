"""The stream engines of others: hourly windows of seven measures, from a topic of one partition, event time.

Each function reads ``rows`` messages and gives their number. What it needs is imported when it is called.
"""

import datetime
import itertools
import json
import tempfile
import uuid
from typing import Any

NAMES = ["global_active_power", "global_reactive_power", "voltage", "global_intensity"]
NAMES += [f"sub_metering_{n}" for n in (1, 2, 3)]


def fold(state: dict, row: dict) -> dict:
    """Number, sum, least and most of each measure so far."""
    for name in NAMES:
        value = row[name]
        if value is not None:
            n, total, least, most = state.get(name, (0, 0.0, 9e9, -9e9))
            state[name] = (n + 1, total + value, min(least, value), max(most, value))
    return state


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

    rows_of = op.map("read", messages, reading)
    clock = w.EventClock(lambda row: row["at"], wait_for_system_duration=datetime.timedelta(0))
    hourly = w.TumblingWindower(align_to=start, length=datetime.timedelta(hours=1))
    found = w.fold_window("hours", rows_of, clock, hourly, dict, fold, lambda a, b: {**a, **b})
    op.output("out", found.down, TestingSink(out))
    run_main(flow)
    return rows


def quix_windows(broker: str, topic: str, rows: int) -> int:
    """quixstreams: the same fold, an hour of event time, state in RocksDB, one worker."""
    from quixstreams import Application

    def stamp(row: dict, headers: object, at: float, kind: object) -> int:
        return int(datetime.datetime.fromisoformat(row["time"]).replace(tzinfo=datetime.UTC).timestamp() * 1000)

    def first(row: dict) -> dict:
        return fold({}, row)

    with tempfile.TemporaryDirectory() as folder:
        settings = {"fetch.queue.backoff.ms": 1, "isolation.level": "read_committed"}
        told = {"consumer_extra_config": settings, "state_dir": folder, "auto_offset_reset": "earliest"}
        app = Application(broker, consumer_group=uuid.uuid4().hex, loglevel="ERROR", **told)
        seen = itertools.count(1)

        def counted(row: dict) -> None:
            # `run(count=...)` counts windows, and there is no end of the log to stop at.
            if next(seen) == rows:
                app.stop()

        readings = app.dataframe(app.topic(topic, value_deserializer="json", timestamp_extractor=stamp))
        hours = readings.update(counted).tumbling_window(datetime.timedelta(hours=1))
        hours.reduce(fold, first).final()
        app.run()
    return rows


def spark_session(jars: str) -> Any:
    """A session on this machine alone, ready for work."""
    from pyspark.sql import SparkSession

    settings = {"spark.jars": jars, "spark.sql.shuffle.partitions": "4", "spark.ui.enabled": "false"}
    settings["spark.ui.showConsoleProgress"] = "false"
    settings |= {"spark.sql.session.timeZone": "UTC", "spark.log.level": "ERROR", "spark.driver.memory": "2g"}
    session = SparkSession.builder.master("local[*]").config(map=settings).getOrCreate()
    session.range(1).count()
    return session


def spark_windows(session: Any, broker: str, topic: str, rows: int) -> int:
    """Spark Structured Streaming, availableNow: hourly windows to Parquet, checkpointed."""
    from pyspark.sql import functions as f

    columns = ", ".join(f"{name} double" for name in NAMES)
    told = {"kafka.bootstrap.servers": broker, "subscribe": topic, "startingOffsets": "earliest"}
    messages = session.readStream.format("kafka").options(**told, **{"kafka.isolation.level": "read_committed"}).load()
    read = f.from_json(f.col("value").cast("string"), f"sensor_id string, time timestamp, {columns}")
    readings = messages.select(read.alias("row")).select("row.*").withWatermark("time", "0 seconds")
    wanted = [how(name).alias(f"{name}_{how.__name__}") for name in NAMES for how in (f.mean, f.min, f.max)]
    hours = readings.groupBy(f.window("time", "1 hour"), "sensor_id").agg(f.count("*").alias("readings"), *wanted)
    with tempfile.TemporaryDirectory() as folder:
        out = hours.writeStream.format("parquet").option("path", f"{folder}/out")
        query = out.option("checkpointLocation", f"{folder}/state").trigger(availableNow=True).start()
        query.awaitTermination()
        seen = sum(progress.numInputRows for progress in query.recentProgress)
    if seen != rows:
        raise RuntimeError(f"Spark read {seen} of {rows} rows")
    return rows

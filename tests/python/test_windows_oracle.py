"""windows against a plain-Python oracle (zoneinfo, fractions) and polars; permuted input gives the same bits."""

import math
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest

import wattline as wl

START = datetime(2026, 3, 27, 11, tzinfo=UTC)
STEP = timedelta(minutes=10)
FIVE = ["mean", "min", "max", "sum", "count"]


def rows(seed: int, steps: int = 900) -> list[tuple[str, datetime, float | None, float]]:
    dice = random.Random(seed)
    sensors = ["north", "south"]
    every = [(s, START + STEP * n) for n in range(steps) for s in sensors if dice.random() < 0.9]
    load = lambda: None if dice.random() < 0.05 else dice.randrange(10_000) / 1000  # noqa: E731
    odd = lambda: dice.uniform(-1e6, 1e6) * 10 ** dice.randrange(-9, 9)  # noqa: E731
    return [(s, t, load(), odd()) for s, t in every]


def frame(readings: list[tuple[str, datetime, float | None, float]]) -> pa.Table:
    sensors, times, loads, odd = zip(*readings, strict=True)
    stamps = pa.array(times, pa.timestamp("us", "UTC"))
    return pa.table({"sensor_id": sensors, "time": stamps, "load": pa.array(loads, pa.float64()), "odd": odd})


def local_floor(t: datetime, grain: str, zone: ZoneInfo) -> datetime:
    """The local start of the window, naive; edges at whole hours are enough for these grains."""
    local = t.astimezone(zone).replace(tzinfo=None)
    day = local.replace(hour=0, minute=0, second=0)
    return {
        "1h": local.replace(minute=0, second=0),
        "1d": day,
        "1w": day - timedelta(days=day.weekday()),
        "1mo": day.replace(day=1),
        "1q": day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1),
    }[grain]


def oracle(readings: list, grain: str, zone: ZoneInfo) -> dict:
    """(sensor, local start, offset where an hour repeats) to exact results, each rounded once."""
    groups = defaultdict(list)
    for sensor, t, load, odd in readings:
        fold = t.astimezone(zone).fold if grain == "1h" else 0
        groups[sensor, local_floor(t, grain, zone), fold].append((load, odd))
    results = {}
    for key, values in groups.items():
        loads = [v for v, _ in values if v is not None]
        milli = sum(round(v * 1000) for v in loads)
        odd = [Fraction(v) for _, v in values]
        results[key] = {
            "readings": len(values),
            "load_count": len(loads),
            "load_sum": float(Fraction(milli, 1000)) if loads else None,
            "load_mean": float(Fraction(milli, 1000 * len(loads))) if loads else None,
            "load_min": min(loads, default=None),
            "load_max": max(loads, default=None),
            "odd_sum": float(sum(odd)),
            "odd_mean": float(sum(odd) / len(odd)),
        }
    return results


SCHEMA = """
step = "10min"
columns = [
  {name = "sensor_id", type = "text", role = "sensor"},
  {name = "time", type = "timestamp", role = "time"},
  {name = "load", type = "float", role = "measure", measure = "gauge", digits = 3},
  {name = "odd", type = "float", role = "measure", measure = "gauge"},
]
[time]
columns = ["time"]
"""
GRAINS = ["1h", "1d", "1w", "1mo", "1q"]


def computed(readings: list, zone: str, grains: list[str] = GRAINS) -> wl.Windows:
    return wl.windows(frame(readings), grains, schema=wl.Schema.from_toml(SCHEMA), tz=zone, aggregates=FIVE)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("seed", range(3))
def test_against_plain_python(zone: str, seed: int) -> None:
    readings = rows(seed)
    windows = computed(readings, zone)
    where = ZoneInfo(zone)
    for grain in GRAINS:
        due = oracle(readings, grain, where)
        held = [row for row in windows[grain].to_arrow().to_pylist() if row["readings"]]
        assert len(held) == len(due)
        for row in held:
            start = row["window_start"].astimezone(where)
            key = (row["sensor_id"], start.replace(tzinfo=None, fold=0), start.fold if grain == "1h" else 0)
            for name, value in due[key].items():
                assert row[name] == value, (grain, key, name)


def test_against_polars() -> None:
    readings = rows(11, 3000)
    windows = computed(readings, "UTC", ["1h"])
    ours = pl.from_arrow(windows["1h"].to_arrow()).filter(pl.col("readings") > 0)
    aggregates = [getattr(pl.col("load"), a)().alias(f"load_{a}") for a in FIVE]
    theirs = (
        pl.from_arrow(frame(readings))
        .group_by("sensor_id", pl.col("time").dt.truncate("1h").alias("window_start"))
        .agg(aggregates)
    )
    both = ours.with_columns(pl.col("sensor_id").cast(pl.String)).join(
        theirs, on=["sensor_id", "window_start"], suffix="_due"
    )
    assert both.height == ours.height == theirs.height
    for a in FIVE:
        for held, due in both.select(f"load_{a}", f"load_{a}_due").iter_rows():
            # polars gives 0 for the sum of nothing, and rounds at each addition.
            if held is None:
                assert due in (None, 0)
            else:
                assert math.isclose(held, due, rel_tol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_permuted_input_gives_the_same_bits(seed: int) -> None:
    readings = rows(seed, 400)
    one = computed(readings, "Europe/Paris")
    shuffled = list(readings)
    random.Random(seed).shuffle(shuffled)
    other = computed(shuffled, "Europe/Paris")
    for grain in GRAINS:
        assert one[grain].to_arrow().combine_chunks().equals(other[grain].to_arrow().combine_chunks()), grain


def test_a_day_of_25_hours_is_complete() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    readings = [("a", start + STEP * n, 1.0, 1.0) for n in range(25 * 6)]
    day = computed(readings, "Europe/Paris")["1d"].to_arrow().to_pylist()[0]
    assert (day["readings"], day["expected"], day["missing"]) == (150, 150, 0)


def test_gaps_are_rows_too() -> None:
    readings = [("a", START, 1.0, 1.0), ("a", START + timedelta(hours=5), 1.0, 1.0)]
    hours = computed(readings, "UTC")["1h"].to_arrow().to_pylist()
    assert [(row["readings"], row["missing"]) for row in hours] == [(1, 5), (0, 6), (0, 6), (0, 6), (0, 6), (1, 5)]


def test_pipeline_and_windows_give_the_same_bits(tmp_path) -> None:
    readings = rows(5)
    out = tmp_path / "out"
    schema = wl.Schema.from_toml(SCHEMA)
    wl.Pipeline(
        "same", source=frame(readings), schema=schema, grains=GRAINS, tz="Europe/Paris", aggregates=FIVE, sinks=[out],
        stream_name="same",
    ).run()  # fmt: skip
    windows = computed(readings, "Europe/Paris")
    for grain in GRAINS:
        stored = pl.read_parquet(out / f"grain={grain}").sort("window_start", "sensor_id")
        fresh = pl.from_arrow(windows[grain].to_arrow()).sort("window_start", "sensor_id")
        names = [n for n in fresh.columns if n not in ("sensor_id", "grain", "window_label")]
        assert stored.select(names).equals(fresh.select(names)), grain
